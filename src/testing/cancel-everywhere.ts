import { optional, optionalCount, optionalNonNegative, optionsOf, shown, wrongType } from '../core/arguments.js'
import type { NamesOf } from '../core/arguments.js'
import { keepAlive, often, turn } from '../core/clock.js'
import { isCancellation } from '../core/errors.js'
import { end } from '../core/graph.js'
import type { CancellationToken } from '../core/token.js'
import { type Place, placeOfCaller } from './places.js'
import { isRead, listenersOf, ProbeToken } from './probe-token.js'

/** The options of `cancelEverywhere`. */
export interface CancelEverywhereOptions<S = never> {
  /** Makes fresh state before each run. `fn` and `check` get it. Default: the state is undefined. */
  readonly setup?: (() => S | PromiseLike<S>) | undefined
  /**
   * Milliseconds of real time that a run has to settle, after the cancellation and before it, and the same for `setup`
   * and `check`. A run that is never cancelled, and takes longer, is cancelled then. Default: 5,000.
   */
  readonly timeout?: number | undefined
  /** The most points of each kind that are tried. Default: 500. */
  readonly maxPoints?: number | undefined
  /** Whether `fn` may leave listeners, waits and races on its token when it has settled. Default: false. */
  readonly allowListeners?: boolean | undefined
  /** Whether `fn` may fail with an error that is no cancellation. Default: false. */
  readonly allowFailures?: boolean | undefined
}

const OPTIONS: NamesOf<CancelEverywhereOptions> = ['setup', 'timeout', 'maxPoints', 'allowListeners', 'allowFailures']

/**
 * A point at which a token can be cancelled.
 *
 * - `'start'`: before `fn` is called.
 * - `'poll'`: at a poll of the token, or of a token that derives from it, also within `race`, `sleep`, `scope` …
 * - `'read'`: at a read of it: `error` and the like, and each registration of a listener. A deadline is noticed there.
 * - `'turn'`: while `fn` waits: in the microtasks and in the turns of the event loop.
 */
export type CancelPointKind = 'start' | 'poll' | 'read' | 'turn'

/** One point of a run. */
export interface CancelPoint {
  readonly kind: CancelPointKind
  /** The number of the point, from 1 on: among the polls and reads, or among the turns. */
  readonly number: number
}

/** What `check` gets to know of a run. */
export interface CancelEverywhereRun {
  /** The point of the cancellation. Undefined if the token was not cancelled. */
  readonly point: CancelPoint | undefined
  readonly token: CancellationToken
  /** What `fn` has come to. */
  readonly outcome: PromiseSettledResult<unknown>
}

/** What `cancelEverywhere` has tried. */
export interface CancelEverywhereReport {
  /** The number of points at which the token was cancelled. */
  readonly points: number
  /** The number of calls of `fn`. */
  readonly runs: number
  /** Whether there were no more points: false where `maxPoints` or `timeout` has ended the count. */
  readonly isComplete: boolean
}

/**
 * What is wrong with a run: `check` has failed, `fn` has not settled in time, `fn` has left listeners on its token, or
 * `fn` has failed with an error that is no cancellation.
 */
export type CancelEverywhereProblem = 'check' | 'unsettled' | 'listeners' | 'failure'

/** A run has broken the invariant. `cause` is the error of `check` or of `fn`. */
export class CancelEverywhereError extends Error {
  /** For tests that hold across copies of the package. */
  readonly code = 'ERR_CANCEL_EVERYWHERE'
  override readonly name = 'CancelEverywhereError'

  constructor(
    message: string,
    readonly problem: CancelEverywhereProblem,
    /** The first point that breaks the invariant. Undefined if it is broken without a cancellation. */
    readonly point: CancelPoint | undefined,
    /**
     * Where `fn` was, as a line of a stack: the place of the poll or read, or, for a turn, the last place before it.
     * Undefined if the stack does not tell.
     */
    readonly line: string | undefined,
    options?: { readonly cause?: unknown },
  ) {
    super(message, options)
  }
}

/**
 * Tests that a function leaves nothing half-done, wherever it is cancelled. It calls `fn` again and again with a token
 * of its own. The first run is not cancelled, and counts the points. Then each run is cancelled at another point: at
 * the start, at each poll and read, and in each turn that `fn` waits. When `fn` has settled, `check` tests the
 * invariant: it throws, or returns false, if something is left open or half-written.
 *
 * Apart from `check`, each run must settle within `timeout`, must not fail with an error that is no cancellation, and
 * must leave no listener on its token.
 *
 * It stops at the first point that breaks the invariant. Polls and reads come before turns, because they are found
 * again in every run. `fn` must do the same in every run: give it fresh state by `setup`, and let a manual clock with
 * `{ auto: true }` drive its delays.
 *
 * Errors: rejects with `CancelEverywhereError` for the first point, and with `TypeError` or `RangeError` for a bad
 * argument. An error of `setup` is thrown as it is.
 *
 * @example
 * ```ts
 * import { cancelEverywhere, type CancelEverywhereError } from 'calloff/testing'
 *
 * const failure = await cancelEverywhere(
 *   async (token, account) => {
 *     account.from -= 10
 *     await token.sleep(0) // cancelled here, the money is lost
 *     account.to += 10
 *   },
 *   ({ from, to }) => from + to === 100,
 *   { setup: () => ({ from: 100, to: 0 }) },
 * ).catch(({ problem, point }: CancelEverywhereError) => `${problem}: ${point?.kind} ${point?.number}`)
 * console.log(failure) // → check: start 1
 * ```
 */
