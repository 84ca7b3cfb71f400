/** How much time is left: the one question about a graph that is not answered yes or no. */
import { now } from './clock.js'
import { each, type TokenNode } from './graph.js'

/** A rule that knows when it ends. */
export interface Timed {
  /** When its deadline is, on the monotonic clock; `Infinity` without one. */
  readonly deadline?: number
  /** Opaque nodes: what is left of them, given what is left of each of their sources. */
  leftOf?(sources: readonly number[], at: number): number
}

/**
 * Milliseconds until a live node ends by itself at the latest, `Infinity` if it may never. `polled` is what a rule counts
 * for that only polls can end: `Infinity` for "nobody knows", 0 for "perhaps at the next poll".
 *
 * An opaque node depends on what it stands for, so those are worked out from the bottom up, on a stack of our own.
 */
export function timeLeft(top: TokenNode, polled: number): number {
  const at = now()
  const known = new Map<TokenNode, number>()
  const ofRule = (rule: TokenNode): number => {
    if (rule.opaque) return known.get(rule) as number
    return rule.polled ? polled : Math.max(0, ((rule as Timed).deadline ?? Infinity) - at)
  }
  const of = (node: TokenNode): number => {
    let least = node.outcome === undefined ? Infinity : 0
    each(node.rules, (rule) => (least = Math.min(least, ofRule(rule))))
    return least
  }
  for (const stack = [top]; stack.length > 0; ) {
    const node = stack[stack.length - 1] as TokenNode
    const depth = stack.length
    const wait = (rule: TokenNode) => void (rule.opaque && rule !== node && !known.has(rule) && stack.push(rule))
    if (node.opaque) each(node.sources, (source) => each(source.rules, wait))
    else each(node.rules, wait)
    if (stack.length > depth) continue
    stack.pop()
    if (node.opaque) {
      const sources: number[] = []
      each(node.sources, (source) => sources.push(of(source)))
      known.set(node, (node as Timed).leftOf?.(sources, at) ?? Infinity)
    }
  }
  return of(top)
}
