/**
 * Structured concurrency: a scope waits for the tasks that it has started, and none of them outlives the scope.
 *
 * The handle that the body gets is in handle.ts. The state, which runs tasks, lets them wait and keeps failures, is in
 * scope-state.ts.
 */
import { type NamesOf, optional, optionalNonNegative, optionsOf, wrongType } from '../arguments.js'
import { assimilate } from '../assimilate.js'
import { after } from '../clock.js'
import { ambientIf, bind } from '../context.js'
import { type Cancellation, discover, end, errorOf, INDIRECT, READ, subscribe, surface } from '../graph.js'
import { reports } from '../observation.js'
import { promiseUnder } from '../promises.js'
import { type CancellationToken, SimpleToken } from '../token.js'
import { parentOf, type TokenLike } from '../tokens/from.js'
import { ScopeState, failureOf, failUnlessCancelled, letGo, nothing } from './scope-state.js'
import { functionOf, Handle, type Scope } from './handle.js'
import { concurrencyOf, type Limit } from './limit.js'
import { describeTask, placeOfCaller, type StuckReport, warn } from './unfinished.js'

/** The options of a scope. */
export interface ScopeOptions {
  /** The name of its token in messages, and of the scope in reports. */
  readonly name?: string | undefined
  /**
   * How many tasks may run at once: a whole number from 1 on, or a {@link Limit} that several scopes share. The other
   * tasks wait, in order. Default: no limit. A task that waits for another task of the same scope, or under the same
   * limit, may wait for ever, because it has the place that the other task needs.
   */
  readonly concurrency?: number | Limit | undefined
  /** Milliseconds that a cancelled scope gets to end. Then it is reported, once. Default: for ever. */
  readonly stuckAfter?: number | undefined
  /**
   * Called when that time has passed. Default: a warning of the process (`process.emitWarning`), else `console.warn`.
   */
  readonly onStuck?: ((report: StuckReport) => void) | undefined
  /** Whether to keep for reports where each task was started. This takes about 1 µs a call. Default: true. */
  readonly trace?: boolean | undefined
  /**
   * Whether the scope takes the current token (`currentToken()` of `calloff/node`) as its parent where no token is
   * given. Then the scope's token is the current one in the body, and each task's own token is the current one in that
   * task. A given token wins, unless it is one that is never cancelled. Default: false.
   */
  readonly ambient?: boolean | undefined
}

const SCOPE_OPTIONS: NamesOf<ScopeOptions> = ['name', 'concurrency', 'stuckAfter', 'onStuck', 'trace', 'ambient']

/** The options of an open scope. */
export interface OpenScopeOptions extends ScopeOptions {
  /**
   * What happens when the caller leaves the block (`await using`) while tasks still run. `'wait'` waits for the tasks.
   * `'cancel'` cancels them (kind `'dispose'`) and then waits for them. Default: `'wait'`.
   */
  readonly onLeave?: 'wait' | 'cancel' | undefined
}

const OPEN_SCOPE_OPTIONS: NamesOf<OpenScopeOptions> = ['onLeave', ...SCOPE_OPTIONS]

/** A scope that the caller opens and closes: see {@link openScope}. */
export interface OpenScope extends Scope, AsyncDisposable {
  /**
   * Waits for all tasks. After that, none can be started. Throws what `scope` throws. A further call returns the same
   * promise.
   */
  close(): Promise<void>
  /**
   * Closes the scope when the caller leaves a block of `await using` (see `onLeave`). It does not throw again what
   * `close` has thrown.
   */
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * Runs `body`, waits for all tasks that it has started, and returns the value of the body. Then nothing that was
 * started is still running.
 *
 * The first failure, of a task or of the body, cancels the scope's token (kind `'sibling'`, with the failure as
 * reason), so that the other tasks stop. The failure is thrown when all tasks have settled. Several failures are thrown
 * as one `AggregateError`, in the order of time. A task that ends with the cancellation of its own token has not
 * failed. A task that ends with the cancellation of any other token has failed.
 *
 * Errors: rejects with the failure, or the failures. Without a failure, it rejects with the token's error if the token
 * was cancelled from outside. Then `body` is not called, or its value is dropped. A failure comes before a
 * cancellation, whichever was first: the caller can still read the cancellation (`token.error`), but could not read the
 * failure. A task's promise is never an unhandled rejection.
 *
 * Timing: it waits as long as the tasks take. `stuckAfter` reports the tasks that do not stop.
 * Memory: afterwards nothing is left on the given token, however long it lives. The scope's own token is cancelled
 * (kind `'dispose'`), and so are the tokens that derive from it.
 *
 * @param token a token, an AbortSignal or any other value that `from` takes; may be left out
 *
 * @example
 * ```ts
 * import { scope, TimeoutToken } from 'calloff'
 *
 * const sum = await scope(new TimeoutToken(5_000), async (s) => {
 *   const one = s.run(async () => 1)
 *   const two = s.run((token) => token.sleep(10).then(() => 2))
 *   return (await one) + (await two)
 * })
 * console.log(sum) // → 3
 * ```
 */
