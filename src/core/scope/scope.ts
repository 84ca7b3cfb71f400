/**
 * Structured concurrency: a scope waits for what it has started, and nothing of it outlives the scope.
 *
 * What the body is given is in handle.ts; who works, waits and fails is in crew.ts.
 */
import { type NamesOf, optional, optionalCount, optionalNonNegative, optionsOf, wrongType } from '../arguments.js'
import { assimilate } from '../assimilate.js'
import { after } from '../clock.js'
import { ambientIf, bind } from '../context.js'
import { type Cancellation, discover, end, errorOf, INDIRECT, LOOK, subscribe, surface } from '../graph.js'
import { promiseUnder } from '../promises.js'
import { type CancellationToken, DefaultToken, SimpleToken, toToken } from '../token.js'
import type { TokenLike } from '../tokens/from.js'
import { Crew, failureOf, judge, letGo, nothing } from './crew.js'
import { functionOf, Handle, type Scope } from './handle.js'
import { describeTask, type StuckReport, warn } from './unfinished.js'

/** How a scope works. */
export interface ScopeOptions {
  /** What its token is called in messages, and the scope in reports. */
  readonly name?: string | undefined
  /**
   * How many tasks may run at once, a whole number from 1 on; the others wait, in order. Default: as many as there are. A
   * task that waits for another one of the same scope may wait for ever: it has the place that the other one needs.
   */
  readonly concurrency?: number | undefined
  /** Milliseconds a scope that is cancelled, by whatever, gets to end before that is reported, once. Default: for ever. */
  readonly stuckAfter?: number | undefined
  /** Told when that time is up. Default: a warning of the process (`process.emitWarning`), else `console.warn`. */
  readonly onStuck?: ((report: StuckReport) => void) | undefined
  /** Whether to remember where each task was started, for reports; that takes about 1 µs a call. Default: true. */
  readonly trace?: boolean | undefined
  /**
   * Where no token is given, hang below the current one (`currentToken()` of `calloff/node`), and be the current one for the
   * body and the tasks, each with its own. A given token wins, unless it is one that never ends. Default: false.
   */
  readonly ambient?: boolean | undefined
}

const SCOPE_OPTIONS: NamesOf<ScopeOptions> = ['name', 'concurrency', 'stuckAfter', 'onStuck', 'trace', 'ambient']

/** How a scope works that is not one function. */
export interface OpenScopeOptions extends ScopeOptions {
  /**
   * What leaving the block means (`await using`) while tasks still run: to wait for them, or to cancel them (kind
   * `'dispose'`) and wait for that. Default: `'wait'`.
   */
  readonly onLeave?: 'wait' | 'cancel' | undefined
}

const OPEN_SCOPE_OPTIONS: NamesOf<OpenScopeOptions> = ['onLeave', ...SCOPE_OPTIONS]

/** A scope that is not one function: see {@link openScope}. */
export interface OpenScope extends Scope, AsyncDisposable {
  /**
   * Waits for all tasks; after that none can be started. Throws what a scope throws. Called again, it gives the same promise.
   */
  close(): Promise<void>
  /** What leaving a block of `await using` calls: closes the scope (see `onLeave`); does not throw again what `close` has thrown. */
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * Runs `body`, waits for all it has started, and gives what it returns: nothing that was started is still running then.
 *
 * The first failure, of a task or of the body, cancels the scope's token (kind `'sibling'`, the failure as reason), so that the
 * others stop; it is thrown when all have settled. Several failures are thrown as one `AggregateError`, in the order of
 * time. What ends with the cancellation of its own token is no failure; a cancellation of any other token is.
 *
 * Errors: the failure, or the failures. Without one, the token's error if it was cancelled from outside: then `body` is not
 * called, or what it returns is dropped. A failure is thrown rather than a cancellation, whichever came first, because the
 * cancellation can still be asked for (`token.error`), and the failure could not. Never an unhandled rejection.
 *
 * Timing: it waits as long as it takes; `stuckAfter` reports what does not stop.
 * Memory: afterwards nothing is left on the token, however long it lives; the scope's own is over (kind `'dispose'`), and so is what
 * still hangs on it.
 *
 * @param token a token, an AbortSignal or whatever `from` takes; may be left out
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
  return promiseUnder<T>(undefined, (resolve, reject, callOff) => {
    const [token, body, options] = (typeof given[0] === 'function' ? [undefined, ...given] : given) as [
      TokenLike,
      (scope: Scope) => T | PromiseLike<T>,
      ScopeOptions | undefined,
    ]
    const parent = parentOf(token)
    functionOf('body', body)
    let value: T
    let isCalledOff = false
    const { crew, handle, begin } = gather(parent, options, () => {
      const verdict = conclude(crew, isCalledOff)
      if (!verdict) resolve(value)
      else if (crew.failures.size) reject(verdict.error)
      else callOff(verdict.error)
    })
    const dead = discover(crew.token, INDIRECT)
    if (dead) return callOff(errorOf(dead))
    begin()
    const returned = (result: T) => {
      value = result
      leave(crew)
    }
    const threw = (error: unknown) => {
      isCalledOff = !judge(crew, error, crew.token)
      leave(crew)
    }
    const { ambient } = crew
    let result: T | PromiseLike<T>
    try {
      result = ambient ? ambient.run(crew.token, () => body(handle)) : body(handle)
    } catch (error) {
      return threw(error)
    }
    void assimilate(result, returned, threw)
  })
}

