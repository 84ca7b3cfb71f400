/** The handle that a body gets: it starts tasks, one alone or several together. What runs them is in scope-state.ts. */
import { type NamesOf, optional, optionalNonNegative, optionsOf, wrongType } from '../arguments.js'
import { isCancellation } from '../errors.js'
import { byHand, discover, errorOf, READ, settle } from '../graph.js'
import { promiseUnder } from '../promises.js'
import { thenOf } from '../reactions.js'
import { type CancellationToken, type ResultOf, SimpleToken } from '../token.js'
import { parentOf, type TokenLike } from '../tokens/from.js'
import {
  type ScopeState,
  closedError,
  fail,
  submit,
  hold,
  failUnlessCancelled,
  letGo,
  type ScopeTask,
} from './scope-state.js'
import { concurrencyOf, withGate } from './limit.js'
import { type Flow, map, type MapOptions, type MapTask } from './map.js'
import { stream, type StreamOptions } from './stream.js'
import { compete, type CompeteOptions, settleAll } from './combinators.js'
import { describeTask, placeOfCaller, type UnfinishedTask } from './unfinished.js'

/** The options of a task. */
export interface TaskOptions {
  /** The name of the task in reports. Default: the name of the function. */
  readonly name?: string | undefined
  /**
   * A token, or any other value that `from` takes. Its cancellation cancels this task alone. If the task still waits
   * for its turn, it is dropped at once, and the promise rejects with the token's error. This is no failure of the
   * scope, nor is it one that the task then rejects with the token's error.
   */
  readonly token?: TokenLike
  /**
   * Whether the scope survives a failure of this task. If true, the failure rejects the promise, and does nothing else:
   * it is the caller's to handle, and surfaces as an unhandled rejection if the caller does not. Default: false.
   */
  readonly survive?: boolean | undefined
}

/** The options of `start`. */
export type StartOptions = Omit<TaskOptions, 'survive'>

/** A task that says when it is ready. */
export type StartTask<T> = (token: CancellationToken, ready: (value: T) => void) => unknown

const START_OPTIONS: NamesOf<StartOptions> = ['name', 'token']
const RUN_OPTIONS: NamesOf<TaskOptions> = ['survive', ...START_OPTIONS]
const MAP_OPTIONS: NamesOf<MapOptions> = ['concurrency', 'name', 'token']
const STREAM_OPTIONS: NamesOf<StreamOptions> = ['ordered', ...MAP_OPTIONS]
const COMPETE_OPTIONS: NamesOf<CompeteOptions> = ['hedge']

/**
 * Starts tasks, and waits for them.
 *
 * Errors: a promise that a scope returns is never an unhandled rejection, because the scope itself throws the failure.
 * There are three exceptions, which the caller handles: a failure with `survive`, a failure of `start` before the task
 * is ready, and the `ScopeClosedError` of a scope that has ended.
 * The scope also throws a failure that the caller has caught, but for these. So a failure that may be survived is caught
 * within the task, or the task is started with `survive`.
 */
export interface Scope {
  /**
   * The scope's own token, a child of the given one. Cancelled when a task fails (kind `'sibling'`), and when the scope
   * ends.
   */
  readonly token: CancellationToken

  /**
   * Starts a task at once, with a token of its own, which is a child of the scope's token. Resolves with the value of
   * the task. Tasks can start tasks.
   *
   * Errors: rejects with the failure of the task. Where the token is cancelled already, or is cancelled while the task
   * waits for its turn (`concurrency`), the task is not started, and the promise rejects with the token's error. This
   * holds for the token of the option `token` too.
   * Rejects with `ScopeClosedError` when the scope has ended.
   *
   * @example
   * ```ts
   * import { scope, SimpleToken } from 'calloff'
   *
   * const preview = new SimpleToken({ name: 'preview' })
   * const saved = await scope(async (s) => {
   *   s.run((token) => token.sleep(60_000), { token: preview })
   *   const answer = await s.run(async () => 'saved')
   *   preview.cancel('not needed any more') // the scope goes on
   *   return answer
   * })
   * console.log(saved) // → saved
   * ```
   */
  run<T>(task: ScopeTask<T>, options?: TaskOptions): Promise<T>

