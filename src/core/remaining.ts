/** How much time is left: the one question about a graph that is not answered yes or no. */
import { now } from './clock.js'
import { discover, each, epoch, LOOK, type OpaqueNode, rulesOf, type TokenNode } from './graph.js'

/** A rule that is not opaque: when it ends, on the monotonic clock, 0 if that is now; absent if nobody can say. */
interface Timed extends TokenNode {
  readonly deadline?: number
}

/**
 * Milliseconds until a live node ends by itself at the latest, `Infinity` if it may never. `polled` is what a rule counts
 * for that only polls can end: `Infinity` for "nobody knows", 0 for "perhaps at the next poll".
 */
export function timeLeft(top: TokenNode, polled: number): number {
  const at = now()
  // An opaque node depends on what it stands for, so those are worked out first, on a stack of our own.
  const known = new Map<TokenNode, number>()
  const leftOf = (node: TokenNode): number => {
    let least = node.outcome ? 0 : Infinity
    each(rulesOf(node), (rule) => {
      const own = Math.max(0, ((rule as Timed).deadline ?? Infinity) - at)
      least = Math.min(least, known.get(rule) ?? (rule.polled ? Math.min(polled, own) : own))
    })
    return least
  }
  for (let stack = [top], node: TokenNode | undefined; (node = stack.at(-1));) {
    const current = node
    const depth = stack.length
    const sources: TokenNode[] = []
    if (current.opaque) {
      each(current.sources, (source) => {
        // One that nobody has looked at since the last cancellation may have ended unseen.
        if (!source.opaque && source.seen !== epoch && source.seen !== ~epoch) discover(source, LOOK)
        sources.push(source)
      })
    }
    for (const one of current.opaque ? sources : [current]) {
      each(rulesOf(one), (rule) => rule.opaque && !known.has(rule) && stack.push(rule))
    }
    if (stack.length > depth) continue
    stack.pop()
    if (current.opaque) known.set(current, (current as OpaqueNode).leftOf(sources.map(leftOf), at))
  }
  return leftOf(top)
}

/** Told when the deadline of a node has been moved. */
let tell: ((node: TokenNode) => void) | undefined
/** For deadlines that are known elsewhere as well: see threads/shared-token.ts. */
export function onMove(told: typeof tell): void {
  tell = told
}

/** The deadline of the node has been moved. */
export function moved(node: TokenNode): void {
  tell?.(node)
}
