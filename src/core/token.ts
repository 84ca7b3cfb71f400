/// <reference lib="es2018.asynciterable" preserve="true" />
/// <reference lib="es2020.promise" preserve="true" />
/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The token: one object that answers one question, "should I go on?".
 *
 * This file has the handle that callers hold. What is true of a graph of tokens is in graph.ts.
 * The base class makes four kinds itself, and these kinds extend it: SimpleToken (also the combined token), the
 * deadline, the grace and the bridge to a foreign signal. They stand in this file, because files of their own would
 * import each other in a circle. The other kinds are in tokens/.
 */
import { isArray, type NamesOf, nonNegative, optional, optionalNonNegative, optionsOf, wrongType } from './arguments.js'
import { signalOf } from './abort-signal.js'
import { after, isBefore, isTicking, now } from './clock.js'
import { type Executor, promiseOf } from './callbacks.js'
import { bind } from './context.js'
import { moveDeadline } from './deadline.js'
import { classText, type Form, quoted, textOf, treeOf } from './describe.js'
import { SHOWN, stray, tagOf } from './stray.js'
import {
  CancellationError,
  type CancellationKind,
  ImpossibleCancelError,
  isOurs,
  isPlatformTimeout,
  TimeoutCancellationError,
} from './errors.js'
import { BRAND, type ForeignSource, foreignOf, NEVER_BRAND } from './foreign.js'
import {
  above,
  adopt,
  byHand,
  call,
  Cancellation,
  climb,
  DIRECT,
  discover,
  end,
  epoch,
  errorOf,
  fired,
  giveRule,
  inOrder,
  type Extras,
  extrasOf,
  GraceCancellation,
  INDIRECT,
  READ,
  type Mode,
  own,
  ownIf,
  ownToCancel,
  pathOf,
  readClock,
  settle,
  type Some,
  Subscriber,
  subscribe,
  type TokenNode,
} from './graph.js'
import { reports } from './observation.js'
import { deadlineBehind, kindsOf } from './except.js'
import { iterate } from './iterate.js'
import { checkpoint, every, sleep, turns } from './pace.js'
import { race, type RaceOptions, type TaskOf } from './race.js'
import { timeLeft } from './remaining.js'
import { retry, type RetryOptions } from './retry.js'
import { settled, type SettledOptions, type SettledReport } from './settled.js'
import type { Callee } from './traces.js'
import { untilCancelled, type UntilCancelledOptions } from './until-cancelled.js'
import { type TokenView, viewOf } from './view.js'
import { needsPolls, wait, type WaitOptions, waitSync } from './wait.js'

/**
 * The parents of a token, and the sources of a combined token: tokens of any copy of the package, and what `from()`
 * takes. Views of tokens, too.
 */
export type TokenOrSignal = CancellationToken | TokenView | ForeignSignal

/** A platform signal of any realm or polyfill. It is recognised by its shape. */
export interface ForeignSignal {
  readonly aborted: boolean
  addEventListener(type: 'abort', listener: () => void): void
  removeEventListener(type: 'abort', listener: () => void): void
}

/** The options that every kind of token takes. */
export interface TokenOptions {
  /** The name that messages and the text of the token show. */
  readonly name?: string | undefined
  /** If true, the token is cancelled from the start, as if by hand. */
  readonly cancelled?: boolean | undefined
}

/** The options of a {@link TimeoutToken}. */
export interface TimeoutTokenOptions extends TokenOptions {
  /**
   * Why the time is limited. When the deadline passes, it becomes `error.cause` and `token.reason`, and the message
   * ends with its text. Go's `WithTimeoutCause`.
   */
  readonly reason?: unknown
}

export const TOKEN_OPTIONS: NamesOf<TokenOptions> = ['name', 'cancelled']

/** An entry of a race: a promise, or a function. A function is started with a token of its own. */
export type Task<T> = TaskOf<CancellationToken, T>

/** The type of the result of a task. */
export type ResultOf<W> =
  W extends PromiseLike<infer T> ? T : W extends (token: CancellationToken) => infer R ? Awaited<R> : never

/** A listener that is registered on a token. */
export interface Registration extends Disposable {
  /** Removes the listener. Returns true if this prevented the call: the listener was not called, and never will be. */
  stop(): boolean
}

const POLL_OPTIONS = ['direct'] as const
const TIMEOUT_OPTIONS = ['max'] as const
const TIMEOUT_TOKEN_OPTIONS: NamesOf<TimeoutTokenOptions> = ['name', 'cancelled', 'reason']

// `structuredClone` and `postMessage` refuse a symbol, and name it in their message. So a token never arrives as a dead
// copy.
export const UNCLONABLE: symbol = Symbol(
  'a calloff token cannot be sent as it is, share() of calloff/threads makes a handle that can',
)

/**
 * The base class of all tokens, and the type of a parameter:
 * `function work(token: CancellationToken = new DefaultToken())`.
 *
 * Memory: a token knows its sources, but a source does not know the tokens that derive from it. So a derived token that
 * is dropped is garbage, and nothing needs to be called. A token stands in the lists of its sources only while it has a
 * listener, a pending wait or a pending race.
 *
 * @example
 * ```ts
 * import { CancellationToken, SimpleToken, TimeoutToken } from 'calloff'
 *
 * function countTo(limit: number, token: CancellationToken): number {
 *   let n = 0
 *   while (n < limit && token.keepOn()) n++
 *   return n
 * }
 * console.log(countTo(5, new SimpleToken()), countTo(5, new TimeoutToken(0))) // → 5 0
 * ```
 */
export abstract class CancellationToken implements Disposable {
  /** The class of the error when the token's own rule cancels it. */
  declare static readonly error: typeof CancellationError

  /** @internal */ seen: number
  /** @internal */ outcome: Cancellation | undefined
  /** @internal */ sources: Some<TokenNode>
  /** @internal */ rules: Some<TokenNode>
  /** @internal */ extras: Extras | undefined
  /** @internal */ readonly unclonable: symbol
  /** @internal */ readonly itself: CancellationToken

  /** @internal */
  constructor(key?: symbol) {
    // Reading `new.target` costs 1 ns of 9. So the kinds of this package pass a key instead, and skip it.
    if (key !== UNCLONABLE && new.target === CancellationToken) {
      throw new TypeError('CancellationToken is abstract: make a SimpleToken')
    }
    this.unclonable = UNCLONABLE // the first property, so that the message of a refused clone names it
    this.itself = this
    this.seen = epoch
    this.outcome = undefined
    this.sources = undefined
    this.rules = undefined
    this.extras = undefined
  }

  /** The name that messages show. */
  get name(): string | undefined {
    return own(this).extras?.name
  }

