/** The results of a source as they come, for a loop: in constant memory, however long the source is. */
import { discover, end, READ, subscribe } from '../graph.js'
import { handled } from '../promises.js'
import { SimpleToken } from '../token.js'
import { type Flow, type MapOptions, Pump } from './map.js'
import { closedError, hold, letGo, nothing } from './scope-state.js'

/** The options of `stream`. */
export interface StreamOptions extends MapOptions {
  /** Whether the results come in the order of the items. Default: false, each comes as soon as its task has ended. */
  readonly ordered?: boolean | undefined
}

const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined }

/** One loop over the results. Nothing is pulled before the loop asks for the first one. */
export function stream<T, R>(given: Omit<Flow<T, R>, 'feed'>, ordered: boolean): AsyncIterator<R, undefined> {
  const { state, parent } = given
  /** The results that were not taken, by the number that they have in the loop. */
  const ready = new Map<number, R>()
  let at = 0
  let came = 0
  let wake = nothing
  const feed = new SimpleToken(parent)
  const running = new Set<SimpleToken>()
  const give = (value: R, index: number) => {
    ready.set(ordered ? index : came++, value)
    wake()
  }
  const pump = new Pump<T, R>({ ...given, feed, running }, give, () => wake())
  let whole: Promise<void> | undefined
  let stopWatching = nothing
  let isOver = false
  let closing: Promise<IteratorReturnResult<undefined>> | undefined

  const work = async () => {
    await pump.run()
    isOver = true
    wake()
    letGo(state)
  }
  const begin = () => {
    if (state.isDone) throw closedError(state)
    // The scope waits for the items that are under way, as for those of a map.
    hold(state)
    const watch = subscribe(parent, (error) => {
      // A scope that has ended as it should cancels its token as well.
      if (!state.isDone) pump.stop({ error })
      wake()
    })
    stopWatching = () => watch.stop()
    whole = work()
  }
  /** Ends the loop. Resolves, or rejects, when nothing that it has started is running any more. */
  const close = async (isLeft: boolean) => {
    stopWatching()
    pump.stop()
    for (const token of running) end(token, 'dispose')
    // A source may never answer the pull that is waited for. Without one, the pump closes the source and waits for it.
    if (pump.isPulling) end(feed, 'dispose')
    ready.clear()
    await whole
    const thrown = pump.failure ?? (isLeft ? undefined : pump.cancelled)
    if (thrown) throw thrown.error
    return DONE
  }
  const take = async (): Promise<IteratorResult<R, undefined>> => {
    if (closing) return DONE
    if (!whole) begin()
    for (;;) {
      // A deadline may have passed that no poll has noticed. This read calls the listener above.
      discover(parent, READ)
      const isCut = pump.failure ?? pump.cancelled
      if (!isCut && ready.has(at)) {
        const value = ready.get(at) as R
        ready.delete(at++)
        pump.taken()
        return { done: false, value }
      }
      if (isCut || isOver) return (closing ??= close(false))
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  }
  // One after the other, also for a caller that does not wait.
  let turn: Promise<unknown> = Promise.resolve()
  return {
    next() {
      const result = turn.then(take)
      turn = result.then(nothing, nothing)
      return result
    },
    return: () => handled((closing ??= whole ? close(true) : Promise.resolve(DONE))),
  }
}
