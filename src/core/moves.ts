/**
 * Deadlines that are also known to other threads or processes. A teller has told them of a deadline. It is called when
 * that deadline is moved, or when an earlier one begins.
 */
import { onMove, type Subscriber, type TokenNode, visit } from './graph.js'

/** Tells others of the deadlines of a node and of its ancestors. */
export interface Teller {
  /** Called when these deadlines were moved. */
  tellDeadline(): void
  /** A node from which further tellers may derive, which have told others of the same deadlines. */
  readonly below?: TokenNode
}

/** The tellers by their places in the lists of their sources. */
const tellers = new WeakMap<Subscriber, Teller>()

/**
 * From now on the teller is called for the deadlines of its source and of that one's ancestors. `place` is its place in
 * the source's list.
 */
export function hearOfMoves(place: Subscriber, teller: Teller): void {
  tellers.set(place, teller)
}

onMove((node) => {
  const nodes = new Set<TokenNode>([node])
  for (const { hub } of nodes) {
    visit(hub?.listeners, (one) => {
      const teller = tellers.get(one)
      teller?.tellDeadline()
      if (teller?.below) nodes.add(teller.below)
    })
    visit(hub?.below, ({ child }) => nodes.add(child))
  }
})