  /**
   * Whether the token is cancelled: a direct poll.
   *
   * A poll checks in this order: whether the token was cancelled by hand, whether its own rule cancels it, and then
   * each source, indirectly. The first cancellation that it finds is kept. A poll that discovers a cancellation also
   * carries it out: the listeners have run before the poll returns. But `true` does not promise that the tasks of the
   * listeners have finished.
   */
  get cancelled(): boolean {
    return this.seen === epoch ? false : !!discover(this, DIRECT)
  }

  /**
   * The same as `cancelled`, with a choice: `{ direct: false }` polls the token as a token that derives from it would.
   */
  isCancelled(options?: { readonly direct?: boolean | undefined }): boolean {
    const direct = optional('direct', 'boolean', optionsOf(options, POLL_OPTIONS).direct)
    return !!discover(own(this), direct === false ? INDIRECT : DIRECT)
  }

  /** The opposite of `cancelled`, for loops: `while (token.keepOn())`. It is a direct poll. As in cantok. */
  keepOn(): boolean {
    try {
      if (this.seen === epoch) return true
    } catch {
      throw stray('token', 'keepOn') // called without a token; to check for that first takes a third more time
    }
    return !discover(this, DIRECT)
  }

  /**
   * Throws `token.error` if the token is cancelled, and else does nothing. It is a direct poll. C#'s
   * `ThrowIfCancellationRequested`.
   *
   * @example
   * ```ts
   * import { CANCELLED, isCancellation } from 'calloff'
   *
   * try {
   *   CANCELLED.check()
   * } catch (error) {
   *   console.log(isCancellation(error, CANCELLED)) // → true
   * }
   * ```
   */
  check(): void {
    try {
      if (this.seen === epoch) return
    } catch {
      throw stray('token', 'check')
    }
    const found = discover(this, DIRECT)
    if (found) throw errorOf(found, check)
  }

  /** The error that `check` would throw, or undefined. A read: it never calls a condition or uses up a counter. */
  get error(): CancellationError | undefined {
    const found = discover(this, READ)
    // Not in the `return`: there, JavaScriptCore removes the frame of the caller from the stack.
    if (found) errorOf(found, readError)
    return found?.error
  }

  /** The token where the cancellation started, or undefined: asyncio-cancel-token's `triggered_token`. A read. */
  get cancelledBy(): CancellationToken | undefined {
    return discover(this, READ)?.origin as CancellationToken | undefined
  }

  /**
   * The path of the cancellation: from the token where it started (`cancelledBy`) to this token. Each token on it was
   * cancelled by the one before it. The path is empty while the token is not cancelled. A read: it never calls a
   * condition or uses up a counter.
   *
   * A token on the path that was disposed of no longer knows its sources. So the path leaves out the tokens between it
   * and the start.
   *
   * @example
   * ```ts
   * import { SimpleToken } from 'calloff'
   *
   * const server = new SimpleToken({ name: 'server' })
   * const request = new SimpleToken({ name: 'request' }, server)
   * const query = new SimpleToken({ name: 'query' }, request)
   * server.cancel()
   * console.log(query.path.map(({ name }) => name).join(' > ')) // → server > request > query
   * ```
   */
  get path(): CancellationToken[] {
    return pathOf(own(this)) as CancellationToken[]
  }

  /** Why the token is cancelled, in one word: `error.kind`. A read. */
  get kind(): CancellationKind | undefined {
    return discover(this, READ)?.kind
  }

  /**
   * Whether the token can be cancelled at all: false for a `DefaultToken`, and true for every other token, because
   * `cancel()` cancels it. It stays true once the token is cancelled. C#'s `CanBeCanceled`. A read.
   */
  get canBeCancelled(): boolean {
    return !isNever(own(this))
  }

  /** The reason that was given to `cancel()`, or the reason of a foreign signal. A read. */
  get reason(): unknown {
    return discover(this, READ)?.reason
  }

  /**
   * Milliseconds until the earliest deadline of the token and of its ancestors. It is `Infinity` without a deadline,
   * and 0 when the token is cancelled. Go's `Deadline`, as the time that is left. A read.
   */
  get remaining(): number {
    const node = own(this)
    return discover(node, READ) ? 0 : timeLeft(node, Infinity)
  }

  /**
   * The time until the earliest deadline, for the `timeout` option of a client: a whole number of milliseconds from 1
   * to 2³¹ − 1, which clients and timers accept. Returns `undefined` where there is neither a deadline nor a `max`. A
   * read.
   *
   * The number is rounded up, so that the token is cancelled before the client gives up, and its error says why. For a
   * cancelled token it is 1: the client gives up at once.
   *
   * Errors: throws `RangeError` for a `max` below 1.
   *
   * @param options `max`: the largest number of milliseconds to return, also where there is no deadline
   *
   * @example
   * ```ts
   * import { NEVER, TimeoutToken } from 'calloff'
   *
   * console.log(new TimeoutToken(1_500.5).timeoutFor()! <= 1_501) // → true
   * console.log(new TimeoutToken(60_000).timeoutFor({ max: 5_000 })) // → 5000
   * console.log(NEVER.timeoutFor(), NEVER.timeoutFor({ max: 5_000 })) // → undefined 5000
   * ```
   */
  timeoutFor(options?: { readonly max?: number | undefined }): number | undefined {
    const max = optionalNonNegative('max', optionsOf(options, TIMEOUT_OPTIONS).max) ?? Infinity
    if (max < 1) throw new RangeError(`max must be 1 or more, got ${max}`)
    const ms = Math.min(Math.ceil(own(this).remaining), Math.floor(max))
    return ms === Infinity ? undefined : Math.min(Math.max(ms, 1), 0x7fff_ffff)
  }

  /**
   * Cancels the token, for good. On a token that is already cancelled, by hand or through a source, it changes nothing:
   * the first reason stands. It never cancels the sources of the token.
   *
   * Timing: when it returns, the token and all tokens that derive from it read cancelled, and every listener has been
   * called. The listeners of parents are called first. A listener that throws stops neither the other listeners nor the
   * caller. Its error surfaces as an uncaught error.
   *
   * Errors: throws `ImpossibleCancelError` on a `DefaultToken`.
   *
   * @param reason becomes `error.cause`: an `Error`, or a text that helps the reader of the log
   */
  cancel(reason?: unknown): this {
    const node = ownToCancel(this)
    if (!discover(node, READ)) settle(node, byHand(node, reason, cancel))
    return this
  }

  /**
   * Returns a combined token. It is cancelled with this token or with any of the others: cantok's `+`. To cancel the
   * combined token leaves its sources alone.
   */
  plus(...others: TokenOrSignal[]): CancellationToken {
    return new SimpleToken(own(this), ...others)
  }

