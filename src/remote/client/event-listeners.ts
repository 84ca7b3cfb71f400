import { wrongType } from '../../core/arguments.js'
import { bind } from '../../core/context.js'
import { surface } from '../../core/graph.js'
import type { Registration } from '../../core/token.js'
import type { HubEvent } from '../contract/hub.js'

/** The listeners of the events of a hub. */
export class EventListeners {
  // One entry for each call of `add`: one function may be added twice.
  readonly #entries = new Set<{ readonly listener: (event: HubEvent) => void }>()

  add(listener: (event: HubEvent) => void): Registration {
    if (typeof listener !== 'function') throw wrongType('listener', 'a function', listener)
    const entry = { listener: bind ? bind(listener) : listener }
    this.#entries.add(entry)
    const stop = () => this.#entries.delete(entry)
    return { stop, [Symbol.dispose]: () => void stop() }
  }

  /** An error that a listener throws surfaces as an uncaught one. The other listeners are still called. */
  tell(event: HubEvent): void {
    for (const { listener } of Array.from(this.#entries)) {
      try {
        listener(event)
      } catch (error) {
        surface(error)
      }
    }
  }
}
