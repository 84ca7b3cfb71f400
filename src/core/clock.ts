/**
 * The only module that reads the time or sets a timer.
 *
 * It reads `performance`, `setTimeout` and the other globals at each call. So fake timers, which replace the globals,
 * drive every deadline. `calloff/testing` replaces the whole clock.
 */

/** The clock that the library needs. It is the system's own, unless {@link useClock} replaces it. */
export interface Clock {
  /** Milliseconds on a monotonic clock, with fractions. */
  now(): number
  /** Calls back once, after `ms` (under 2³¹). Returns a function that prevents the call. */
  start(callback: () => void, ms: number): () => void
  /** Blocks this thread for `ms`. */
  block(ms: number): void
}

const clocks: Clock[] = []
/** The last of the clocks, if there is one. */
let replaced: Clock | undefined

/**
 * Replaces the system's clock, for all tokens of this thread. Returns a function that removes the clock again. Clocks
 * may be removed in any order.
 */
export function useClock(clock: Clock): () => void {
  clocks.push((replaced = clock))
  glance.left = 0
  return () => {
    const at = clocks.indexOf(clock)
    if (at >= 0) clocks.splice(at, 1)
    replaced = clocks.at(-1)
  }
}

/** Returns the clock that counts now, or undefined for the system's. Moments of different clocks cannot be compared. */
export function clockInUse(): Clock | undefined {
  return replaced
}

/** Returns milliseconds on a monotonic clock. */
export function now(): number {
  return replaced ? replaced.now() : performance.now()
}

// ---- A ticker, if one runs: see threads/ticker.ts

/**
 * The word of the ticks. Another thread, the ticker, writes it about once a millisecond: it contains the milliseconds
 * since some moment. All tickers use this one word. It is a constant, so that compilers know where its memory is. That
 * saves a fifth of the time of a poll. Without shared memory there is no ticker, and nothing writes the word.
 */
export const ticks: Int32Array =
  /* c8 ignore next -- a page without the isolation headers has none */
  typeof SharedArrayBuffer === 'function' ? new Int32Array(new SharedArrayBuffer(4)) : new Int32Array(1)

/** Whether a ticker runs. */
export let isTicking = false

/**
 * `left` is how many more polls rely on the ticks before a poll reads the clock. `base` has the moment that the ticks
 * count from. It is an array, because a number in a variable would be boxed.
 */
const glance = { left: 0 }
const base = new Float64Array(1)
/** The number of polls in a row that rely on the ticks. The next poll reads the clock: one in 64. */
const MOST_GLANCES = 63

/** Sets whether a poll of a deadline reads the ticks from now on, or the clock alone. */
export function useTicks(use: boolean): void {
  isTicking = use
  glance.left = 0
}

/**
 * Whether a deadline lies ahead. With a ticker, this is a plain read of the ticks. Every 64th time it reads the clock.
 * So a ticker that the system does not run delays a deadline by at most 64 polls. A deadline never passes early: when
 * the ticks say that it has passed, the clock decides.
 */
export function isBefore(deadline: number): boolean {
  if (glance.left > 0) {
    glance.left--
    if ((base[0] as number) + (ticks[0] as number) < deadline) return true
  }
  return readTime() < deadline
}

function readTime(): number {
  const moment = now()
  if (isTicking && !replaced) {
    glance.left = MOST_GLANCES
    // An atomic read, because a compiler may move a plain read out of a loop.
    base[0] = moment - Atomics.load(ticks, 0)
  }
  return moment
}

// Deno's timers may be numbers, and their `unref` is a separate function.
declare const Deno: { unrefTimer?(timer: unknown): void } | undefined

function start(callback: () => void, ms: number, hold: boolean): () => void {
  if (replaced) return replaced.start(callback, ms)
  const timer: unknown = setTimeout(callback, Math.ceil(ms))
  if (!hold) release(timer)
  return () => clearTimeout(timer as number)
}

/** Lets the process end although the timer is pending. */
function release(timer: unknown): void {
  if (typeof timer === 'object') (timer as { unref?(): void }).unref?.()
  /* c8 ignore next -- on Deno only, where the behaviour suite runs it */
  else if (typeof Deno !== 'undefined') Deno.unrefTimer?.(timer)
}

/** The longest delay of a timer: 2³¹ - 1 ms, almost 25 days. With a longer one the platform calls back at once. */
const LONGEST = 2 ** 31 - 1

/**
 * Calls back once after `ms`, which may be longer than the longest timer. With `Infinity` it never calls back. Returns
 * a function that prevents the call. With `hold` it keeps the process alive.
 *
 * Timers count in whole milliseconds and may be early by a fraction of one. Then this function waits for the rest.
 * Apart from this it relies on the timer and not on the clock, because some fake timers do not move `performance.now`.
 */