export function scope<T>(body: (scope: Scope) => T | PromiseLike<T>, options?: ScopeOptions): Promise<T>
export function scope<T>(
  token: TokenLike,
  body: (scope: Scope) => T | PromiseLike<T>,
  options?: ScopeOptions,
): Promise<T>
export function scope<T>(...given: unknown[]): Promise<T> {
  const place = reports && placeOfCaller()
  return promiseUnder<T>(undefined, (resolve, reject, rejectCancelled) => {
    const [token, body, options] = (typeof given[0] === 'function' ? [undefined, ...given] : given) as [
      TokenLike,
      (scope: Scope) => T | PromiseLike<T>,
      ScopeOptions | undefined,
    ]
    const parent = parentOf(token)
    functionOf('body', body)
    let value: T
    let isCancelled = false
    const { state, handle, begin } = makeScope(parent, options, () => {
      const outcome = conclude(state, isCancelled)
      if (!outcome) resolve(value)
      else if (state.failures.size) reject(outcome.error)
      else rejectCancelled(outcome.error)
    })
    const dead = discover(state.token, INDIRECT)
    if (dead) return rejectCancelled(errorOf(dead))
    begin(place)
    const returned = (result: T) => {
      value = result
      leave(state)
    }
    const threw = (error: unknown) => {
      isCancelled = !failUnlessCancelled(state, error, state.token)
      leave(state)
    }
    const { ambient, event } = state
    let result!: T | PromiseLike<T>
    const call = () => {
      result = ambient ? ambient.run(state.token, () => body(handle)) : body(handle)
    }
    try {
      if (event && reports) reports.within(event, call)
      else call()
    } catch (error) {
      return threw(error)
    }
    void assimilate(result, returned, threw)
  })
}

/**
 * Opens a scope that the caller holds, for `await using`, and for scopes that live longer than one function. Every
 * holder can start tasks in it, until it is closed.
 *
 * To leave the block waits for all tasks, and throws what `scope` throws. But `await using` does not tell why the block
 * was left. So an error of the block itself does not cancel the tasks, and does not count among their failures. (The
 * language makes one `SuppressedError` of both.) With `onLeave: 'cancel'`, the tasks are cancelled whenever the block
 * is left. A block that wants them to finish waits for them before, with `await s.close()`. Where everything is one
 * function, `scope` does better.
 *
 * A scope that is never closed never throws. Then only the promises of its tasks, and `token.error`, tell of failures.
 *
 * @example
 * ```ts
 * import { openScope } from 'calloff'
 *
 * await using works = openScope(undefined, { name: 'warm-up' })
 * works.run((token) => token.sleep(10).then(() => console.log('warm'))) // → warm
 * await works.close()
 * console.log(works.unfinished().length) // → 0
 * ```
 */