  /**
   * Starts a task that runs on, and resolves with the value that the task passes to `ready`: a server that listens, a
   * consumer that is subscribed. Trio's `nursery.start`. Further calls of `ready` do nothing.
   *
   * Errors: what ends the task before it is ready rejects the promise, and is no failure of the scope: its failure, its
   * cancellation, or an `Error` if it returns without a call of `ready`. It is the caller's to handle. A failure after
   * that is a failure of the scope. `ready` throws `TypeError` for a promise.
   *
   * @example
   * ```ts
   * import { scope } from 'calloff'
   *
   * await scope(async (s) => {
   *   const port = await s.start<number>(async (token, ready) => {
   *     ready(8080) // now it listens
   *     await token.wait()
   *   })
   *   console.log(port) // → 8080
   *   s.cancel()
   * })
   * ```
   */
  start<T = void>(task: StartTask<T>, options?: StartOptions): Promise<T>

  /**
   * Starts a task for each item. Resolves with the values of the tasks, in the order of the items. An item is pulled
   * when its task may start, and not before. The limit is `concurrency` of the scope, or its own `concurrency` if that
   * is less. From an async source, one item is pulled at a time.
   *
   * Errors: rejects with the failure of the first item that fails, or of the source. The source is also closed when an
   * item fails and when the scope is cancelled. A source that does not answer to that is not waited for.
   *
   * @example
   * ```ts
   * import { scope } from 'calloff'
   *
   * const sizes = await scope((s) => s.map(['a', 'bb', 'ccc'], async (text) => text.length, { concurrency: 2 }))
   * console.log(sizes) // → [ 1, 2, 3 ]
   * ```
   */
  map<T, R>(items: AsyncIterable<T> | Iterable<T>, task: MapTask<T, R>, options?: MapOptions): Promise<R[]>

  /**
   * Starts a task for each item, as `map` does, and gives the results as they come, for a loop. It works in constant
   * memory, also for a source without an end: at most `concurrency` items are under way. An item is under way until the
   * loop takes its result. Nothing is pulled before the loop begins.
   *
   * When the loop is left early, the running tasks are cancelled (kind `'dispose'`) and awaited, and the source is
   * closed. A caller that has called `next()` itself, and stops before the end, calls `return()`: the scope waits for it.
   *
   * Errors: throws the first failure of an item or of the source, which is a failure of the scope as well. Throws the
   * token's error when the scope, or the option `token`, is cancelled. Before it throws, the running tasks have
   * settled. Throws `TypeError` if neither the scope nor `options` has a limit; `concurrency: Infinity` is one.
   *
   * @example
   * ```ts
   * import { scope } from 'calloff'
   *
   * function* numbers() {
   *   for (let n = 1; ; n++) yield n
   * }
   * await scope(async (s) => {
   *   for await (const square of s.stream(numbers(), async (n) => n * n, { concurrency: 4, ordered: true })) {
   *     if (square > 9) break
   *     console.log(square) // → 1
   *   } // → 4
   * }) // → 9
   * ```
   */
  stream<T, R>(items: AsyncIterable<T> | Iterable<T>, task: MapTask<T, R>, options?: StreamOptions): AsyncIterable<R>

  /**
   * Starts several tasks and collects the outcome of each, value or error, as `Promise.allSettled` does. A failure of
   * one of them is no failure of the scope.
   */
  allSettled<const W extends readonly ScopeTask<unknown>[]>(
    tasks: W,
  ): Promise<{ -readonly [K in keyof W]: PromiseSettledResult<ResultOf<W[K]>> }>

  /**
   * Resolves with the first success, as `Promise.any` does. The other tasks are cancelled (kind `'race'`), and the
   * promise resolves when they have settled. Their failures are dropped. With `hedge`, the tasks are started one after
   * the other: the next one starts when the last one is late.
   *
   * Errors: rejects with an `AggregateError`, in the order of the tasks, when all have failed. This is then a failure
   * of the scope. Rejects with the token's error when the token was cancelled before. Rejects with `RangeError` for no
   * tasks.
   */
  any<T>(tasks: readonly ScopeTask<T>[], options?: CompeteOptions): Promise<T>
  any<const W extends readonly ScopeTask<unknown>[]>(tasks: W, options?: CompeteOptions): Promise<ResultOf<W[number]>>

