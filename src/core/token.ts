/// <reference lib="es2018.asynciterable" preserve="true" />
/// <reference lib="es2020.promise" preserve="true" />
/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The token: one object that answers one question, "should I go on?".
 *
 * This is the handle that people hold; what is true of a graph of them is in graph.ts. Four kinds stand in this file, because
 * the base class makes them itself (a sum, a deadline, a grace, a bridge to a foreign signal) and they extend it: in files of
 * their own these would have to import each other in a circle. The other kinds are in tokens/.
 */
import { isArray, type NamesOf, nonNegative, optional, optionalNonNegative, optionsOf, wrongType } from './arguments.js'
import { signalOf } from './abort-signal.js'
import { after, isBefore, isTicking, now } from './clock.js'
import { bind } from './context.js'
import { classText, type Form, textOf, treeOf } from './describe.js'
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
  type Hub,
  hubOf,
  INDIRECT,
  LOOK,
  type Mode,
  moved,
  own,
  ownIf,
  pathOf,
  readClock,
  settle,
  type Some,
  Subscriber,
  subscribe,
  type TokenNode,
} from './graph.js'
import { iterate } from './iterate.js'
import { checkpoint, every, sleep, turns } from './pace.js'
import { race, type RaceOptions, type TaskOf } from './race.js'
import { timeLeft } from './remaining.js'
import { retry, type RetryOptions } from './retry.js'
import type { Callee } from './traces.js'
import { needsPolls, wait, type WaitOptions, waitSync } from './wait.js'

/** What can be nested in a token, or summed with one: tokens, of any copy of the package, and what `from()` takes. */
export type TokenOrSignal = CancellationToken | ForeignSignal

/** A platform signal, whatever realm or polyfill it comes from, seen by its shape. */
export interface ForeignSignal {
  readonly aborted: boolean
  addEventListener(type: 'abort', listener: () => void): void
  removeEventListener(type: 'abort', listener: () => void): void
}

/** What every kind of token takes among its options. */
export interface TokenOptions {
  /** For messages and for the text of the token. */
  readonly name?: string | undefined
  /** Born cancelled, as by hand. */
  readonly cancelled?: boolean | undefined
}

export const TOKEN_OPTIONS: NamesOf<TokenOptions> = ['name', 'cancelled']

/** Something to race: a promise, or a function that is started with a token of its own. */
export type Task<T> = TaskOf<CancellationToken, T>

/** What a task comes to. */
export type ResultOf<W> =
  W extends PromiseLike<infer T> ? T : W extends (token: CancellationToken) => infer R ? Awaited<R> : never

/** A listener's place. */
export interface Registration extends Disposable {
  /** Takes the listener back. True if that prevented the call: it had not been called, and now never will be. */
  stop(): boolean
}

const POLL_OPTIONS = ['direct'] as const
const TIMEOUT_OPTIONS = ['max'] as const

// `structuredClone` and `postMessage` refuse a symbol, and name it in the message: a token never arrives as a dead copy.
export const UNCLONABLE: symbol = Symbol(
  'a calloff token cannot be sent as it is, share() of calloff/threads makes a handle that can',
)

