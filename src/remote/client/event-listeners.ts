/** Who has asked to hear what happens to the connection of a hub, which may live in another thread. */
import { wrongType } from '../../core/arguments.js'
import { bind } from '../../core/context.js'
import { surface } from '../../core/graph.js'
import type { Registration } from '../../core/token.js'
import type { Holding } from './registration.js'
import type { HubEvent } from '../contract/hub.js'

export class Audience {
  // A place for each time that it was asked: one listener may be there twice.
  readonly #places = new Set<{ readonly listener: (event: HubEvent) => void }>()

  add(listener: (event: HubEvent) => void): Registration {
    if (typeof listener !== 'function') throw wrongType('listener', 'a function', listener)
    const place = { listener: bind ? bind(listener) : listener }
    this.#places.add(place)
    const stop = () => this.#places.delete(place)
    return { stop, [Symbol.dispose]: () => void stop() }
  }

  /** What a listener throws is an uncaught error, and keeps it from nobody else. */
  tell(event: HubEvent): void {
    for (const { listener } of Array.from(this.#places)) {
      try {
        listener(event)
      } catch (error) {
        surface(error)
      }
    }
  }
}

/** Ends the tokens that are to end where there is no connection for too long; says how many these were. */
export function giveUp(holdings: Iterable<Holding>): number {
  let tokens = 0
  for (const { target, onDisconnect } of Array.from(holdings)) {
    if (onDisconnect !== 'cancel' || !target || target.isOver) continue
    target.fall('disconnect')
    tokens++
  }
  return tokens
}