/**
 * The same as a thing to hold, for `await using`, and for what lives longer than a function: tasks are started by whoever
 * has it, until it is closed.
 *
 * Leaving the block waits for all tasks, and throws what `scope` throws. But `await using` does not tell why the block was
 * left: an error of the block itself neither cancels the tasks nor counts among their failures (the language makes a
 * `SuppressedError` of both). `onLeave: 'cancel'` has the tasks cancelled whenever the block is left; those that are to be
 * finished are then waited for before, with `await s.close()`. Where all is one function, `scope` does better.
 *
 * A scope that is never closed never throws: what failed in it is told by the promises of its tasks alone, and by `token.error`.
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
  const { crew, traces, begin } = gather(parentOf(token), others, () => settle())
  begin()
  let closing: Promise<void> | undefined
  const close = () =>
    (closing ??= promiseUnder<void>(undefined, (resolve, reject, callOff) => {
      settle = () => {
        const verdict = conclude(crew, false)
        if (!verdict) resolve()
        else if (crew.failures.size) reject(verdict.error)
        else callOff(verdict.error)
      }
      leave(crew)
    }))
  return new OpenHandle(crew, traces, close, () => {
    // What it throws has been thrown already, or will be, to whoever closed it.
    if (closing) return closing.then(nothing, nothing)
    if (onLeave === 'cancel') end(crew.token, 'dispose')
    return close()
  })
}

class OpenHandle extends Handle implements OpenScope {
  constructor(
    crew: Crew,
    traces: boolean,
    readonly close: () => Promise<void>,
    readonly leave: () => Promise<void>,
  ) {
    super(crew, traces)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.leave()
  }
}

function parentOf(token: TokenLike): CancellationToken | undefined {
  if (token === undefined || token === null) return undefined
  const parent = toToken(token)
  if (!parent) throw wrongType('token', 'a token, an AbortSignal or an AbortController', token)
  return parent instanceof DefaultToken ? undefined : parent
}

/** Makes what works together; the body, or the block, holds it from the beginning. */
function gather(given: CancellationToken | undefined, options: ScopeOptions | undefined, onDone: () => void) {
  const { name, concurrency, stuckAfter, onStuck, trace, ambient } = optionsOf(options, SCOPE_OPTIONS)
  optional('name', 'string', name)
  const limit = optionalCount('concurrency', concurrency) ?? Infinity
  const ms = optionalNonNegative('stuckAfter', stuckAfter)
  const tell = optional('onStuck', 'function', onStuck) ?? warn
  const traces = optional('trace', 'boolean', trace) ?? true
  const keeper = ambientIf(optional('ambient', 'boolean', ambient))
  const parent = given ?? keeper?.current()
  const token = name === undefined ? new SimpleToken(parent) : new SimpleToken({ name }, ...(parent ? [parent] : []))
  let stop = nothing
  const crew = new Crew(token, limit, keeper, () => {
    stop()
    onDone()
  })
  const begin = () => {
    if (ms !== undefined) stop = watch(crew, ms, tell)
  }
  return { crew, traces, handle: new Handle(crew, traces), begin }
}

/** Has it reported, once, when the crew does not end in time after it was cancelled. Gives what takes that back. */
function watch(crew: Crew, stuckAfter: number, onStuck: (report: StuckReport) => void): () => void {
  const { token } = crew
  const tell = () => {
    try {
      onStuck({
        scope: token.name,
        error: errorOf(discover(token, LOOK) as Cancellation),
        stuckAfter,
        isBodyRunning: crew.isBodyRunning,
        unfinished: Array.from(crew.jobs, describeTask),
      })
    } catch (error) {
      surface(error)
    }
  }
  const ring = bind ? bind(tell) : tell
  let stopTimer = nothing
  const begin = () => {
    // It keeps the process alive, to say why nothing else happens.
    stopTimer = after(stuckAfter, ring, stuckAfter < Infinity)
  }
  if (discover(token, LOOK)) begin()
  const subscriber = token.error ? undefined : subscribe(token, begin)
  return () => {
    subscriber?.stop()
    stopTimer()
  }
}

function leave(crew: Crew): void {
  crew.isBodyRunning = false
  letGo(crew)
}

/** What all of it throws, if anything; then its token is over. */
function conclude(crew: Crew, isCalledOff: boolean): { readonly error: unknown } | undefined {
  const { token, failures } = crew
  const dead = discover(token, LOOK)
  // By its own `cancel`, it has come to an end as it wanted to, if the body has returned all the same.
  const counts = dead && (isCalledOff || dead.origin !== token)
  const verdict = failures.size ? { error: failureOf(crew) } : counts ? { error: errorOf(dead) } : undefined
  end(token, 'dispose')
  return verdict
}