  /**
   * Calls the listener once, when the token is cancelled. On a cancelled token it calls the listener at once. C#'s
   * `Register`, Go's `AfterFunc`.
   *
   * Timing: the listener runs within the call that cancels the token (`cancel`, a poll, a timer). Listeners of parents
   * run before listeners of children. On one token, they run in the order in which they were added. When a listener
   * runs, the token and all tokens that derive from it read cancelled.
   *
   * A listener may return a promise: {@link settled} waits until it has settled. A rejection surfaces as an uncaught
   * error, as an error that the listener throws does.
   *
   * Memory: this token holds the listener until the listener is called or stopped, or until the token is garbage. Apart
   * from the token, only its sources hold it. A listener does not keep the process alive, and does not use up a
   * counter. While there is a listener, the deadlines and conditions of the token and of its ancestors have a timer.
   *
   * @example
   * ```ts
   * import { SimpleToken } from 'calloff'
   *
   * const token = new SimpleToken()
   * const registration = token.onCancel((error) => console.log('cancelled:', error.cause))
   * token.cancel('enough') // → cancelled: enough
   * console.log(registration.stop()) // → false
   * ```
   */
  onCancel(listener: (error: CancellationError) => unknown): Registration {
    if (typeof listener !== 'function') throw wrongType('listener', 'a function', listener)
    // Mostly the token is live, and no proxy. To find that out with own() takes a tenth more time.
    if ((this as this | undefined)?.seen === epoch && this.itself === this)
      return subscribe(this, bind ? bind(listener) : listener)
    const node = own(this)
    if (node !== this) return node.onCancel(listener) // its kind may have a method of its own
    const bound = bind ? bind(listener) : listener
    if (!discover(node, READ)) return subscribe(node, bound)
    call(bound, node)
    return new Subscriber(undefined, bound, false)
  }

  /**
   * Resolves with the error of the cancellation once the token is cancelled. The error says where it started, and why.
   *
   * Conditions, and counters with `direct: false`, must be polled: they are polled every `step` ms. Every other
   * cancellation is pushed, and costs nothing while the promise waits. A pending wait keeps the process alive. It does
   * not where `hold` is false, or where nothing can ever end it: on a `DefaultToken` without a `timeout`.
   *
   * Errors: rejects with `TimeoutCancellationError` when `timeout` passes, with `RangeError` when `step` is longer than
   * `timeout`, and with the error of a condition that does not suppress its errors.
   */
  wait(options?: WaitOptions): Promise<CancellationError> {
    const node = ownIf(this)
    return node ? wait(node, options, make) : strayed()
  }

  /**
   * Waits until this token is cancelled, and then until its listeners have reacted: until each promise that a listener
   * returned has settled. The listeners of the tokens that derive from this one count, too, and the clean-up functions
   * of {@link promise}. With `timeout` it resolves at the latest then, and the report says who has not reacted.
   *
   * The listeners of a `grace` are called later, and are not waited for. A listener that awaits `settled` of its own
   * token waits for itself: give a `timeout` there. Conditions are polled as by `wait`. It keeps the process alive as
   * `wait` does, and then until all listeners have reacted.
   *
   * Errors: rejects with `RangeError` for a negative `timeout`, and with the error of a condition that does not suppress
   * its errors. A listener that fails has reacted: its error surfaces as an uncaught one.
   * Memory: the promise of a listener is held until it has settled.
   *
   * @example
   * ```ts
   * import { SimpleToken } from 'calloff'
   *
   * const shutdown = new SimpleToken({ name: 'shutdown' })
   * shutdown.onCancel(async function flush() {
   *   await new Promise((resolve) => setTimeout(resolve, 5))
   * })
   * shutdown.onCancel(function hang() {
   *   return new Promise(() => {})
   * })
   * shutdown.cancel()
   * const { pending } = await shutdown.settled({ timeout: 100 })
   * console.log(pending.map(({ listener, token }) => `${listener} of ${token}`)) // → [ 'hang of shutdown' ]
   * ```
   */
  settled(options?: SettledOptions): Promise<SettledReport> {
    const node = ownIf(this)
    return node ? settled(node, options, make) : strayed()
  }

  /**
   * The same as `wait`, but it blocks the thread. The thread does not spin: it sleeps until the nearest deadline, or
   * for `step`. For workers and command-line programs.
   *
   * Errors: throws `TimeoutCancellationError` when `timeout` passes. Throws `TypeError` where a thread may not block
   * (the main thread of a browser). Throws `TypeError`, too, where only this thread could ever cancel the token,
   * because the thread would hang for ever.
   */
  waitSync(options?: Omit<WaitOptions, 'hold'>): CancellationError {
    return waitSync(own(this), options, make)
  }

  /**
   * Settles as the first of the tasks does, or rejects with the token's error when the token is cancelled first.
   *
   * Each function gets a token of its own. That token is cancelled (kind `'race'`) as soon as the race ends, so the
   * losers really stop. Under a token that is already cancelled, the functions are not started. A task that has failed
   * by the time of the cancellation wins over it. Late failures of losers never become unhandled rejections.
   *
   * Errors: rejects with `TimeoutCancellationError` when `timeout` passes, and with `RangeError` for an empty array.
   * Memory: after the race, nothing is left on the token. On each promise at most one reaction of calloff is left,
   * without a value, however long the promise lives. A function that is given as `late` is kept for the tasks that
   * settle later, until they have settled, and is called with their values.
   *
   * @example
   * ```ts
   * import { SimpleToken } from 'calloff'
   *
   * const slow = (token: { sleep(ms: number): Promise<void> }) => token.sleep(60_000).then(() => 'slow')
   * console.log(await new SimpleToken().race([slow, async () => 'quick'])) // → quick
   * ```
   */
  race<T>(task: Task<T> | readonly Task<T>[], options?: RaceOptions<T>): Promise<T>
  /** The same, for tasks of several types. */
  race<const W extends readonly Task<unknown>[]>(
    tasks: W,
    options?: RaceOptions<ResultOf<W[number]>>,
  ): Promise<ResultOf<W[number]>>
  race<T>(task: Task<T> | readonly Task<T>[], options?: RaceOptions<T>): Promise<T> {
    const node = ownIf(this)
    return node ? race(node, task, options, make) : strayed()
  }