/**
 * The base of all tokens, and the type to ask for: `function work(token: CancellationToken = new DefaultToken())`.
 *
 * Memory: a token knows its sources, never the tokens derived from it, so a derived token that is dropped is garbage, with
 * no call of anything. Only while somebody listens (or waits, or races) does a token stand in the lists of its sources.
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
  /** The error class of a token that ends by its own rule. */
  declare static readonly error: typeof CancellationError

  /** @internal */ seen: number
  /** @internal */ outcome: Cancellation | undefined
  /** @internal */ sources: Some<TokenNode>
  /** @internal */ rules: Some<TokenNode>
  /** @internal */ hub: Hub | undefined
  /** @internal */ readonly unclonable: symbol
  /** @internal */ readonly itself: CancellationToken

  /** @internal */
  constructor(key?: symbol) {
    // Reading `new.target` costs 1 ns of 9, so our own kinds show that they are none of this.
    if (key !== UNCLONABLE && new.target === CancellationToken) {
      throw new TypeError('CancellationToken is abstract: make a SimpleToken')
    }
    this.unclonable = UNCLONABLE // first, so that it is what a refusal names
    this.itself = this
    this.seen = epoch
    this.outcome = undefined
    this.sources = undefined
    this.rules = undefined
    this.hub = undefined
  }

  /** What the token is called in messages. */
  get name(): string | undefined {
    return own(this).hub?.name
  }

  /**
   * Whether it is over: a direct poll.
   *
   * Asks, in this order: was I cancelled by hand; does my own rule say so; then each source, indirectly. The first yes is
   * remembered. A poll that discovers a cancellation makes it so: listeners have run before it returns.
   * `true` does not promise that whoever listens has finished reacting.
   */
  get cancelled(): boolean {
    return this.seen === epoch ? false : !!discover(this, DIRECT)
  }

  /** The same with a choice: `{ direct: false }` polls as a token that derives from this one would. */
  isCancelled(options?: { readonly direct?: boolean | undefined }): boolean {
    const direct = optional('direct', 'boolean', optionsOf(options, POLL_OPTIONS).direct)
    return !!discover(own(this), direct === false ? INDIRECT : DIRECT)
  }

  /** The opposite of `cancelled`, for loops: `while (token.keepOn())`. A direct poll. As in cantok. */
  keepOn(): boolean {
    try {
      if (this.seen === epoch) return true
    } catch {
      throw stray('token', 'keepOn') // called on nothing; to ask for that first takes a third more time
    }
    return !discover(this, DIRECT)
  }

  /**
   * Throws `token.error` if it is over; else does nothing. A direct poll. C#'s `ThrowIfCancellationRequested`.
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

  /** The error that `check` would throw, or undefined. A look: it never calls a condition or consumes a counter. */
  get error(): CancellationError | undefined {
    const found = discover(this, LOOK)
    // Not in the `return`: JavaScriptCore takes the frame of the caller away for a call in that place.
    if (found) errorOf(found, readError)
    return found?.error
  }

  /** The token where the cancellation started, or undefined: asyncio-cancel-token's `triggered_token`. A look. */
  get cancelledBy(): CancellationToken | undefined {
    return discover(this, LOOK)?.origin as CancellationToken | undefined
  }

  /**
   * The way of the cancellation: from where it started (`cancelledBy`) down to this token, each token cancelled by the one before
   * it. Empty while the token is not cancelled. A read: it never calls a condition or uses up a counter.
   *
   * Of a token on the way that was disposed of, the tokens between it and the start are not known, and left out.
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

  /** Why it is over, in one word: `error.kind`. A look. */
  get kind(): CancellationKind | undefined {
    return discover(this, LOOK)?.kind
  }

  /** What was given to `cancel()`, or a foreign signal's reason. A look. */
  get reason(): unknown {
    return discover(this, LOOK)?.reason
  }

  /**
   * Milliseconds until the earliest deadline at or above it; `Infinity` without one, 0 when it is over. Go's `Deadline`, as
   * what is left. A look.
   */
  get remaining(): number {
    const node = own(this)
    return discover(node, LOOK) ? 0 : timeLeft(node, Infinity)
  }

  /**
   * What is left until the earliest deadline, for the `timeout` option of a client: a whole number of milliseconds from 1 to
   * 2³¹ − 1, which is what clients and timers take. `undefined` where there is no deadline, and no `max`. A look.
   *
   * It is rounded up, so that the token ends first and says why. Of a token that is cancelled it is 1: the client gives up at once.
   *
   * Errors: `RangeError` for a `max` below 1.
   *
   * @param options `max`: the most milliseconds to give, also where there is no deadline
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
   * Cancels it, for good. On a token that is already over, through whatever source, nothing changes: the first reason stands.
   * Tokens it derives from are never touched.
   *
   * Timing: when this returns, every token below reads cancelled and every listener has been called; parents' listeners
   * first. A listener that throws stops nobody; its error surfaces as an uncaught one.
   *
   * Errors: on a `DefaultToken`, `ImpossibleCancelError`.
   *
   * @param reason becomes `error.cause`; an `Error` or some text that helps whoever reads the log.
   */
  cancel(reason?: unknown): this {
    const node = own(this)
    if (!discover(node, LOOK)) settle(node, byHand(node, reason, cancel))
    return this
  }

  /** A new token that is cancelled with this one or any of the others: cantok's `+`. Cancelling the sum leaves them alone. */
  plus(...others: TokenOrSignal[]): CancellationToken {
    return new SimpleToken(own(this), ...others)
  }

  /**
   * Calls back once, when it is cancelled; at once, if it is. C#'s `Register`, Go's `AfterFunc`.
   *
   * Timing: inside the call (`cancel`, a poll, a timer) that makes it so. Order: parents before children, else first come
   * first called. When a listener runs, every token below reads cancelled.
   *
   * Memory: the listener is held by this token, and by nothing longer-lived than its sources, until it is called, stopped
   * or the token is garbage. It does not keep the process alive, nor consume a counter. Deadlines and conditions above it
   * get a timer while somebody listens.
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
  onCancel(listener: (error: CancellationError) => void): Registration {
    if (typeof listener !== 'function') throw wrongType('listener', 'a function', listener)
    const bound = bind ? bind(listener) : listener
    // A live token, as mostly, and no proxy of one: to find that out by own() takes a tenth more time.
    if ((this as this | undefined)?.seen === epoch && this.itself === this) return subscribe(this, bound)
    const node = own(this)
    if (!discover(node, LOOK)) return subscribe(node, bound)
    call(bound, node)
    return new Subscriber(undefined, bound, false)
  }

  /**
   * Resolves with the error that says who and why, once it is cancelled.
   *
   * Only what must be polled (conditions, and counters with `direct: false`) is polled, every `step` ms; everything else is
   * pushed, at no cost while it waits. A pending wait keeps the process alive, unless `hold` is false, or nothing can ever
   * end it: on a `DefaultToken` without a `timeout`.
   *
   * Errors: rejects with `TimeoutCancellationError` when `timeout` passes; with `RangeError` when `step` is longer than it;
   * with whatever a condition throws that does not suppress it.
   */
  wait(options?: WaitOptions): Promise<CancellationError> {
    const node = ownIf(this)
    return node ? wait(node, options, make) : strayed()
  }

  /**
   * The same with the thread blocked, without spinning, for as long as the nearest deadline or `step` allows. For workers
   * and command-line programs.
   *
   * Errors: throws `TimeoutCancellationError` when `timeout` passes; `TypeError` where a thread may not block (a browser's
   * main thread), and where nothing but this very thread could ever cancel the token, rather than hang for ever.
   */
  waitSync(options?: Omit<WaitOptions, 'hold'>): CancellationError {
    return waitSync(own(this), options, make)
  }

  /**
   * Settles as the first of the tasks does, or rejects with the token's error when it is cancelled first.
   *
   * Functions get a token of their own, which is cancelled (kind `'race'`) as soon as the race is over, so the losers really
   * stop; under a token that is already over they are not started. A task that has failed by the time of the cancellation
   * wins over it. Late failures of losers never become unhandled rejections.
   *
   * Errors: `TimeoutCancellationError` when `timeout` passes; `RangeError` for nothing to race.
   * Memory: afterwards nothing is left on the token, or on the promises, however long they live: one reaction of calloff's at
   * most on each promise, and no value. With `late` it is called for what arrives later, and kept until then.
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
  /** The same for tasks of several types. */
  race<const W extends readonly Task<unknown>[]>(
    tasks: W,
    options?: RaceOptions<ResultOf<W[number]>>,
  ): Promise<ResultOf<W[number]>>
  race<T>(task: Task<T> | readonly Task<T>[], options?: RaceOptions<T>): Promise<T> {
    const node = ownIf(this)
    return node ? race(node, task, options, make) : strayed()
  }

  /**
   * Calls `task` until it succeeds: again after a failure, after a delay that grows, for as long as there are attempts, and
   * time. Each attempt gets a token of its own, which is cancelled (kind `'dispose'`) when the attempt has failed, so that
   * nothing of it goes on; what a successful attempt gives (a response with a body to read) may still hang on its token.
   *
   * A cancellation of this token is never retried. It ends a delay at once. An attempt has a turn of the event loop to end, and
   * counts if it does; an attempt, or a `when`, that is deaf to the token is waited for no longer.
   *
   * Errors: with what the last attempt has failed with; with the token's error when it is cancelled before, between, or during attempts;
   * with `RetryBudgetError` instead of starting a delay, or an attempt, that could not end within `remaining`.
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
    return node ? retry(node, task, options, child) : strayed()
  }

  /** Resolves after `ms` milliseconds; rejects with the token's error as soon as it is cancelled. Keeps the process alive. */
  sleep(ms: number): Promise<void> {
    const node = ownIf(this)
    return node ? sleep(node, ms, !isNever(node)) : strayed()
  }

  /**
   * For long loops in async code: a direct poll, and the event loop gets its turn when the time slice (8 ms) is used up.
   * Rejects with the token's error. Trio's checkpoint.
   */
  checkpoint(): Promise<void> {
    const node = ownIf(this)
    return node ? checkpoint(node) : strayed()
  }

  /**
   * Counts turns, 0, 1, 2 …, until the token is cancelled; then the loop ends. Each turn is a direct poll. With `for await`
   * each turn is a checkpoint, so that the event loop turns as well. Each loop counts from 0.
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
   * Ticks every `ms` milliseconds until it is cancelled; then the loop ends, at once. The first tick comes after `ms` and is
   * 1, the number of the period. It does not drift, and periods a slow consumer missed are skipped, never piled up.
   */
  every(ms: number): AsyncIterable<number> {
    const node = own(this)
    return every(node, ms, !isNever(node))
  }

  /**
   * The items of `source`, until it is cancelled: then a pending `next()` rejects at once with the token's error, and the
   * source's `return()` is called. A source that ignores it does not hold the consumer. It throws, rather than end, because
   * half the data must not look like all of it.
   *
   * The source is closed as well when it fails, when a condition throws, and when the loop is left. Leaving waits for that, but
   * not once the token is cancelled. Streams of Node are destroyed, after `cancel()` where they have it, as calls of gRPC do.
   *
   * Errors: what the source fails with; what a condition throws that does not suppress it.
   * Memory: nothing is left on the token once the loop has ended.
   */
  iterate<T>(source: AsyncIterable<T> | Iterable<T>): AsyncIterable<T> {
    return iterate(own(this), source)
  }

  /**
   * A token that lives on for `ms` after this one is cancelled, counted from the moment of the cancellation itself: the
   * budget for cleaning up. It carries the same error. (A condition, or a foreign signal, nobody can ask when it was; there
   * it is when it was noticed.)
   */
  grace(ms: number): CancellationToken {
    return new GraceToken(own(this), ms)
  }

  /**
   * A real `AbortSignal`, always the same, made when first asked for: for `fetch`, streams and everybody else's code. Its
   * reason is `token.error`.
   *
   * Memory: may be given away and dropped as often as you like. It always fires while somebody listens to it or to a signal
   * composed of it, even if the token itself was dropped. Never warns of too many listeners.
   */
  get signal(): AbortSignal {
    const node = own(this)
    if (node.seen !== epoch) discover(node, LOOK)
    return signalOf(node)
  }

  /** `using`: cancels it with kind `'dispose'`, so that what hangs on it ends; after that it holds nothing. */
  [Symbol.dispose](): void {
    const node = own(this)
    end(node, 'dispose')
    node.sources = node.rules = undefined
  }

  /** For JSON and for loggers: the text. A look. */
  toJSON(): string {
    return textFor(this)
  }

  /** Reads as the call that makes the token: `SimpleToken(TimeoutToken(5000), ConditionToken(λ))`. A look. */
  toString(): string {
    return textFor(this)
  }

  /** The same as a property, which survives where a test library shows a copy of the token. @internal */
  get text(): string {
    const node = own(this)
    discover(node, LOOK)
    return textOf(node)
  }

  /**
   * Another one for each token. By this, test libraries tell two tokens apart before they compare what is in them: a token is
   * equal to itself alone. Vue leaves alone what has such a tag. @internal
   */
  get [Symbol.toStringTag](): string {
    return tagOf(this, 'unclonable')
  }

  /** What `console.log` draws: a line for every token at or above it. A look. @internal */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    const node = ownIf(this)
    if (!node) return Object.prototype.toString.call(this) // a prototype
    discover(node, LOOK)
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
  get fleeting(): boolean {
    return false
  }
  /** @internal */
  ask(_mode: Mode, _walk: number): Cancellation | undefined {
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
// With these an error's stack begins with the caller of the method.
// oxlint-disable-next-line typescript/unbound-method -- only told to the engine, never called
const { cancel, check } = CancellationToken.prototype
// oxlint-disable-next-line typescript/unbound-method -- only told to the engine, never called
const readError = Object.getOwnPropertyDescriptor(CancellationToken.prototype, 'error')?.get as Callee

Object.defineProperty(CancellationToken.prototype, SHOWN, { value: ['text'] })
Object.defineProperty(CancellationToken.prototype, BRAND, { value: needsPolls })
Object.defineProperty(CancellationToken.prototype, Symbol.for('Deno.customInspect'), {
  value: (CancellationToken.prototype as unknown as Record<symbol, unknown>)[Symbol.for('nodejs.util.inspect.custom')],
})

const child = (...sources: TokenNode[]) => new SimpleToken(...(sources as CancellationToken[]))
const isNever = (node: TokenNode) => node instanceof DefaultToken
const make = {
  child,
  limit: (ms: number, operation: string, of: TokenNode) => new LimitToken(ms, operation, of),
  isNever,
}

/** Of a token, or of the copy that a test library shows. */
function textFor(receiver: CancellationToken | undefined): string {
  const text: unknown = receiver?.text
  if (typeof text !== 'string') throw stray('token', 'toString')
  return text
}

function strayed(): Promise<never> {
  return Promise.reject(stray('token', 'cancel'))
}

/** What a constructor was given beside the rule of its kind: puts the new node below its sources, and heeds its options. */
export function begin(
  node: CancellationToken,
  first: (TokenOptions & object) | TokenOrSignal | undefined,
  nested: readonly TokenOrSignal[],
  names: readonly string[] = TOKEN_OPTIONS,
): void {
  // The commonest by far, ahead of all the checks: one token to derive from. The rest is a function of its own, so that this
  // one is small enough for V8 to put it into the constructors (14 instead of 21 ns on Node 20).
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
  if (name !== undefined) hubOf(node).name = name
  if (optional('cancelled', 'boolean', options.cancelled)) {
    node.outcome = undefined // by hand comes before a source that has ended
    settle(node, byHand(node, undefined, node.constructor))
  }
}

/** One of several tokens is none. */
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

/** Whether a constructor's first argument is its options, not the first of the nested tokens. */
export function isOptions<T extends object>(first: T | TokenOrSignal | undefined): first is T {
  return first !== undefined && !toToken(first)
}

/** Whether it is a token of this copy of the package, and no proxy of one. Not by `instanceof`, which is slow within `try` (7 ns). */
function isItself(value: unknown): value is CancellationToken {
  try {
    const token = value as CancellationToken | null | undefined
    return token?.unclonable === UNCLONABLE && token.itself === value
  } catch {
    return false // a revoked proxy
  }
}

/** Whether it is a token of this copy of the package. */
export function isToken(value: unknown): value is CancellationToken {
  try {
    return value instanceof CancellationToken
  } catch {
    return false // a revoked proxy
  }
}

/** A token for whatever can cancel, or undefined for what cannot. */
export function toToken(value: unknown): CancellationToken | undefined {
  if (isToken(value)) return own(value)
  let bridge = bridges.get(value as object)
  const foreign = bridge ? undefined : foreignOf(value)
  if (!foreign) return bridge
  bridge = bridges.get(foreign.key) // a controller's signal
  if (!bridge) bridges.set(foreign.key, (bridge = foreign.isNever ? new DefaultToken() : new BridgeToken(foreign)))
  return bridge
}

/** Cancelled by hand only, or by what is nested in it. */
export class SimpleToken extends CancellationToken {
  /**
   * @param options or the first of the nested tokens
   * @param nested tokens, or AbortSignals, that cancel this one when they are cancelled
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

/** Never ends: for optional token parameters. Disappears in a sum and as a nested token. Shared as {@link NEVER}. */
export class DefaultToken extends CancellationToken {
  declare static readonly error: typeof CancellationError

  constructor() {
    super(UNCLONABLE)
    if (arguments.length > 0) throw new TypeError('DefaultToken takes no arguments')
  }

  /** @throws ImpossibleCancelError always: it never ends. */
  override cancel(): never {
    throw new ImpossibleCancelError('a DefaultToken never ends, make a SimpleToken to cancel', {
      token: own(this),
      kind: 'manual',
    })
  }

  /** Holds nothing, since it will never call. */
  override onCancel(listener: (error: CancellationError) => void): Registration {
    if (typeof listener !== 'function') throw wrongType('listener', 'a function', listener)
    own(this)
    let kept = true
    const stop = () => kept && !(kept = false)
    return { stop, [Symbol.dispose]: () => void stop() }
  }

  /** Does nothing. */
  override [Symbol.dispose](): void {
    own(this)
  }

  /** @internal */
  override form(): Form {
    return { call: classText(this, DefaultToken, 'DefaultToken') }
  }
}

Object.assign(DefaultToken, { error: ImpossibleCancelError })
Object.defineProperty(DefaultToken.prototype, NEVER_BRAND, { value: true })

/**
 * Cancelled once `ms` milliseconds have passed, kind `'timeout'`.
 *
 * A poll compares the clock, so it fires in a loop that never yields; a timer exists only while somebody listens. The clock
 * is monotonic (`performance.now`).
 */
export class TimeoutToken extends CancellationToken {
  declare static readonly error: typeof CancellationError

  /** @internal */ deadline: number
  /** @internal */ readonly ms: number

  /**
   * @param ms how long, from now on: any number from 0 to `Infinity`, fractions too
   * @param options or the first of the nested tokens
   * @param nested tokens, or AbortSignals, that cancel this one when they are cancelled
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
  constructor(ms: number, options?: TokenOptions | TokenOrSignal, ...nested: TokenOrSignal[]) {
    super(UNCLONABLE)
    if (arguments.length > 1) begin(this, options, nested)
    this.ms = nonNegative('ms', ms)
    this.deadline = now() + ms
    giveRule(this)
  }

  /** Cancelled at a point in time: a `Date`, or milliseconds since 1970. One that has passed is over at once. */
  static until(date: Date | number, options?: TokenOptions | TokenOrSignal, ...nested: TokenOrSignal[]): TimeoutToken {
    const at = date instanceof Date ? date.getTime() : date
    if (typeof at !== 'number') throw wrongType('date', 'a Date or a number', date)
    if (Number.isNaN(at)) throw new RangeError('date must be a valid date, got NaN')
    return new this(Math.max(0, at - Date.now()), options, ...nested)
  }

  /** From now on again: the whole `ms`. Revives nothing: false if the token was already over. An idle timeout is this, at each sign of life. */
  restart(): boolean {
    const node = own(this)
    if (discover(node, LOOK) !== undefined) return false
    node.deadline = now() + node.ms
    if (node.hub?.driver) {
      node.hub.driver()
      node.arm()
      moved(node)
    }
    return true
  }

  override get cancelled(): boolean {
    // Alone and nothing on record above: only the clock is to be asked.
    return this.seen === -epoch && this.rules === this && isBefore(this.deadline) ? false : !!discover(this, DIRECT)
  }

  override keepOn(): boolean {
    return (this?.seen === -epoch && this.rules === this && isBefore(this.deadline)) || !discover(own(this), DIRECT)
  }

  /** @internal */
  override ask(): Cancellation | undefined {
    return (isTicking ? isBefore(this.deadline) : readClock() < this.deadline) ? undefined : this.#over()
  }

  #over(): Cancellation {
    return new Cancellation(this, 'timeout', undefined, this.deadline)
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
    hubOf(this).driver = after(this.deadline - now(), ring, false)
  }

  /** @internal */
  override explain(kind: CancellationKind): string {
    return kind === 'timeout' ? `ran out of time after ${this.ms} ms` : super.explain(kind)
  }

  /** @internal */
  override form(): Form {
    const left = Math.max(0, this.deadline - now())
    return {
      call: classText(this, TimeoutToken, 'TimeoutToken'),
      own: [String(this.ms)],
      left: `${left === Infinity ? left : Math.ceil(left)} ms left`,
    }
  }
}

Object.assign(TimeoutToken, { error: TimeoutCancellationError })

/** The time limit of one operation, as its `timeout` option has it. */
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

/** What `token.grace(ms)` gives: lives on for `ms` after its source. */
class GraceToken extends CancellationToken {
  readonly #ms: number
  /** The end of its source, once it has heard of it. */
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
  override ask(mode: Mode, walk: number): Cancellation | undefined {
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

  /** The same error, `ms` later; a timer may have ended the source a little before its time. */
  #over(moment: number, ended: Cancellation): Cancellation | undefined {
    if (Math.max(moment, ended.at) < ended.at + this.#ms) return undefined
    const later = this.#later(ended)
    later.error = errorOf(ended)
    return later
  }

  #later({ origin, kind, reason, at }: Cancellation): Cancellation {
    return new Cancellation(origin, kind, reason, at + this.#ms)
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
    hubOf(this).driver = after(this.#ms - Math.max(0, now() - ended.at), ring, false)
  }

  /** @internal */
  foretell([source]: readonly (Cancellation | undefined)[]): Cancellation | undefined {
    const ended = this.#ended ?? source
    if (!ended || this.#ms === Infinity) return undefined
    const later = this.#later(ended)
    if (ended === this.#ended || ended.order) later.error = errorOf(ended) // what has not happened has none yet
    return later
  }

  /** @internal */
  override form(): Form {
    return { call: 'grace', own: [String(this.#ms)], method: true }
  }
}

/** Stands for something foreign: one for each, however many tokens derive from it, so that it carries one listener of ours. */
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

  /** A foreign signal is aborted by this program, as far as is known. @internal */
  override get endsItself(): boolean {
    return this.polled
  }

  /** @internal */
  override ask(mode: Mode): Cancellation | undefined {
    return this.#foreign.isOver(mode === LOOK) ? this.#over() : undefined
  }

  #over(): Cancellation {
    const reason = this.#foreign.reason()
    const ours = isOurs(reason) && (fired.get(reason) ?? adopted(reason))
    if (ours) return ours
    // The reason may be of another realm.
    const timeout = isPlatformTimeout(reason)
    return new Cancellation(this, timeout ? 'timeout' : this.#foreign.isToken ? 'condition' : 'signal', reason, now())
  }

  /** Listens to it; where that throws, its state is polled instead. What is heard of counts only if the state says the same. */
  override arm(): void {
    const hear = () => {
      if (this.#foreign.isOver(true)) settle(this, this.#over())
    }
    const poll = () => {
      hubOf(this).driver = after(POLL_EVERY, poll, false)
      hear()
    }
    let stop: () => void
    try {
      stop = this.#foreign.listen(hear)
    } catch {
      return poll()
    }
    // It may have called back at once.
    if (this.outcome) stop()
    else hubOf(this).driver = stop
  }

  /** Of another copy's deadline: it may be moved there, of which nobody here is told. @internal */
  ahead(told: boolean): Cancellation | undefined {
    const at = now() // before what is counted from a later moment: else the deadline would lie behind theirs
    const left = told ? Infinity : this.#foreign.isOver(true) ? 0 : this.#foreign.remaining()
    return left < Infinity ? new Cancellation(this, 'timeout', undefined, at + left) : undefined
  }

  /** @internal */
  override form(): Form {
    return { call: 'from', own: [this.#foreign.label] }
  }
}

/** Milliseconds between two polls of something foreign that cannot be listened to. */
const POLL_EVERY = 10

/** It was one of ours all along: the same error goes on. Undefined if it only pretends to be one. */
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
