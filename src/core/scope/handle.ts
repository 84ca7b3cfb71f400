/** What a body is given: it starts tasks, alone and several together. The engine is in crew.ts. */
import { type NamesOf, optional, optionalCount, optionalNonNegative, optionsOf, wrongType } from '../arguments.js'
import { byHand, discover, LOOK, settle } from '../graph.js'
import type { CancellationToken, ResultOf } from '../token.js'
import { type Crew, fail, hire, hold, Job, judge, letGo, ScopeClosedError, type ScopeTask } from './crew.js'
import { map, type MapOptions, type MapTask } from './map.js'
import { compete, type CompeteOptions, settleAll } from './several.js'
import { describeTask, placeOfCaller, type UnfinishedTask } from './unfinished.js'

/** How to start a task. */
export interface TaskOptions {
  /** What it is called in reports. Default: the name of the function. */
  readonly name?: string | undefined
}

const RUN_OPTIONS: NamesOf<TaskOptions> = ['name']
const MAP_OPTIONS: NamesOf<MapOptions> = ['concurrency', 'name']
const COMPETE_OPTIONS: NamesOf<CompeteOptions> = ['hedge']

/**
 * What starts tasks, and waits for them.
 *
 * Errors: a promise that a scope gives is never an unhandled rejection, because the scope throws what it fails with. That it
 * was caught as well makes no difference: a failure that may be survived is caught within the task, or in a scope within it.
 */
export interface Scope {
  /** The scope's own, below the one it was given. Cancelled when a task fails (kind `'sibling'`), and when the scope is over. */
  readonly token: CancellationToken

  /**
   * Starts a task, at once, with a token of its own below the scope's; gives what it comes to. Tasks can start tasks.
   *
   * Errors: rejects with what the task fails with. Under a token that is over, and when it is cancelled while it waits for
   * its turn (`concurrency`), the task is not started, and the promise rejects with the token's error. `ScopeClosedError`
   * when the scope is over.
   */
  run<T>(task: ScopeTask<T>, options?: TaskOptions): Promise<T>

  /**
   * A task for each item; gives what they come to, in the order of the items. An item is pulled when it may be under way, and
   * not before: `concurrency` of the scope, or its own if that is less. Of an async source one is pulled at a time.
   *
   * Errors: rejects with what the first item, or the source, fails with. The source is closed, too, when an item fails and when
   * the scope is cancelled; a source that does not answer to that is not waited for.
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
   * Starts several tasks and collects what becomes of each, results and errors, as `Promise.allSettled` does. That one of
   * them fails is no failure of the scope.
   */
  allSettled<const W extends readonly ScopeTask<unknown>[]>(
    tasks: W,
  ): Promise<{ -readonly [K in keyof W]: PromiseSettledResult<ResultOf<W[K]>> }>

  /**
   * The first success, as `Promise.any`; the others are cancelled (kind `'race'`), and it resolves when they have settled. What
   * they fail with is dropped. With `hedge` they are started one after the other, the next one when the last is late.
   *
   * Errors: an `AggregateError`, in the order of the tasks, when all have failed, which is then a failure of the scope. The token's
   * error when it was cancelled before. `RangeError` for none.
   */
  any<T>(tasks: readonly ScopeTask<T>[], options?: CompeteOptions): Promise<T>
  any<const W extends readonly ScopeTask<unknown>[]>(tasks: W, options?: CompeteOptions): Promise<ResultOf<W[number]>>

  /**
   * The first to settle, by success or by failure, as `Promise.race`; the others are cancelled (kind `'race'`), and it settles
   * when they have. What they come to is dropped.
   *
   * Errors: what the first one fails with, which is then a failure of the scope. `RangeError` for none.
   */
  race<T>(tasks: readonly ScopeTask<T>[], options?: CompeteOptions): Promise<T>
  race<const W extends readonly ScopeTask<unknown>[]>(tasks: W, options?: CompeteOptions): Promise<ResultOf<W[number]>>

  /** Cancels the scope's own token: all that is under way is cancelled. If the body returns all the same, so does the scope. */
  cancel(reason?: unknown): void

  /** The tasks that have not settled, in the order they were handed over. */
  unfinished(): UnfinishedTask[]
}

