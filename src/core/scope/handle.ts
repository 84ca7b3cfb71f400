/** The handle that a body gets: it starts tasks, one alone or several together. What runs them is in scope-state.ts. */
import { type NamesOf, optional, optionalCount, optionalNonNegative, optionsOf, wrongType } from '../arguments.js'
import { byHand, discover, READ, settle } from '../graph.js'
import type { CancellationToken, ResultOf } from '../token.js'
import {
  type ScopeState,
  fail,
  submit,
  hold,
  SubmittedTask,
  failUnlessCancelled,
  letGo,
  ScopeClosedError,
  type ScopeTask,
} from './scope-state.js'
import { map, type MapOptions, type MapTask } from './map.js'
import { compete, type CompeteOptions, settleAll } from './combinators.js'
import { describeTask, placeOfCaller, type UnfinishedTask } from './unfinished.js'

/** The options of a task. */
export interface TaskOptions {
  /** The name of the task in reports. Default: the name of the function. */
  readonly name?: string | undefined
}

const RUN_OPTIONS: NamesOf<TaskOptions> = ['name']
const MAP_OPTIONS: NamesOf<MapOptions> = ['concurrency', 'name']
const COMPETE_OPTIONS: NamesOf<CompeteOptions> = ['hedge']

/**
 * Starts tasks, and waits for them.
 *
 * Errors: a promise that a scope returns is never an unhandled rejection, because the scope itself throws the failure.
 * There is one exception: a scope that is closed returns a promise that rejects with a `ScopeClosedError`.
 * The scope also throws it if the caller has caught it. So a failure that may be survived is caught within the task, or
 * in a scope within the task.
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
   * waits for its turn (`concurrency`), the task is not started, and the promise rejects with the token's error.
   * Rejects with `ScopeClosedError` when the scope has ended.
   */
  run<T>(task: ScopeTask<T>, options?: TaskOptions): Promise<T>

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

  run<T>(task: ScopeTask<T>, options?: TaskOptions): Promise<T> {
    const state = this.#state
    const place = this.#traces ? placeOfCaller() : undefined
    return this.#begin<T>((resolve, reject) => {
      const name = optional('name', 'string', optionsOf(options, RUN_OPTIONS).name) ?? functionOf('task', task).name
      const refuse = (error: unknown, token: CancellationToken) => {
        failUnlessCancelled(state, error, token)
        reject(error)
      }
      submit(
        state,
        new SubmittedTask(state.token, functionOf('task', task), name || undefined, undefined, place, resolve, refuse),
      )
    })
  }

  map<T, R>(items: AsyncIterable<T> | Iterable<T>, task: MapTask<T, R>, options?: MapOptions): Promise<R[]> {
    const state = this.#state
    const place = this.#traces ? placeOfCaller() : undefined
    return this.#begin<R[]>((resolve) => {
      const given = optionsOf(options, MAP_OPTIONS)
      const name = optional('name', 'string', given.name) ?? functionOf('task', task).name
      const limit = Math.min(optionalCount('concurrency', given.concurrency) ?? Infinity, state.limit)
      resolve(map(state, items, functionOf('task', task), limit, name || undefined, place))
    })
  }

  allSettled<const W extends readonly ScopeTask<unknown>[]>(
    tasks: W,
  ): Promise<{ -readonly [K in keyof W]: PromiseSettledResult<ResultOf<W[K]>> }> {
    const place = this.#traces ? placeOfCaller() : undefined
    return this.#begin((resolve) => settleAll(this.#state, tasksOf(tasks), place, resolve as never))
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
    })
  }

  #begin<T>(how: (resolve: (value: T | PromiseLike<T>) => void, reject: (error: unknown) => void) => void): Promise<T> {
    const state = this.#state
    if (state.isDone) {
      const name = state.token.name === undefined ? '' : ` ${JSON.stringify(state.token.name)}`
      // The program has to handle this rejection: no scope is left that could tell of it.
      return Promise.reject(new ScopeClosedError(`the scope${name} is closed and starts no task`))
    }
    hold(state)
    const promise = new Promise<T>((resolve, reject) => {
      try {
        how(resolve, reject)
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
    return promise
  }
}

// With this, the stack of an error begins with the caller of the method.
// oxlint-disable-next-line typescript/unbound-method -- only named, for the stack; never called
const { cancel } = Handle.prototype