  /**
   * The result of the task, or `undefined` if this token is cancelled first: a cancellation as a value, without `try`.
   * tokio's `run_until_cancelled`, Kotlin's `withTimeoutOrNull`.
   *
   * The task is a promise or a function, as for {@link race}: a function gets a token of its own, and is not started
   * under a token that is already cancelled. Only the cancellation of this token becomes `undefined`, whether the task
   * rejects with it or not (`isCancellation(error, token)`). A task that has failed by then wins over it.
   *
   * With `grace`, the task has that many milliseconds, from the cancellation on, to clean up. A failure in this time is
   * not lost: it rejects. A value is dropped, because it came too late.
   *
   * Errors: rejects with the failure of the task, with the cancellation of another token, and with `RangeError` for a
   * negative `grace`. Without `grace`, a failure after the cancellation is dropped.
   * Memory: nothing is left on the token or on the promise, as with `race`.
   *
   * @example
   * ```ts
   * import { type CancellationToken, TimeoutToken } from 'calloff'
   *
   * const load = async (token: CancellationToken) => {
   *   await token.sleep(60_000)
   *   return 'the page'
   * }
   * const page = (await new TimeoutToken(5).untilCancelled(load)) ?? 'the page of yesterday'
   * console.log(page) // → the page of yesterday
   * ```
   */
  untilCancelled<T>(task: Task<T>, options?: UntilCancelledOptions): Promise<T | undefined> {
    const node = ownIf(this)
    return node ? untilCancelled(node, task, options, make) : strayed()
  }

  /**
   * A promise for the outcome of an API that calls back, as `new Promise(executor)`, but under this token. The executor
   * runs at once. It may return a function that stops what it has started. That function is called once if the token
   * is cancelled before the outcome, and never after a success or a failure. Kotlin's `suspendCancellableCoroutine`.
   *
   * Timing: in the call that cancels the token, the promise rejects and the clean-up function is called. If the
   * executor itself cancels the token, the clean-up function is called as soon as the executor has returned it. Under a
   * token that is already cancelled the executor is not called. After the cancellation, `resolve` and `reject` do
   * nothing. A promise that was given to `resolve`, and that is still pending, does not delay the cancellation.
   *
   * Errors: rejects with the token's error, with what `reject` was given, and with what the executor throws. An error
   * that the clean-up function throws surfaces as an uncaught error. A result of the executor that is neither a
   * function nor undefined (such as the promise of an async executor) is a `TypeError`.
   * Memory: when the promise has settled, nothing is left on the token.
   *
   * @example
   * ```ts
   * import { TimeoutToken } from 'calloff'
   *
   * const token = new TimeoutToken(5)
   * const answer = token.promise<string>((resolve) => {
   *   const timer = setTimeout(resolve, 60_000, 'too late')
   *   return () => clearTimeout(timer)
   * })
   * console.log(await answer.catch((error: Error) => error.name)) // → TimeoutError
   * ```
   */
  promise<T>(executor: Executor<T>): Promise<T> {
    const node = ownIf(this)
    return node ? promiseOf(node, executor) : strayed()
  }

  /**
   * Calls `task` until it succeeds. After a failure it waits for a delay, which grows, and calls `task` again, for as
   * long as there are attempts and time. Each attempt gets a token of its own. That token is cancelled (kind
   * `'dispose'`) when the attempt has failed, so that nothing of it goes on. It is not cancelled after a success: a
   * result (a response with a body to read) may still need it.
   *
   * A cancellation of this token is never retried, and ends a delay at once. A running attempt then has one turn of the
   * event loop to settle, and its outcome counts if it does. An attempt, or a `when`, that ignores the token is waited
   * for no longer.
   *
   * Errors: rejects with the failure of the last attempt. Rejects with the token's error when the token is cancelled
   * before, between, or during attempts. Rejects with `RetryBudgetError` instead of starting a delay, or an attempt,
   * that could not end within `remaining`.
   *
   * @example
   * ```ts
   * import { TimeoutToken } from 'calloff'
   *
   * const flaky = async (_token: unknown, attempt: number) => {
   *   if (attempt < 3) throw new Error('not yet')
   *   return `attempt ${attempt}`
   * }
   * console.log(await new TimeoutToken(5_000).retry(flaky, { delay: 10 })) // → attempt 3
   * ```
   */
  retry<T>(
    task: (token: CancellationToken, attempt: number) => T | PromiseLike<T>,
    options?: RetryOptions,
  ): Promise<T> {
    const node = ownIf(this)
    return node ? retry(node, task, options, child, this) : strayed()
  }

  /**
   * Resolves after `ms` milliseconds. Rejects with the token's error as soon as the token is cancelled. It keeps the
   * process alive.
   */
  sleep(ms: number): Promise<void> {
    const node = ownIf(this)
    return node ? sleep(node, ms, !isNever(node)) : strayed()
  }

  /**
   * A direct poll for long loops in async code. When the time slice (8 ms) is used up, it also lets the event loop
   * turn. Rejects with the token's error. Trio's checkpoint.
   */
  checkpoint(): Promise<void> {
    const node = ownIf(this)
    return node ? checkpoint(node) : strayed()
  }

  /**
   * Counts turns, 0, 1, 2 …, until the token is cancelled; then the loop ends. Each turn is a direct poll. With
   * `for await` each turn is a checkpoint, so that the event loop turns as well. Each loop counts from 0.
   *
   * A token itself is not iterable: test libraries compare iterables item by item, and a live token has no last item.
   *
   * @example
   * ```ts
   * import { CounterToken } from 'calloff'
   *
   * for (const turn of new CounterToken(2).turns()) console.log(turn)
   * // → 0
   * // → 1
   * ```
   */
  turns(): Iterable<number> & AsyncIterable<number> {
    return turns(own(this))
  }

  /**
   * Ticks every `ms` milliseconds until the token is cancelled; then the loop ends at once. The first tick comes after
   * `ms`. Each tick is the number of its period, from 1 on. The ticks do not drift. Periods that a slow consumer missed
   * are skipped, and never pile up.
   */
  every(ms: number): AsyncIterable<number> {
    const node = own(this)
    return every(node, ms, !isNever(node))
  }

  /**
   * The items of `source`, until the token is cancelled. Then a pending `next()` rejects at once with the token's
   * error, and the `return()` of the source is called. A source that ignores this does not hold the consumer. The loop
   * throws instead of ending, because half the data must not look like all of it.
   *
   * The source is also closed when it fails, when a condition throws, and when the caller leaves the loop. To leave the
   * loop waits until the source is closed, but not once the token is cancelled. A stream of Node is destroyed. Where a
   * stream has a `cancel()`, as a call of gRPC does, that is called first.
   *
   * Errors: throws the token's error, the failure of the source, and the error of a condition that does not suppress
   * its errors.
   * Memory: nothing is left on the token once the loop has ended.
   */
  iterate<T>(source: AsyncIterable<T> | Iterable<T>): AsyncIterable<T> {
    return iterate(own(this), source)
  }

