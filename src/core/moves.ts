/**
 * Deadlines that are known elsewhere as well, to other threads or processes: whoever has told them of one hears when it is moved,
 * or when an earlier one begins.
 */
import { onMove, type Subscriber, type TokenNode, visit } from './graph.js'

/** Who has told others of the deadlines above a node. */
export interface Teller {
  /** These have been moved. */
  tellDeadline(): void
  /** A node below which others, in their turn, may have told of them. */
  readonly below?: TokenNode
}

/** By their places in the lists of their sources. */
const tellers = new WeakMap<Subscriber, Teller>()

/** From now on the teller hears of the deadlines above it, through its place in the list of its source. */
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
