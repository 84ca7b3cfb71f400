/** The one observer of this thread, which collects what the inspector reports. */
// Loaded first: the library itself cancels a token there.
import '../core/tokens/constants.js'
import { trace } from '../core/observers.js'
import { Knowledge } from './knowledge.js'

let collecting: { readonly knowledge: Knowledge; readonly observing: Disposable } | undefined

/** Begins to collect, if it has not begun. */
export function collect(): Knowledge {
  if (!collecting) {
    const knowledge = new Knowledge()
    collecting = { knowledge, observing: trace(knowledge) }
  }
  return collecting.knowledge
}

/** Stops, and drops all that was collected. */
export function stopCollecting(): void {
  collecting?.observing[Symbol.dispose]()
  collecting = undefined
}