export async function cancelEverywhere<S = undefined>(
  fn: (token: CancellationToken, state: S) => unknown,
  check: (state: S, run: CancelEverywhereRun) => unknown,
  options?: CancelEverywhereOptions<S>,
): Promise<CancelEverywhereReport> {
  const test = new Test(fn, check, options)
  const whole = await test.run(undefined)
  const points: CancelPoint[] = [{ kind: 'start', number: 1 }]
  whole.asked.forEach((kind, at) => points.push({ kind, number: at + 1 }))
  for (let number = 1; number <= whole.turns; number++) points.push({ kind: 'turn', number })
  let reached = 0
  for (const point of points) if ((await test.run(point)).isReached) reached++
  return { points: reached, runs: points.length + 1, isComplete: !whole.wasCut }
}

/** How many microtasks are points of their own, between two turns of the event loop. */
const MICROTASKS = 16

class Test<S> {
  readonly #setup: (() => S | PromiseLike<S>) | undefined
  readonly #timeout: number
  readonly #maxPoints: number
  readonly #allowListeners: boolean
  readonly #allowFailures: boolean

  constructor(
    readonly fn: (token: CancellationToken, state: S) => unknown,
    readonly check: (state: S, run: CancelEverywhereRun) => unknown,
    options: CancelEverywhereOptions<S> | undefined,
  ) {
    for (const [name, value] of Object.entries({ fn, check })) {
      if (typeof value !== 'function') throw wrongType(name, 'a function', value)
    }
    const given = optionsOf<CancelEverywhereOptions<S>>(options, OPTIONS)
    this.#setup = optional('setup', 'function', given.setup)
    this.#timeout = optionalNonNegative('timeout', given.timeout) ?? 5_000
    this.#maxPoints = optionalCount('maxPoints', given.maxPoints) ?? 500
    this.#allowListeners = optional('allowListeners', 'boolean', given.allowListeners) ?? false
    this.#allowFailures = optional('allowFailures', 'boolean', given.allowFailures) ?? false
  }