export function openScope(token?: TokenLike, options?: OpenScopeOptions): OpenScope {
  const { onLeave, ...others } = optionsOf(options, OPEN_SCOPE_OPTIONS)
  if (onLeave !== undefined && onLeave !== 'wait' && onLeave !== 'cancel') {
    throw wrongType('onLeave', "'wait' or 'cancel'", onLeave)
  }
  let settle = nothing
  const place = reports && placeOfCaller()
  const { state, traces, begin } = makeScope(parentOf(token), others, () => settle())
  begin(place)
  if (state.event) reports?.within(state.event, nothing)
  let closing: Promise<void> | undefined
  const close = () =>
    (closing ??= promiseUnder<void>(undefined, (resolve, reject, rejectCancelled) => {
      settle = () => {
        const outcome = conclude(state, false)
        if (!outcome) resolve()
        else if (state.failures.size) reject(outcome.error)
        else rejectCancelled(outcome.error)
      }
      leave(state)
    }))
  return new OpenHandle(state, traces, close, () => {
    // The holder that has called `close` gets its error, or has got it already.
    if (closing) return closing.then(nothing, nothing)
    if (onLeave === 'cancel') end(state.token, 'dispose')
    return close()
  })
}

class OpenHandle extends Handle implements OpenScope {
  constructor(
    state: ScopeState,
    traces: boolean,
    readonly close: () => Promise<void>,
    readonly leave: () => Promise<void>,
  ) {
    super(state, traces)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.leave()
  }
}

/** Makes the parts of a scope. The body, or the block, holds the scope from the beginning (SC1 in scope-state.ts). */
function makeScope(given: CancellationToken | undefined, options: ScopeOptions | undefined, onDone: () => void) {
  const { name, concurrency, stuckAfter, onStuck, trace, ambient } = optionsOf(options, SCOPE_OPTIONS)
  optional('name', 'string', name)
  const limit = concurrencyOf(concurrency)
  const ms = optionalNonNegative('stuckAfter', stuckAfter)
  const tell = optional('onStuck', 'function', onStuck) ?? warn
  const traces = optional('trace', 'boolean', trace) ?? true
  const keeper = ambientIf(optional('ambient', 'boolean', ambient))
  const parent = given ?? keeper?.current()
  const token = name === undefined ? new SimpleToken(parent) : new SimpleToken({ name }, ...(parent ? [parent] : []))
  let stop = nothing
  const state = new ScopeState(token, limit, keeper, () => {
    stop()
    onDone()
  })
  const begin = (place: Error | undefined) => {
    state.event = reports?.scopeStarted(state, traces ? place : undefined)
    if (ms !== undefined) stop = watch(state, ms, tell)
  }
  return { state, traces, handle: new Handle(state, traces), begin }
}

/**
 * Reports once if the scope is not done `stuckAfter` ms after its token was cancelled. Returns a function that prevents
 * this.
 */
function watch(state: ScopeState, stuckAfter: number, onStuck: (report: StuckReport) => void): () => void {
  const { token } = state
  const tell = () => {
    const report: StuckReport = {
      scope: token.name,
      token,
      error: errorOf(discover(token, READ) as Cancellation),
      stuckAfter,
      isBodyRunning: state.isBodyRunning,
      unfinished: Array.from(state.tasks, describeTask),
    }
    reports?.stuck(report)
    try {
      onStuck(report)
    } catch (error) {
      surface(error)
    }
  }
  const ring = bind ? bind(tell) : tell
  let stopTimer = nothing
  const begin = () => {
    // The timer keeps the process alive, so that the report can say why nothing else happens.
    stopTimer = after(stuckAfter, ring, stuckAfter < Infinity)
  }
  if (discover(token, READ)) begin()
  const subscriber = token.error ? undefined : subscribe(token, begin)
  return () => {
    subscriber?.stop()
    stopTimer()
  }
}

function leave(state: ScopeState): void {
  state.isBodyRunning = false
  letGo(state)
}

/** Returns the error of the whole scope, if there is one, and cancels its token. The scope must be done. */
function conclude(state: ScopeState, isCancelled: boolean): { readonly error: unknown } | undefined {
  const { token, failures } = state
  const dead = discover(token, READ)
  // A scope that has cancelled itself has ended as its body wanted, if the body has returned all the same.
  const counts = dead && (isCancelled || dead.origin !== token)
  const outcome = failures.size ? { error: failureOf(state) } : counts ? { error: errorOf(dead) } : undefined
  end(token, 'dispose')
  if (state.event) reports?.scopeEnded(state.event, outcome, failures.size > 0)
  return outcome
}
