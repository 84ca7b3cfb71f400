import type { EventEmitter } from 'node:events'

/** What `act` adds to these emitters: gives how many of these listeners are still there. */
export function listenersOf(emitters: readonly EventEmitter[], act: () => void): () => number {
  const all = (emitter: EventEmitter) =>
    emitter.eventNames().flatMap((event) => emitter.rawListeners(event).map((listener) => ({ event, listener })))
  const before = emitters.map((emitter) => new Set(all(emitter).map(({ listener }) => listener)))
  act()
  const added = emitters.map((emitter, at) => all(emitter).filter(({ listener }) => !before[at]!.has(listener)))
  return () =>
    emitters.reduce((sum, emitter, at) => {
      const left = added[at]!.filter(({ event, listener }) => emitter.rawListeners(event).includes(listener))
      return sum + left.length
    }, 0)
}