  /**
   * A view of this token without the methods that cancel it: no `cancel`, no dispose, and no other way to them. Pass it
   * to code that may heed the token, and must not cancel it. It is taken wherever a token is: as a parent, and by
   * `plus`, `scope`, `share` and a hub. C#'s `CancellationToken`, where the token itself is the source.
   *
   * It is the same object at each read. A poll of the view is a poll of the token. A token that is made from a view is
   * an ordinary one, and can be cancelled.
   *
   * Limits: a view prevents mistakes. Code that reads the internal fields of a token that was made from the view finds
   * the token. And the error of a cancellation names the token where it started, as always: that one is cancelled by
   * then (but for a condition without caching).
   *
   * @example
   * ```ts
   * import { SimpleToken, type TokenView } from 'calloff'
   *
   * async function plugin(token: TokenView): Promise<string> {
   *   // token.cancel() does not compile, and would be a TypeError
   *   return token.keepOn() ? 'running' : 'stopped'
   * }
   * const token = new SimpleToken()
   * console.log(await plugin(token.view), 'cancel' in token.view && token.view.cancel) // → running undefined
   * ```
   */
  get view(): TokenView {
    return viewOf(own(this), CancellationToken.prototype, UNCLONABLE) as TokenView
  }

  /**
   * Returns a token that is cancelled `ms` after this one: the time for cleaning up. The time counts from the moment of
   * the cancellation itself. A condition and a foreign signal do not tell that moment: there, it is the moment when the
   * cancellation was noticed. The token carries the same error.
   */
  grace(ms: number): CancellationToken {
    return new GraceToken(own(this), ms)
  }

  /**
   * Returns a token that is cancelled with this one, but not by a cancellation of the given kinds: the client may leave
   * (`'disconnect'`), and the task goes on. A later cancellation of another kind still counts, of this token's parents
   * and of their parents, too. So does a deadline that passes later. With `'timeout'` among the kinds, deadlines do not
   * count, for `remaining` neither.
   *
   * Limits: this token itself keeps its first cancellation, so a `cancel()` on it that comes later does nothing. A
   * condition or a counter is not polled once its own token was cancelled by something else. And there is only the one
   * cancellation to hear of where a token stands for several: an `allOf`, a `someOf`, a `grace`, another `except`, a
   * token of another thread, process or copy of the package.
   *
   * Errors: throws `TypeError` without kinds, and for a kind that does not exist.
   *
   * @param kinds the kinds of cancellations that are left out
   *
   * @example
   * ```ts
   * import { SimpleToken, TimeoutToken } from 'calloff'
   *
   * const controller = new AbortController()
   * const request = new TimeoutToken(60_000, controller.signal)
   * const report = request.except('signal') // it is written although the client has left
   * controller.abort()
   * console.log(request.cancelled, report.cancelled, report.remaining > 59_000) // → true false true
   * ```
   */
  except(...kinds: [CancellationKind, ...CancellationKind[]]): CancellationToken {
    return new ExceptToken(own(this), kindsOf(kinds))
  }

  /**
   * A real `AbortSignal`, for `fetch`, streams and other libraries. It is made at the first read, and each read returns
   * the same one. Its reason is `token.error`.
   *
   * Memory: the signal may be given away and dropped as often as the caller likes. It always fires while there is a
   * listener on it, or on a signal that was composed of it, even if the token itself was dropped. It never warns of too
   * many listeners. A deadline, a condition, an `allOf`, a `someOf`, a `grace` and an `except` stay in memory with
   * their signal, as long as one of their sources does, until they are cancelled or disposed of (`using`).
   */
  get signal(): AbortSignal {
    const node = own(this)
    if (node.seen !== epoch) discover(node, READ)
    return signalOf(node)
  }

  /**
   * For `using`: cancels the token with kind `'dispose'`, and with it the tokens that derive from it. After that it
   * holds nothing.
   */
  [Symbol.dispose](): void {
    const node = ownToCancel(this)
    end(node, 'dispose')
    node.sources = node.rules = undefined
  }

  /** Returns the text of the token, for JSON and for loggers. A read. */
  toJSON(): string {
    return textFor(this)
  }

  /** Returns the call that makes the token: `SimpleToken(TimeoutToken(5000), ConditionToken(λ))`. A read. */
  toString(): string {
    return textFor(this)
  }

  /** The same text as a property: the property survives where a test library shows a copy of the token. @internal */
  get text(): string {
    const node = own(this)
    discover(node, READ)
    return textOf(node)
  }

  /**
   * A tag that differs for each token. Test libraries compare the tags of two tokens before they compare the contents,
   * so a token equals only itself. Vue leaves an object with such a tag alone. @internal
   */
  get [Symbol.toStringTag](): string {
    return tagOf(this, 'unclonable')
  }

  /** The text that `console.log` prints: one line for the token and for each of its ancestors. A read. @internal */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    const node = ownIf(this)
    if (!node) return Object.prototype.toString.call(this) // a prototype
    discover(node, READ)
    return treeOf(node)
  }

  /** @internal */
  get opaque(): boolean {
    return false
  }
  /** @internal */
  get polled(): boolean {
    return false
  }
  /** @internal */
  get endsItself(): boolean {
    return true
  }
  /** @internal */
  get uncached(): boolean {
    return false
  }
  /** @internal */
  pollOwn(_mode: Mode, _walk: number): Cancellation | undefined {
    return undefined
  }
  /** @internal */
  arm(): void {}
  /** @internal */
  subject(): string {
    const { name } = this
    return name === undefined ? 'token' : `token ${JSON.stringify(name)}`
  }
  /** @internal */
  explain(kind: CancellationKind): string {
    return kind === 'manual' ? 'was cancelled' : `was cancelled (${kind})`
  }
  /** @internal */
  form(): Form {
    return { call: classText(this, CancellationToken, 'CancellationToken') }
  }
}

// Not in the classes: a static field is compiled to a static block, which React Native's preset does not read.
Object.assign(CancellationToken, { error: CancellationError })
// With these, the stack of an error begins with the caller of the method.
// oxlint-disable-next-line typescript/unbound-method -- only named, for the stack; never called
const { cancel, check } = CancellationToken.prototype
// oxlint-disable-next-line typescript/unbound-method -- only named, for the stack; never called
const readError = Object.getOwnPropertyDescriptor(CancellationToken.prototype, 'error')?.get as Callee

Object.defineProperty(CancellationToken.prototype, SHOWN, { value: ['text'] })
Object.defineProperty(CancellationToken.prototype, BRAND, { value: (token: TokenNode) => needsPolls(own(token)) })
Object.defineProperty(CancellationToken.prototype, Symbol.for('Deno.customInspect'), {
  value: (CancellationToken.prototype as unknown as Record<symbol, unknown>)[Symbol.for('nodejs.util.inspect.custom')],
})

const child = (...sources: TokenNode[]) => new SimpleToken(...(sources as CancellationToken[]))
const isNever = (node: TokenNode) => node instanceof DefaultToken
const make = {
  child,
  limit: (ms: number, operation: string, of: TokenNode) => new LimitToken(ms, operation, of),
  isNever,
  grace: (node: TokenNode, ms: number) => new GraceToken(node as CancellationToken, ms),
}

/** The text of a token, or of the copy that a test library shows. */
function textFor(receiver: CancellationToken | undefined): string {
  const text: unknown = receiver?.text
  if (typeof text !== 'string') throw stray('token', 'toString')
  return text
}