  /**
   * Settles as the first task that settles, by success or by failure, as `Promise.race` does. The other tasks are
   * cancelled (kind `'race'`), and the promise settles when they have settled. Their outcomes are dropped.
   *
   * Errors: rejects with the failure of the first task, which is then a failure of the scope. Rejects with `RangeError`
   * for no tasks.
   */
  race<T>(tasks: readonly ScopeTask<T>[], options?: CompeteOptions): Promise<T>
  race<const W extends readonly ScopeTask<unknown>[]>(tasks: W, options?: CompeteOptions): Promise<ResultOf<W[number]>>

  /**
   * Cancels the scope's own token, and with it all running tasks. If the body returns all the same, so does the scope.
   */
  cancel(reason?: unknown): void

  /** The tasks that have not settled, in the order in which they were passed to the scope. */
  unfinished(): UnfinishedTask[]
}

export function functionOf<F>(argument: string, value: F): F {
  if (typeof value !== 'function') throw wrongType(argument, 'a function', value)
  return value
}

function tasksOf<W extends readonly ScopeTask<unknown>[]>(tasks: W): W {
  if (!Array.isArray(tasks)) throw wrongType('tasks', 'an array of functions', tasks)
  // Read once, so that exactly the checked functions are started.
  return Array.from(tasks, (task) => functionOf('tasks', task)) as readonly ScopeTask<unknown>[] as W
}

export class Handle implements Scope {
  readonly #state: ScopeState
  readonly #traces: boolean

  constructor(state: ScopeState, traces: boolean) {
    this.#state = state
    this.#traces = traces
  }

  get token(): CancellationToken {
    return this.#state.token
  }

  /** For `inspect`. @internal */
  get state(): ScopeState {
    return this.#state
  }

