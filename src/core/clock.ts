/**
 * The only place that reads the time or sets a timer.
 *
 * `performance`, `setTimeout` and the others are looked up when they are called, so that fake timers, which replace the
 * globals, drive every deadline. `calloff/testing` puts a whole clock of its own in their place.
 */

/** What the library needs of time. The system's own, unless {@link useClock} puts another in its place. */
export interface Clock {
  /** Milliseconds on a monotonic clock, with fractions. */
  now(): number
  /** Calls back once, after `ms` (under 2³¹); gives what takes it back. */
  start(callback: () => void, ms: number): () => void
  /** Blocks this thread for `ms`. */
  block(ms: number): void
}

const clocks: Clock[] = []
/** The last of them, if any. */
let replaced: Clock | undefined

/** Puts a clock in place of the system's, for all tokens of this thread; gives what takes it away again, in whatever order. */
export function useClock(clock: Clock): () => void {
  clocks.push((replaced = clock))
  glance.left = 0
  return () => {
    const at = clocks.indexOf(clock)
    if (at >= 0) clocks.splice(at, 1)
    replaced = clocks.at(-1)
  }
}

/** Which clock counts now: moments of different clocks cannot be compared. */
export function clockInUse(): Clock | undefined {
  return replaced
}

/** Milliseconds on a monotonic clock. */
export function now(): number {
  return replaced ? replaced.now() : performance.now()
}

// ---- A ticker, if one runs: see threads/ticker.ts

/**
 * What another thread counts up, about once a millisecond: milliseconds since some moment. One word for good, whatever ticker
 * runs: of a constant the compilers know where its memory is, which is a fifth of a poll. Without shared memory there is no
 * ticker, and nobody writes it.
 */
export const ticks: Int32Array =
  /* c8 ignore next -- a page without the isolation headers has none */
  typeof SharedArrayBuffer === 'function' ? new Int32Array(new SharedArrayBuffer(4)) : new Int32Array(1)

/** Whether somebody counts. */
export let isTicking = false

/** How many more times the ticks are believed before the clock is read; what they are counted from, not boxed as in a variable. */
const glance = { left: 0 }
const base = new Float64Array(1)
/** The poll after them reads the clock: one in 64. */
const MOST_GLANCES = 63

/** From now on, deadlines are polled by the ticks, or by the clock alone again. */
export function useTicks(use: boolean): void {
  isTicking = use
  glance.left = 0
}

/**
 * Whether a deadline lies ahead. With a ticker that is a plain read of what it has counted; every 64th time it is the clock,
 * so that a ticker that gets no processor delays no deadline by more than that many polls. Never early: what the ticks say
 * has passed, the clock is asked for.
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
    // Atomic, or a compiler may lift the plain read out of a loop.
    base[0] = moment - Atomics.load(ticks, 0)
  }
  return moment
}

// Deno's timers may be numbers, and `unref` a function beside them.
declare const Deno: { unrefTimer?(timer: unknown): void } | undefined

function start(callback: () => void, ms: number, hold: boolean): () => void {
  if (replaced) return replaced.start(callback, ms)
  const timer: unknown = setTimeout(callback, Math.ceil(ms))
  if (!hold) release(timer)
  return () => clearTimeout(timer as number)
}

/** The timer does not keep the process alive. */
function release(timer: unknown): void {
  if (typeof timer === 'object') (timer as { unref?(): void }).unref?.()
  /* c8 ignore next -- on Deno only, where the behaviour suite runs it */
  else if (typeof Deno !== 'undefined') Deno.unrefTimer?.(timer)
}

/** The longest delay that timers take: 2³¹ - 1 ms, almost 25 days. Beyond it the platform fires at once. */
const LONGEST = 2 ** 31 - 1

/**
 * Calls back once after `ms`, however long, `Infinity` being never; gives what takes it back. With `hold` it keeps the
 * process alive.
 *
 * Timers count in whole milliseconds and may be early by a fraction of one; that rest is waited for. Else it is the timer
 * that counts, not the clock: some fakes move the timers but not `performance.now`.
 */
export function after(ms: number, callback: () => void, hold: boolean): () => void {
  if (ms === Infinity) return hold ? keepAlive() : () => {}
  let stop: () => void
  const go = (left: number) => {
    const due = now() + left
    const ring = () => {
      const rest = due - now()
      // After one leg of a long way both count, because timers stand still while a machine sleeps.
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

// The real ones, on purpose: whether the event loop turns, or the process lives, is not a matter of time. With fakes a
// checkpoint would wait for somebody to move the clock, and "run all timers" would never end.
/* c8 ignore next -- browsers have none */
const realImmediate = typeof setImmediate === 'function' ? setImmediate : undefined
const { setInterval: realInterval, clearInterval: realClear } = globalThis

const resolved = Promise.resolve()

/** Calls back in a job of its own, before the event loop goes on. Not by `queueMicrotask`, which fake timers replace. */
export function soon(job: () => void): void {
  void resolved.then(job)
}

/** Calls back after the event loop has turned once: timers, sockets and messages have had their chance. */
export function turn(callback: () => void): void {
  if (realImmediate) realImmediate(callback)
  /* c8 ignore start -- in browsers only */ else {
    // A message is not slowed down to 4 ms as nested timers are.
    const { port1, port2 } = new MessageChannel()
    port1.onmessage = () => {
      port1.close()
      callback()
    }
    port2.postMessage(0)
  }
  /* c8 ignore stop */
}

/** Calls back again and again, by the real clock, for what other threads do. Does not keep the process alive. Gives what stops it. */
export function often(callback: () => void, ms: number): () => void {
  const timer = realInterval(callback, ms)
  release(timer)
  return () => realClear(timer)
}

/** Where this thread's clock began, in milliseconds since 1970, as the wall clock was when the thread was started. */
export function readOrigin(): number {
  return performance.timeOrigin
}

/** Milliseconds since 1970, on a clock that people set. */
export function readWall(): number {
  return Date.now()
}

/** A word in shared memory that another thread changes, and then wakes those who sleep on it. */
export interface SharedWord {
  readonly view: Int32Array
  readonly index: number
  /** What it is until then. */
  readonly value: number
}

/** The longest sleep on a word: a thread that dies between changing it and waking the others wakes nobody. */
const SLICE = 1_000

/** A word that nobody else knows, to sleep on. */
let own: SharedWord | undefined

/**
 * Blocks this thread for `ms` without spinning; with a `word`, until it changes, and for no longer than a second.
 *
 * Throws a `TypeError` where a thread may not block (a browser's main thread) or has no shared memory to sleep on, and
 * when the clock stands still meanwhile, as it does under fake timers: waiting would never end.
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
 * Keeps the process alive; gives what lets it go, once. One interval serves all. Where timers can be let go of and held again,
 * it is taken away when the event loop has turned: what holds again and again within one turn makes no interval each time.
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