export function functionOf<F>(argument: string, value: F): F {
  if (typeof value !== 'function') throw wrongType(argument, 'a function', value)
  return value
}

function worksOf<W extends readonly ScopeTask<unknown>[]>(tasks: W): W {
  if (!Array.isArray(tasks)) throw wrongType('tasks', 'an array of functions', tasks)
  // Read once: what is started is what was checked.
  return Array.from(tasks, (task) => functionOf('tasks', task)) as readonly ScopeTask<unknown>[] as W
}

export class Handle implements Scope {
  readonly #crew: Crew
  readonly #traces: boolean

  constructor(crew: Crew, traces: boolean) {
    this.#crew = crew
    this.#traces = traces
  }

  get token(): CancellationToken {
    return this.#crew.token
  }

  run<T>(task: ScopeTask<T>, options?: TaskOptions): Promise<T> {
    const crew = this.#crew
    const place = this.#traces ? placeOfCaller() : undefined
    return this.#begin<T>((resolve, reject) => {
      const name = optional('name', 'string', optionsOf(options, RUN_OPTIONS).name) ?? functionOf('task', task).name
      const refuse = (error: unknown, token: CancellationToken) => {
        judge(crew, error, token)
        reject(error)
      }
      hire(crew, new Job(crew.token, functionOf('task', task), name || undefined, undefined, place, resolve, refuse))
    })
  }

  map<T, R>(items: AsyncIterable<T> | Iterable<T>, task: MapTask<T, R>, options?: MapOptions): Promise<R[]> {
    const crew = this.#crew
    const place = this.#traces ? placeOfCaller() : undefined
    return this.#begin<R[]>((resolve) => {
      const given = optionsOf(options, MAP_OPTIONS)
      const name = optional('name', 'string', given.name) ?? functionOf('task', task).name
      const limit = Math.min(optionalCount('concurrency', given.concurrency) ?? Infinity, crew.limit)
      resolve(map(crew, items, functionOf('task', task), limit, name || undefined, place))
    })
  }

  allSettled<const W extends readonly ScopeTask<unknown>[]>(
    tasks: W,
  ): Promise<{ -readonly [K in keyof W]: PromiseSettledResult<ResultOf<W[K]>> }> {
    const place = this.#traces ? placeOfCaller() : undefined
    return this.#begin((resolve) => settleAll(this.#crew, worksOf(tasks), place, resolve as never))
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
    if (!discover(this.token, LOOK)) settle(this.token, byHand(this.token, reason, cancel))
  }

  unfinished(): UnfinishedTask[] {
    return Array.from(this.#crew.jobs, describeTask)
  }

  #compete<T>(
    tasks: readonly ScopeTask<T>[],
    options: CompeteOptions | undefined,
    place: Error | undefined,
    failuresCount: boolean,
  ): Promise<T> {
    return this.#begin<T>((resolve, reject) => {
      const hedge = optionalNonNegative('hedge', optionsOf(options, COMPETE_OPTIONS).hedge)
      if (!worksOf(tasks).length) throw new RangeError('tasks must hold something to start, got an empty array')
      compete(this.#crew, tasks, hedge, place, failuresCount, resolve, reject)
    })
  }

  #begin<T>(how: (resolve: (value: T | PromiseLike<T>) => void, reject: (error: unknown) => void) => void): Promise<T> {
    const crew = this.#crew
    if (crew.isDone) {
      const name = crew.token.name === undefined ? '' : ` ${JSON.stringify(crew.token.name)}`
      // Left for the program to hear of: there is no scope any more that could.
      return Promise.reject(new ScopeClosedError(`the scope${name} is closed and starts no task`))
    }
    hold(crew)
    const promise = new Promise<T>((resolve, reject) => {
      try {
        how(resolve, reject)
      } catch (error) {
        // Bad input.
        reject(error)
        fail(crew, error)
      }
    })
    // Handled, since the scope itself tells of the failures; and the one place that lets go of what was held (SC1 of crew.ts).
    const settled = () => letGo(crew)
    promise.then(settled, settled)
    return promise
  }
}

// With this an error's stack begins with the caller of the method.
// oxlint-disable-next-line typescript/unbound-method -- only told to the engine, never called
const { cancel } = Handle.prototype
