import { now } from '../core/clock.js'
import { type Cancellation, each, type TokenNode } from '../core/graph.js'
import { timeLeft } from '../core/remaining.js'
import type { CancellationToken } from '../core/token.js'

interface Timed extends TokenNode {
  ahead?(isPublished: boolean): Cancellation | undefined
}

/**
 * Returns the milliseconds until a deadline would have cancelled the token, if it had not been cancelled before.
 * `Infinity` if it has no deadline.
 */
export function timeLeftOf(token: CancellationToken): number {
  const at = now()
  let left = Infinity
  const nodes = new Set<TokenNode>([token])
  for (const node of nodes) {
    if (node.outcome) {
      const end = (node as Timed).ahead?.(false)
      if (end) left = Math.min(left, Math.max(0, end.at - at))
      each(node.sources, (source) => nodes.add(source))
    } else left = Math.min(left, timeLeft(node, Infinity))
  }
  return left
}