function strayed(): Promise<never> {
  return Promise.reject(stray('token', 'cancel'))
}

/**
 * Gives a new node its sources, and applies its options. The arguments are those of a constructor, without the rule of
 * its kind.
 */
export function begin(
  node: CancellationToken,
  first: (TokenOptions & object) | TokenOrSignal | undefined,
  nested: readonly TokenOrSignal[],
  names: readonly string[] = TOKEN_OPTIONS,
): void {
  // First the most common case, before all the checks: one token to derive from. The rest is a function of its own, so
  // that this one is small enough for V8 to inline it into the constructors (14 instead of 21 ns on Node 20).
  if (nested.length > 0 || !isItself(first)) beginWith(node, first, nested, names)
  else if (!(first instanceof DefaultToken)) adopt(node, first)
}

function beginWith(
  node: CancellationToken,
  first: (TokenOptions & object) | TokenOrSignal | undefined,
  nested: readonly TokenOrSignal[],
  names: readonly string[],
): void {
  const sources: TokenNode[] = []
  let options: TokenOptions | undefined
  if (isToken(first)) addSource(sources, first)
  else if (first !== undefined) {
    if (typeof first !== 'object' || first === null) {
      throw wrongType('options', 'an object, a token or an AbortSignal', first)
    }
    if (toToken(first)) addSource(sources, first)
    else if (isArray(first)) throw noToken('options', first)
    else options = optionsOf(first as TokenOptions, names as NamesOf<TokenOptions>)
  }
  for (const one of nested) if (one !== undefined) addSource(sources, one)
  if (sources.length) adopt(node, sources.length > 1 ? sources : (sources[0] as TokenNode))
  if (options) heed(node, options)
}

function heed(node: CancellationToken, options: TokenOptions): void {
  const name = optional('name', 'string', options.name)
  if (name !== undefined) extrasOf(node).name = name
  const { reason } = options as TimeoutTokenOptions
  if (reason !== undefined) (node as TimeoutToken).limitedBy = reason
  if (optional('cancelled', 'boolean', options.cancelled)) {
    node.outcome = undefined // a cancellation by hand comes before a source that is cancelled
    settle(node, byHand(node, undefined, node.constructor))
  }
}

/** The error for a value that is no token. An array of tokens is none either. */
export function noToken(argument: string, value: unknown): TypeError {
  const error = wrongType(argument, 'a token or an AbortSignal', value)
  if (isArray(value)) error.message += ': spread an array, as in anyOf(...tokens)'
  return error
}

function addSource(sources: TokenNode[], one: unknown): void {
  const source = toToken(one)
  if (!source) throw noToken('nested', one)
  if (!(source instanceof DefaultToken)) sources.push(source)
}

/** Whether the first argument of a constructor is its options, and not the first of the parents. */
export function isOptions<T extends object>(first: T | TokenOrSignal | undefined): first is T {
  return first !== undefined && !toToken(first)
}

/**
 * Whether the value is a token of this copy of the package, and no proxy. It does not use `instanceof`, which is slow
 * within `try` (7 ns).
 */
function isItself(value: unknown): value is CancellationToken {
  try {
    const token = value as CancellationToken | null | undefined
    return token?.unclonable === UNCLONABLE && token.itself === value
  } catch {
    return false // a revoked proxy
  }
}

/** Whether the value is a token of this copy of the package. */
export function isToken(value: unknown): value is CancellationToken {
  try {
    return value instanceof CancellationToken
  } catch {
    return false // a revoked proxy
  }
}

/** Returns a token for a value that can cancel, or undefined for any other value. */
export function toToken(value: unknown): CancellationToken | undefined {
  if (isToken(value)) return own(value)
  let bridge = bridges.get(value as object)
  const foreign = bridge ? undefined : foreignOf(value)
  if (!foreign) return bridge
  bridge = bridges.get(foreign.key) // a controller's signal
  if (!bridge) bridges.set(foreign.key, (bridge = foreign.isNever ? new DefaultToken() : new BridgeToken(foreign)))
  return bridge
}

/** A token that is cancelled by hand only, or with one of its parents. */
export class SimpleToken extends CancellationToken {
  /**
   * @param options the options, or the first of the parents
   * @param nested parents: tokens, or AbortSignals. This token is cancelled with each of them.
   *
   * @example
   * ```ts
   * import { SimpleToken, TimeoutToken } from 'calloff'
   *
   * const request = new SimpleToken({ name: 'request' })
   * const query = new SimpleToken(request, new TimeoutToken(5_000))
   * query.cancel('found it')
   * console.log(query.cancelled, request.cancelled) // → true false
   * ```
   */
  constructor(options?: TokenOptions | TokenOrSignal, ...nested: TokenOrSignal[]) {
    super(UNCLONABLE)
    if (arguments.length > 0) begin(this, options, nested)
  }

  /** @internal */
  override form(): Form {
    return { call: classText(this, SimpleToken, 'SimpleToken') }
  }
}

/**
 * A token that is never cancelled, for optional token parameters. As a parent, or as a source of a combined token, it
 * is left out. Shared as {@link NEVER}.
 */
export class DefaultToken extends CancellationToken {
  declare static readonly error: typeof CancellationError

  constructor() {
    super(UNCLONABLE)
    if (arguments.length > 0) throw new TypeError('DefaultToken takes no arguments')
  }

  /** @throws ImpossibleCancelError always: the token is never cancelled. */
  override cancel(): never {
    throw new ImpossibleCancelError('a DefaultToken never ends, make a SimpleToken to cancel', {
      token: ownToCancel(this),
      kind: 'manual',
    })
  }

  /** Holds nothing, since the listener is never called. */
  override onCancel(listener: (error: CancellationError) => unknown): Registration {
    if (typeof listener !== 'function') throw wrongType('listener', 'a function', listener)
    own(this)
    let kept = true
    const stop = () => kept && !(kept = false)
    return { stop, [Symbol.dispose]: () => void stop() }
  }

  /** Does nothing. */
  override [Symbol.dispose](): void {
    ownToCancel(this)
  }

  /** @internal */
  override form(): Form {
    return { call: classText(this, DefaultToken, 'DefaultToken') }
  }
}

Object.assign(DefaultToken, { error: ImpossibleCancelError })
Object.defineProperty(DefaultToken.prototype, NEVER_BRAND, { value: true })

/**
 * A token that is cancelled once `ms` milliseconds have passed, with kind `'timeout'`.
 *
 * A poll compares the clock, so the token is also cancelled in a loop that never yields. It has a timer only while it
 * has a listener. The clock is monotonic (`performance.now`).
 */
export class TimeoutToken extends CancellationToken {
  declare static readonly error: typeof CancellationError

