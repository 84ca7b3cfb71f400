/** Runs a task for each item of a source, a limited number at a time, and keeps the order. */
import { iterate } from '../iterate.js'
import type { CancellationToken } from '../token.js'
import { type ScopeState, submit, SubmittedTask, failUnlessCancelled, nothing } from './scope-state.js'

/** The options of `map`. */
export interface MapOptions {
  /** How many items may run at once. The limit of the scope holds as well. Default: the limit of the scope. */
  readonly concurrency?: number | undefined
  /** The name of the tasks in reports, each with its index. Default: the name of the function. */
  readonly name?: string | undefined
}

export type MapTask<T, R> = (item: T, token: CancellationToken, index: number) => R | PromiseLike<R>

interface Thrown {
  readonly error: unknown
}

/**
 * Pulls an item when its task may start, and not before. A failed item cancels the scope, which ends the pulling and
 * closes the source. The promise settles when the running items have settled.
 */
export async function map<T, R>(
  state: ScopeState,
  items: AsyncIterable<T> | Iterable<T>,
  task: MapTask<T, R>,
  limit: number,
  name: string | undefined,
  place: Error | undefined,
): Promise<R[]> {
  const results: R[] = []
  /** The first failure of an item, and the first cancellation of one. The failure says more. */
  let failure: Thrown | undefined
  let cancelled: Thrown | undefined
  let underWay = 0
  /** Called when an item has settled. */
  let wake = nothing
  const oneHasSettled = () =>
    new Promise<void>((resolve) => {
      wake = resolve
    })
  const start = (item: T, index: number) => {
    underWay++
    const done = () => {
      underWay--
      wake()
    }
    const resolve = (value: R) => {
      results[index] = value
      done()
    }
    const reject = (error: unknown, token: CancellationToken) => {
      if (failUnlessCancelled(state, error, token)) failure ??= { error }
      else cancelled ??= { error }
      done()
    }
    submit(
      state,
      new SubmittedTask<R>(state.token, (token) => task(item, token, index), name, index, place, resolve, reject),
    )
  }

  try {
    const source = iterate(state.token, items)[Symbol.asyncIterator]()
    for (let index = 0; ; index++) {
      while (underWay >= limit && !failure && !cancelled) await oneHasSettled()
      if (failure || cancelled) {
        // An item may have cancelled only itself, so that nothing has closed the source.
        await source.return?.()
        break
      }
      const next = await source.next()
      if (next.done) break
      start(next.value, index)
    }
  } catch (error) {
    if (failUnlessCancelled(state, error, state.token)) failure ??= { error }
    else cancelled ??= { error }
  }
  while (underWay) await oneHasSettled()
  const thrown = failure ?? cancelled
  if (thrown) throw thrown.error
  return results
}
