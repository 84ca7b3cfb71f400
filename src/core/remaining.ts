/** What lies ahead of a token: when it ends by itself, and as what. The one question about a graph that is not answered yes or no. */
import { keepAlive, now } from './clock.js'
import { Cancellation, discover, each, epoch, LOOK, type OpaqueNode, rulesOf, type TokenNode } from './graph.js'

/** A rule that is not opaque. */
interface Timed extends TokenNode {
  /**
   * The cancellation that its deadline will be; absent or undefined if nobody can say. With `told`, only if whoever asks can
   * rely on being told when that moves (`onMove` in graph.ts).
   */
  ahead?(told: boolean): Cancellation | undefined
}

const aheadOf = (rule: TokenNode) => (rule as Timed).ahead?.(false)
const perhapsOf = (rule: TokenNode) =>
  rule.endsItself ? new Cancellation(rule, 'condition', undefined, 0) : aheadOf(rule)
const toldOf = (rule: TokenNode) => (rule as Timed).ahead?.(true)

/** The cancellation by which a live node ends at the latest, undefined if it may never end. `ofRule` knows it of a rule that is not opaque. */
function foresee(top: TokenNode, ofRule: (rule: TokenNode) => Cancellation | undefined): Cancellation | undefined {
  // An opaque node depends on what it stands for, so those are worked out first, on a stack of our own.
  const known = new Map<TokenNode, Cancellation | undefined>()
  const endOf = (node: TokenNode) => {
    let first = node.outcome
    if (!first) {
      each(rulesOf(node), (rule) => {
        const end = known.has(rule) ? known.get(rule) : ofRule(rule)
        if (end && end.at < (first?.at ?? Infinity)) first = end
      })
    }
    return first
  }
  for (let stack = [top], node: TokenNode | undefined; (node = stack.at(-1));) {
    const current = node
    const depth = stack.length
    const sources: TokenNode[] = []
    if (current.opaque) {
      each(current.sources, (source) => {
        // One that nobody has looked at since the last cancellation may have ended unseen.
        if (!source.opaque && source.seen !== epoch && source.seen !== -epoch) discover(source, LOOK)
        sources.push(source)
      })
    }
    for (const one of current.opaque ? sources : [current]) {
      each(rulesOf(one), (rule) => rule.opaque && !known.has(rule) && stack.push(rule))
    }
    if (stack.length > depth) continue
    stack.pop()
    if (current.opaque) known.set(current, (current as OpaqueNode).foretell(sources.map(endOf)))
  }
  return endOf(top)
}

/** The same, as far as whoever asks can rely on being told when it moves. */
export function foreseeTold(node: TokenNode): Cancellation | undefined {
  return foresee(node, toldOf)
}

/**
 * Milliseconds until a live node ends by itself at the latest, `Infinity` if it may never. `polled` is what a rule counts
 * for that only polls can end: `Infinity` for "nobody knows", 0 for "perhaps at the next poll".
 */
export function timeLeft(node: TokenNode, polled: number): number {
  const at = now()
  const perhaps = (rule: TokenNode) =>
    rule.polled ? new Cancellation(rule, 'condition', undefined, at) : aheadOf(rule)
  const end = foresee(node, polled ? aheadOf : perhaps)
  return end ? Math.max(0, end.at - at) : Infinity
}

/**
 * Keeps the process alive for what waits under a live node, if that may end although this program does nothing more: by a
 * deadline, a poller, another thread or another process. Gives what lets the process go.
 */
export function holdFor(node: TokenNode): (() => void) | undefined {
  return node.rules && foresee(node, perhapsOf) ? keepAlive() : undefined
}