  /** @internal */ deadline: number
  /** The time that `restart()` gives. @internal */
  ms: number
  /** The milliseconds that `extend()` has added since the last restart. @internal */
  extended: number
  /** The reason of its options. @internal */
  limitedBy: unknown

  /**
   * @param ms milliseconds from now on: any number from 0 to `Infinity`, fractions too
   * @param options the options (`reason`: why the time is limited), or the first of the parents
   * @param nested parents: tokens, or AbortSignals. This token is cancelled with each of them.
   *
   * @example
   * ```ts
   * import { TimeoutToken } from 'calloff'
   *
   * const token = new TimeoutToken(20)
   * let turns = 0
   * while (token.keepOn()) turns++ // never yields, and ends
   * console.log(turns > 0, token.error?.name) // → true TimeoutError
   * ```
   */
  constructor(ms: number, options?: TimeoutTokenOptions | TokenOrSignal, ...nested: TokenOrSignal[]) {
    super(UNCLONABLE)
    this.extended = 0
    this.limitedBy = undefined
    if (arguments.length > 1) begin(this, options, nested, TIMEOUT_TOKEN_OPTIONS)
    this.ms = nonNegative('ms', ms)
    this.deadline = now() + ms
    giveRule(this)
    reports?.deadlineMade(this)
  }

  /**
   * Returns a token that is cancelled at a point in time: a `Date`, or milliseconds since 1970. With a time that has
   * passed it is cancelled at once.
   */
  static until(
    date: Date | number,
    options?: TimeoutTokenOptions | TokenOrSignal,
    ...nested: TokenOrSignal[]
  ): TimeoutToken {
    const at = date instanceof Date ? date.getTime() : date
    if (typeof at !== 'number') throw wrongType('date', 'a Date or a number', date)
    if (Number.isNaN(at)) throw new RangeError('date must be a valid date, got NaN')
    return new this(Math.max(0, at - Date.now()), options, ...nested)
  }

  /**
   * Starts the whole time again, from now on. For an idle timeout, call it at each sign of life.
   *
   * Returns true if it was in time. It revives nothing: if the token was already cancelled, which includes a deadline
   * that has passed and that no poll has noticed yet, it changes nothing and returns false.
   *
   * @param ms the new time, in milliseconds, also for later calls without `ms`. It may be shorter or longer than the
   * time before. Default: the time that the token has.
   *
   * @example
   * ```ts
   * import { TimeoutToken } from 'calloff'
   *
   * const download = new TimeoutToken(1_000, { name: 'download' }) // to connect
   * console.log(download.restart(30_000), download.remaining > 29_000) // → true true
   * ```
   */
  restart(ms?: number): boolean {
    const node = ownToCancel(this)
    const given = optionalNonNegative('ms', ms)
    if (discover(node, READ)) return false
    node.ms = given ?? node.ms
    node.extended = 0
    return moveDeadline(node, now() + node.ms)
  }

  /**
   * Moves the deadline `ms` milliseconds later, once: a later `restart()` gives the same time as before. A token
   * without a deadline, after `disarm()`, stays without one. Returns true if it was in time, as `restart` does.
   */
  extend(ms: number): boolean {
    const node = ownToCancel(this)
    nonNegative('ms', ms)
    if (discover(node, READ)) return false
    node.extended += ms
    return moveDeadline(node, node.deadline + ms)
  }

  /**
   * Takes the deadline off, until the next `restart()`: for a limit that counts only until a connection stands. The
   * token lives on. `cancel()` and its parents still cancel it. Returns true if it was in time, as `restart` does.
   *
   * @example
   * ```ts
   * import { TimeoutToken } from 'calloff'
   *
   * const connecting = new TimeoutToken(5_000, { reason: 'the server does not answer' })
   * // … once connected:
   * console.log(connecting.disarm(), connecting.remaining) // → true Infinity
   * ```
   */
  disarm(): boolean {
    const node = ownToCancel(this)
    return !discover(node, READ) && moveDeadline(node, Infinity)
  }

  override get cancelled(): boolean {
    // The token has no parent, and no cancellation is known: only the clock must be read.
    return this.seen === -epoch && this.rules === this && isBefore(this.deadline) ? false : !!discover(this, DIRECT)
  }

  override keepOn(): boolean {
    return (this?.seen === -epoch && this.rules === this && isBefore(this.deadline)) || !discover(own(this), DIRECT)
  }

  /** @internal */
  override pollOwn(): Cancellation | undefined {
    return (isTicking ? isBefore(this.deadline) : readClock() < this.deadline) ? undefined : this.#over()
  }

  #over(): Cancellation {
    return new Cancellation(this, 'timeout', this.limitedBy, this.deadline)
  }

  /** See ahead(). @internal */
  override get endsItself(): boolean {
    return false
  }

  /** @internal */
  ahead(): Cancellation | undefined {
    return this.deadline < Infinity ? this.#over() : undefined
  }

  /** @internal */
  override arm(): void {
    const ring = () => settle(this, this.#over())
    extrasOf(this).disarm = after(this.deadline - now(), ring, false)
  }

  /** @internal */
  override explain(kind: CancellationKind): string {
    return kind === 'timeout' ? `ran out of time after ${this.ms + this.extended} ms` : super.explain(kind)
  }

  /** @internal */
  override form(): Form {
    return {
      call: classText(this, TimeoutToken, 'TimeoutToken'),
      own: [String(this.ms)],
      options: { reason: typeof this.limitedBy === 'string' ? this.limitedBy : undefined },
      ms: this.deadline - now(),
    }
  }
}

Object.assign(TimeoutToken, { error: TimeoutCancellationError })

/** The time limit of one operation, for its `timeout` option. */
class LimitToken extends TimeoutToken {
  readonly #operation: string
  readonly #of: TokenNode

  constructor(ms: number, operation: string, of: TokenNode) {
    super(ms)
    this.#operation = operation
    this.#of = of
  }

  /** @internal */
  override subject(): string {
    const { name } = this.#of as CancellationToken
    return name === undefined ? this.#operation : `${this.#operation} on ${this.#of.subject()}`
  }
}

/** The token that `token.grace(ms)` returns: it is cancelled `ms` after its source. */
class GraceToken extends CancellationToken {
  readonly #ms: number
  /** The cancellation of its source, once it is known. */
  #ended: Cancellation | undefined

  constructor(source: CancellationToken, ms: number) {
    super(UNCLONABLE)
    this.#ms = nonNegative('ms', ms)
    this.sources = source
    this.rules = this
    this.seen = 0
  }

  /** @internal */
  override get opaque(): boolean {
    return true
  }

  /** @internal */
  override pollOwn(mode: Mode, walk: number): Cancellation | undefined {
    return climb(this, mode, walk)
  }

  /** @internal */
  known(): Cancellation | undefined {
    return this.#ended && this.#over(readClock(), this.#ended)
  }