  run<T>(task: ScopeTask<T>, options?: TaskOptions): Promise<T> {
    const state = this.#state
    const place = this.#traces ? placeOfCaller() : undefined
    return this.#begin<T>((resolve, reject) => {
      const given = optionsOf(options, RUN_OPTIONS)
      const survive = optional('survive', 'boolean', given.survive)
      let wasCancelled = false
      const refuse = (error: unknown, token: CancellationToken) => {
        if (survive) wasCancelled = isCancellation(error, token)
        else failUnlessCancelled(state, error, token)
        reject(error)
      }
      const { name, parent } = this.#described(task, given)
      submit(state, { parent, task, name, place, resolve, reject: refuse })
      return survive ? () => wasCancelled : undefined
    })
  }

  start<T = void>(task: StartTask<T>, options?: StartOptions): Promise<T> {
    const state = this.#state
    const place = this.#traces ? placeOfCaller() : undefined
    return this.#begin<T>((resolve, reject) => {
      const { name, parent } = this.#described(task, optionsOf(options, START_OPTIONS))
      let own: CancellationToken | undefined
      let isReady = false
      let wasCancelled = false
      const refuse = (error: unknown, token: CancellationToken) => {
        if (isReady) failUnlessCancelled(state, error, token)
        else wasCancelled = isCancellation(error, token)
        reject(error)
      }
      const begin = (token: CancellationToken) => {
        own = token
        return task(token, (value) => {
          // The scope would wait for a promise that never settles.
          if (thenOf(value)) throw new TypeError('ready() takes no promise: await it first')
          isReady = true
          resolve(value)
        })
      }
      const ended = () => {
        if (isReady) return
        const token = own as CancellationToken
        const dead = discover(token, READ)
        const shown = name === undefined ? '' : ` ${JSON.stringify(name)}`
        refuse(dead ? errorOf(dead) : new Error(`the task${shown} has ended without a call of ready()`), token)
      }
      submit(state, { parent, task: begin, name, place, resolve: ended, reject: refuse })
      return () => wasCancelled
    })
  }

  map<T, R>(items: AsyncIterable<T> | Iterable<T>, task: MapTask<T, R>, options?: MapOptions): Promise<R[]> {
    const place = this.#traces ? placeOfCaller() : undefined
    return this.#begin<R[]>((resolve) => {
      const flow = this.#flow(items, task, optionsOf(options, MAP_OPTIONS), place)
      resolve(map({ ...flow, feed: flow.parent }))
      return undefined
    })
  }

  stream<T, R>(items: AsyncIterable<T> | Iterable<T>, task: MapTask<T, R>, options?: StreamOptions): AsyncIterable<R> {
    const place = this.#traces ? placeOfCaller() : undefined
    const given = optionsOf(options, STREAM_OPTIONS)
    const ordered = optional('ordered', 'boolean', given.ordered) ?? false
    const flow = this.#flow(items, task, given, place)
    if (given.concurrency === undefined && flow.limit === Infinity) {
      throw wrongType('concurrency', 'a number or a Limit where the scope has none', undefined)
    }
    return { [Symbol.asyncIterator]: () => stream(flow, ordered) }
  }

  allSettled<const W extends readonly ScopeTask<unknown>[]>(
    tasks: W,
  ): Promise<{ -readonly [K in keyof W]: PromiseSettledResult<ResultOf<W[K]>> }> {
    const place = this.#traces ? placeOfCaller() : undefined
    return this.#begin((resolve) => {
      settleAll(this.#state, tasksOf(tasks), place, resolve as never)
      return undefined
    })
  }

  any<T>(tasks: readonly ScopeTask<T>[], options?: CompeteOptions): Promise<T> {
    const place = this.#traces ? placeOfCaller() : undefined
    return this.#compete(tasks, options, place, false)
  }

  race<T>(tasks: readonly ScopeTask<T>[], options?: CompeteOptions): Promise<T> {
    const place = this.#traces ? placeOfCaller() : undefined
    return this.#compete(tasks, options, place, true)
  }

  cancel(reason?: unknown): void {
    if (!discover(this.token, READ)) settle(this.token, byHand(this.token, reason, cancel))
  }

  unfinished(): UnfinishedTask[] {
    return Array.from(this.#state.tasks, describeTask)
  }

  #compete<T>(
    tasks: readonly ScopeTask<T>[],
    options: CompeteOptions | undefined,
    place: Error | undefined,
    failuresCount: boolean,
  ): Promise<T> {
    return this.#begin<T>((resolve, reject) => {
      const hedge = optionalNonNegative('hedge', optionsOf(options, COMPETE_OPTIONS).hedge)
      if (!tasksOf(tasks).length) throw new RangeError('tasks must hold something to start, got an empty array')
      compete(this.#state, tasks, hedge, place, failuresCount, resolve, reject)
      return undefined
    })
  }

  /** The name of a task, and the parent of its token. */
  #described(task: unknown, { name, token }: StartOptions) {
    const { token: parent } = this.#state
    const given = optional('name', 'string', name)
    const { name: ofFunction } = functionOf('task', task as { readonly name: string })
    const own = parentOf(token)
    return { name: (given ?? ofFunction) || undefined, parent: own ? new SimpleToken(parent, own) : parent }
  }

  #flow<T, R>(
    items: AsyncIterable<T> | Iterable<T>,
    task: MapTask<T, R>,
    given: MapOptions,
    place: Error | undefined,
  ): Omit<Flow<T, R>, 'feed'> {
    const state = this.#state
    const { name, parent } = this.#described(task, given)
    const { max, gate } = concurrencyOf(given.concurrency)
    const limit = Math.min(max, state.concurrency.max)
    return { state, parent, items, task, name, place, limit, gates: withGate(state.gates, gate) }
  }

  /**
   * `how` starts the call. It returns nothing, or a function that tells of a rejection whether it is a cancellation.
   * Then any other rejection is the caller's to handle.
   */
  #begin<T>(
    how: (
      resolve: (value: T | PromiseLike<T>) => void,
      reject: (error: unknown) => void,
    ) => (() => boolean) | undefined,
  ): Promise<T> {
    const state = this.#state
    // The program has to handle this rejection: no scope is left that could tell of it.
    if (state.isDone) return Promise.reject(closedError(state))
    hold(state)
    let wasCancelled: (() => boolean) | undefined
    const promise = new Promise<T>((resolve, reject) => {
      try {
        wasCancelled = how(resolve, reject)
      } catch (error) {
        // An argument was wrong.
        reject(error)
        fail(state, error)
      }
    })
    // Handled, since the scope itself throws the failures. This is the one place that lets go of the hold above (SC1 of
    // scope-state.ts).
    const settled = () => letGo(state)
    promise.then(settled, settled)
    if (!wasCancelled) return promise
    const isHandled = wasCancelled
    return promiseUnder<T>(undefined, (resolve, reject, rejectCancelled) => {
      promise.then(resolve, (error: unknown) => (isHandled() ? rejectCancelled(error) : reject(error)))
    })
  }
}

// With this, the stack of an error begins with the caller of the method.
// oxlint-disable-next-line typescript/unbound-method -- only named, for the stack; never called
const { cancel } = Handle.prototype