  /** Runs `fn` once, cancelled at the point, and checks what is left. Without a point, it counts the points. */
  async run(point: CancelPoint | undefined): Promise<Run> {
    const { fn } = this // called without a receiver
    const state = (await inTime('setup', this.#timeout, () => this.#setup?.())) as S
    const run = new Run(point, this.#maxPoints, false)
    const outcome = await run.settle((token) => fn(token, state), this.#timeout)
    const found = outcome ? await this.#problemOf(run, state, outcome) : { problem: 'unsettled' as const }
    const wasCancelled = !!run.token.error
    // What is left on the token would hold the process.
    end(run.token, 'dispose')
    if (found) throw await this.#errorOf(found, run.isReached ? point : undefined, wasCancelled)
    return run
  }

  async #problemOf(run: Run, state: S, outcome: PromiseSettledResult<unknown>): Promise<Found | undefined> {
    const { token } = run
    try {
      const { check } = this
      const point = run.isReached ? run.point : undefined
      const kept = await inTime('it', this.#timeout, () => check(state, { point, token, outcome }))
      if (kept === false) throw new Error('it has returned false')
    } catch (cause) {
      return { problem: 'check', cause }
    }
    const isFailure = outcome.status === 'rejected' && !isCancellation(outcome.reason)
    if (isFailure && !this.#allowFailures) return { problem: 'failure', cause: outcome.reason as unknown }
    const left = listenersOf(token)
    return left && !this.#allowListeners ? { problem: 'listeners', left } : undefined
  }

  /** Makes the error. To find the line, it runs `fn` once more, up to the same point. */
  async #errorOf(
    { problem, cause, left }: Found,
    point: CancelPoint | undefined,
    wasCancelled: boolean,
  ): Promise<CancelEverywhereError> {
    let place: Place | undefined
    if (point && point.kind !== 'start') {
      const { fn } = this
      const state = (await inTime('setup', this.#timeout, () => this.#setup?.())) as S
      const again = new Run(point, this.#maxPoints, true)
      await again.settle((token) => fn(token, state), this.#timeout)
      end(again.token, 'dispose')
      place = again.place
    }
    const what = {
      check: 'check has failed',
      unsettled: `fn has not settled within ${this.#timeout} ms`,
      listeners: `fn has left ${left === 1 ? 'a listener' : `${left} listeners`} on its token`,
      failure: 'fn has failed with an error that is no cancellation',
    }[problem]
    const operation = place?.operation && point?.kind !== 'turn' ? ` (${place.operation})` : ''
    const at = point ? `${point.kind} ${point.number}${operation}` : 'the last point'
    const when = wasCancelled ? `after a cancellation at ${at}` : 'without a cancellation'
    const where = place ? `, ${point?.kind === 'turn' ? 'after' : 'at'} ${place.line}` : ''
    const why = cause === undefined ? '' : `: ${cause instanceof Error ? cause.message : shown(cause)}`
    return new CancelEverywhereError(`${what} ${when}${where}${why}`, problem, point, place?.line, { cause })
  }
}

interface Found {
  readonly problem: CancelEverywhereProblem
  readonly cause?: unknown
  readonly left?: number
}

/** One call of `fn`. */
class Run {
  readonly token: ProbeToken
  /** The polls and reads, in order. */
  readonly asked: ('poll' | 'read')[] = []
  turns = 0
  /** Whether the token was cancelled at the point. */
  isReached = false
  /** Whether the count was ended before `fn` had settled by itself. */
  wasCut = false
  /** The last place where the code under test was, if it is traced. */
  place: Place | undefined
  #outcome: PromiseSettledResult<unknown> | undefined

  constructor(
    readonly point: CancelPoint | undefined,
    readonly most: number,
    readonly isTraced: boolean,
  ) {
    const why = point ? `cancelEverywhere, ${point.kind} ${point.number}` : 'cancelEverywhere, the last point'
    this.token = new ProbeToken(why, (mode) => this.#ask(isRead(mode) ? 'read' : 'poll'))
  }

  /** Whether the token is cancelled at this poll or read. */
  #ask(kind: 'poll' | 'read'): boolean {
    const { point } = this
    // What `check` asks is no point.
    if (this.#outcome || this.isReached) return false
    if (this.isTraced) this.place = placeOfCaller() ?? this.place
    if (this.asked.length >= this.most) {
      // The loop may be one that only a cancellation ends.
      if (!point) this.wasCut = true
      return !point
    }
    this.asked.push(kind)
    const isHere = (point?.kind === 'poll' || point?.kind === 'read') && point.number === this.asked.length
    return (this.isReached = isHere)
  }

  #cancelHere(): void {
    this.isReached = true
    this.token.cancel(this.token.why)
  }

  /** Calls `fn` and waits until it has settled. Returns undefined if it has not, even after a cancellation. */
  async settle(
    fn: (token: CancellationToken) => unknown,
    timeout: number,
  ): Promise<PromiseSettledResult<unknown> | undefined> {
    const { point, token } = this
    if (point?.kind === 'start') this.#cancelHere()
    let result: Promise<unknown>
    try {
      result = Promise.resolve(fn(token))
    } catch (error) {
      // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- whatever it has thrown
      result = Promise.reject(error)
    }
    const settled = result.then(
      (value) => void (this.#outcome = { status: 'fulfilled', value }),
      (reason: unknown) => void (this.#outcome = { status: 'rejected', reason }),
    )
    if (!point || point.kind === 'turn') await this.#countTurns()
    await within(timeout, settled)
    if (!this.#outcome && !this.isReached) {
      this.wasCut = true
      token.cancel(token.why)
      await within(timeout, settled)
    }
    return this.#outcome
  }

  /** Counts microtasks, and turns of the event loop, while `fn` waits. Cancels the token at its point. */
  async #countTurns(): Promise<void> {
    for (;;) {
      for (let i = 0; i < MICROTASKS; i++) {
        await aMicrotask
        if (this.#outcome) return
        if (this.turns >= this.most) {
          this.wasCut = true
          return
        }
        this.turns++
        if (this.point?.number === this.turns) return this.#cancelHere()
      }
      await new Promise<void>(turn)
    }
  }
}

const aMicrotask = Promise.resolve()
const nothing = () => {}

/** Returns what the function returns, or rejects if that has not settled in time. */
async function inTime(name: string, ms: number, what: () => unknown): Promise<unknown> {
  const result = Promise.resolve(what())
  let isSettled = false
  const settled = () => void (isSettled = true)
  await within(ms, result.then(settled, settled))
  if (!isSettled) throw new Error(`${name} has not settled within ${ms} ms`)
  return result
}

/** Waits until the promise is fulfilled, or until `ms` milliseconds of real time have passed. */
async function within(ms: number, settled: Promise<void>): Promise<void> {
  const letGo = keepAlive()
  let stop = nothing
  const late = new Promise<void>((resolve) => {
    if (ms < Infinity) stop = often(() => resolve(), Math.min(ms, 2 ** 31 - 1))
  })
  try {
    await Promise.race([settled, late])
  } finally {
    stop()
    letGo()
  }
}