export function after(ms: number, callback: () => void, hold: boolean): () => void {
  if (ms === Infinity) return hold ? keepAlive() : () => {}
  let stop: () => void
  const go = (left: number) => {
    const due = now() + left
    const ring = () => {
      const rest = due - now()
      // A long delay has several timers. After each but the last, the shorter rest counts: that of the timers or that
      // of the clock. The reason is that timers stand still while a machine sleeps.
      const more = left > LONGEST ? Math.min(left - LONGEST, rest) : left > 2 && rest < 1 ? rest : 0
      if (more > 0) go(more)
      else callback()
    }
    stop = start(ring, Math.max(0, Math.min(left, LONGEST)), hold)
  }
  go(ms)
  return () => stop()
}

declare const setImmediate: ((callback: () => void) => unknown) | undefined

// The real functions, on purpose: a turn of the event loop, and the life of the process, do not depend on the time.
// With fakes, a checkpoint would wait until a test moves the clock, and "run all timers" would never end.
/* c8 ignore next -- browsers have none */
const realImmediate = typeof setImmediate === 'function' ? setImmediate : undefined
const { setInterval: realInterval, clearInterval: realClear } = globalThis

const resolved = Promise.resolve()

/** Calls back in a microtask of its own. It does not use `queueMicrotask`, which fake timers replace. */
export function soon(job: () => void): void {
  void resolved.then(job)
}

/** Calls back after the event loop has turned once, so that timers, sockets and messages have had their turn. */
export function turn(callback: () => void): void {
  if (realImmediate) realImmediate(callback)
  /* c8 ignore start -- in browsers only */ else {
    // A message is not delayed to 4 ms, as nested timers are.
    const { port1, port2 } = new MessageChannel()
    port1.onmessage = () => {
      port1.close()
      callback()
    }
    port2.postMessage(0)
  }
  /* c8 ignore stop */
}

/**
 * Calls back again and again, every `ms` of the real clock, to notice changes by other threads. It does not keep the
 * process alive. Returns a function that ends it.
 */
export function often(callback: () => void, ms: number): () => void {
  const timer = realInterval(callback, ms)
  release(timer)
  return () => realClear(timer)
}

/**
 * Returns the time at which this thread's monotonic clock started, in milliseconds since 1970. It was taken from the
 * wall clock when the thread was started.
 */
export function readOrigin(): number {
  return performance.timeOrigin
}

/** Returns milliseconds since 1970, on the wall clock, which users can set. */
export function readWall(): number {
  return Date.now()
}

/** A word in shared memory. Another thread changes it, and then wakes the threads that sleep on it. */
export interface SharedWord {
  readonly view: Int32Array
  readonly index: number
  /** The value before the change. */
  readonly value: number
}

/**
 * The longest sleep on a word, in milliseconds. A thread may die after it has changed the word, and before it has woken
 * the others.
 */
const SLICE = 1_000

/** A word that no other thread knows, to sleep on. */
let own: SharedWord | undefined

/**
 * Blocks this thread for `ms` without spinning. With a `word`, it blocks until the word changes, and for a second at
 * most.
 *
 * Throws a `TypeError` where a thread may not block (the main thread of a browser), or has no shared memory to sleep
 * on. Throws a `TypeError`, too, when the clock stands still meanwhile, as it does under fake timers, because the wait
 * would never end.
 */
export function block(ms: number, word?: SharedWord): void {
  if (replaced && (!word || ms < Infinity)) return replaced.block(ms)
  const before = now()
  let woken: string
  try {
    own ??= { view: new Int32Array(new SharedArrayBuffer(4)), index: 0, value: 0 }
    const { view, index, value } = word ?? own
    woken = Atomics.wait(view, index, value, word ? Math.min(ms, SLICE) : ms)
  } catch (cause) {
    throw new TypeError(
      'waitSync: this thread may not block (a page must not, and shared memory is needed): await wait()',
      { cause },
    )
  }
  const stands = woken === 'timed-out' && !replaced && ms >= 1 && now() === before
  if (stands) throw new TypeError('waitSync: the clock stands still (fake timers?): await wait()')
}

let held = 0
/** An interval. On Node and Bun it is an object, elsewhere a number. */
let holder: { ref(): unknown; unref(): unknown } | number | undefined
let isResting = false

function drop(): void {
  realClear(holder as Parameters<typeof realClear>[0])
  holder = undefined
}

/**
 * Keeps the process alive. Returns a function that lets it go; further calls of that function do nothing. One interval
 * serves all callers. Where timers have `ref` and `unref`, the last caller that lets go only calls `unref`. The
 * interval is removed after the event loop has turned. So a caller that holds and lets go repeatedly within one turn
 * makes no new interval each time.
 */
export function keepAlive(): () => void {
  let mine = 1
  if (held++ === 0) {
    if (typeof holder === 'object') holder.ref()
    else holder = realInterval(() => {}, 2 ** 30) as unknown as typeof holder
  }
  return () => {
    const isLast = held === mine
    held -= mine
    mine = 0
    if (!isLast || !holder) return
    /* c8 ignore next -- on Deno and in browsers only, where timers are numbers */
    if (typeof holder !== 'object') return drop()
    holder.unref()
    if (isResting) return
    isResting = true
    turn(() => {
      isResting = false
      if (!held) drop()
    })
  }
}