  /** @internal */
  conclude(last: Cancellation): Cancellation | undefined {
    return this.#over(readClock(), (this.#ended ??= last))
  }

  /**
   * Returns the cancellation with the same error, `ms` later. A timer may have cancelled the source a little before its
   * time.
   */
  #over(moment: number, ended: Cancellation): Cancellation | undefined {
    if (Math.max(moment, ended.at) < ended.at + this.#ms) return undefined
    const later = this.#later(ended)
    later.error = errorOf(ended)
    return later
  }

  #later({ origin, kind, reason, at }: Cancellation): Cancellation {
    return new GraceCancellation(origin, kind, reason, at + this.#ms)
  }

  /** @internal */
  sourceEnded(): Cancellation | undefined {
    this.#ended ??= (this.sources as CancellationToken).outcome as Cancellation
    const found = this.#over(now(), this.#ended)
    if (!found) this.arm()
    return found
  }

  /** @internal */
  override arm(): void {
    const ended = (this.#ended ??= (this.sources as CancellationToken).outcome)
    if (!ended) return
    const ring = () => settle(this, this.#over(Infinity, ended) as Cancellation)
    extrasOf(this).disarm = after(this.#ms - Math.max(0, now() - ended.at), ring, false)
  }

  /** @internal */
  predictEnd([source]: readonly (Cancellation | undefined)[]): Cancellation | undefined {
    const ended = this.#ended ?? source
    if (!ended || this.#ms === Infinity) return undefined
    const later = this.#later(ended)
    if (ended === this.#ended || ended.order) later.error = errorOf(ended) // a cancellation to come has no error yet
    return later
  }

  /** @internal */
  override form(): Form {
    return { call: 'grace', own: [String(this.#ms)], method: true }
  }
}

/** The token that `token.except(…kinds)` returns. */
class ExceptToken extends CancellationToken {
  readonly #kinds: ReadonlySet<CancellationKind>

  constructor(source: CancellationToken, kinds: ReadonlySet<CancellationKind>) {
    super(UNCLONABLE)
    this.#kinds = kinds
    // Each ancestor is a source: one that lives on counts, although the token between was cancelled.
    this.sources = [...above(source, false)]
    this.rules = this
    this.seen = 0
  }

  /** @internal */
  override get opaque(): boolean {
    return true
  }

  /** @internal */
  override pollOwn(mode: Mode, walk: number): Cancellation | undefined {
    return climb(this, mode, walk)
  }

  /** @internal */
  heeds({ kind }: Cancellation): boolean {
    return !this.#kinds.has(kind)
  }

  /** A deadline among its sources whose token was cancelled by something else. That token has no timer any more. */
  #behind(): Cancellation | undefined {
    return this.#kinds.has('timeout') ? undefined : deadlineBehind(this.sources as readonly TokenNode[])
  }

  /** @internal */
  known(): Cancellation | undefined {
    const end = this.#behind()
    return end && readClock() >= end.at ? end : undefined
  }

  /** @internal */
  conclude(last: Cancellation): Cancellation {
    return last
  }

  /** @internal */
  sourceEnded(): Cancellation | undefined {
    const found = this.predictEnd((this.sources as readonly TokenNode[]).map(({ outcome }) => outcome))
    if (found && (found.order || found.at <= now())) return found
    this.arm()
    return undefined
  }

  /** @internal */
  override arm(): void {
    const extras = extrasOf(this)
    extras.disarm?.()
    const end = this.#behind()
    extras.disarm = end && after(end.at - now(), () => settle(this, end), false)
  }

  /** @internal */
  predictEnd(sources: readonly (Cancellation | undefined)[]): Cancellation | undefined {
    return inOrder([...sources, this.#behind()]).find((one) => this.heeds(one))
  }

  /** @internal */
  override form(): Form {
    return { call: 'except', own: [...this.#kinds].map(quoted), method: true }
  }
}

/**
 * Stands for a foreign source. There is one bridge for each source, however many tokens derive from it. So the source
 * carries one listener of calloff.
 */
class BridgeToken extends CancellationToken {
  readonly #foreign: ForeignSource

  constructor(foreign: ForeignSource) {
    super(UNCLONABLE)
    this.#foreign = foreign
    giveRule(this)
  }

  /** @internal */
  override get polled(): boolean {
    return this.#foreign.isPolled()
  }

  /** A foreign signal may be aborted by this program, for all that is known. @internal */
  override get endsItself(): boolean {
    return this.polled
  }

  /** @internal */
  override pollOwn(mode: Mode): Cancellation | undefined {
    return this.#foreign.isOver(mode === READ) ? this.#over() : undefined
  }

  #over(): Cancellation {
    const reason = this.#foreign.reason()
    const ours = isOurs(reason) && (fired.get(reason) ?? adopted(reason))
    if (ours) return ours
    // The reason may be of another realm.
    const timeout = isPlatformTimeout(reason)
    return new Cancellation(this, timeout ? 'timeout' : this.#foreign.isToken ? 'condition' : 'signal', reason, now())
  }

  /**
   * Adds a listener to the foreign source. Where that throws, it polls the state of the source instead. A call of the
   * listener counts only if the state of the source agrees.
   */
  override arm(): void {
    const hear = () => {
      if (this.#foreign.isOver(true)) settle(this, this.#over())
    }
    const poll = () => {
      extrasOf(this).disarm = after(POLL_EVERY, poll, false)
      hear()
    }
    let stop: () => void
    try {
      stop = this.#foreign.listen(hear)
    } catch {
      return poll()
    }
    // The source may have called the listener at once.
    if (this.outcome) stop()
    else extrasOf(this).disarm = stop
  }

  /** The deadline of a token of another copy. That copy may move it, without telling this one. @internal */
  ahead(isPublished: boolean): Cancellation | undefined {
    const at = now() // read before the other clock: else the deadline would lie behind that of the other copy
    const left = isPublished ? Infinity : this.#foreign.isOver(true) ? 0 : this.#foreign.remaining()
    return left < Infinity ? new Cancellation(this, 'timeout', undefined, at + left) : undefined
  }

  /** @internal */
  override form(): Form {
    return { call: 'from', own: [this.#foreign.label] }
  }
}

/** Milliseconds between two polls of a foreign source that takes no listener. */
const POLL_EVERY = 10

/**
 * The cancellation of an error of another copy: the same error goes on. Undefined if the error only pretends to be one.
 */
function adopted(error: CancellationError): Cancellation | undefined {
  try {
    const { token, kind, cause } = error
    if (!foreignOf(token)?.isToken) return undefined
    const cancellation = new Cancellation(token, kind, cause, now())
    cancellation.error = error
    return cancellation
  } catch {
    return undefined
  }
}

const bridges = new WeakMap<object, CancellationToken>()
