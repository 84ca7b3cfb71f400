/** The parts of `token.except(…kinds)` that need no class: see ExceptToken in token.ts. */
import { wrongType } from './arguments.js'
import { type CancellationKind, KINDS } from './errors.js'
import { Cancellation, inOrder, type TokenNode } from './graph.js'

/** Returns the kinds as a set. There must be at least one, and each must exist. */
export function kindsOf(given: readonly unknown[]): ReadonlySet<CancellationKind> {
  const all = Object.keys(KINDS)
  for (const kind of given.length > 0 ? given : [undefined]) {
    if (!all.includes(kind as string)) throw wrongType('kind', `one of ${all.join(', ')}`, kind)
  }
  return new Set(given as CancellationKind[])
}

/** A token with a deadline of its own. */
interface Timed extends TokenNode {
  readonly deadline?: number
  /** Why its time is limited. */
  readonly limitedBy?: unknown
}

/**
 * The cancellations of deadlines that pass after their tokens were cancelled. So two tokens that wait for the same
 * deadline have the same error.
 */
const afterwards = new WeakMap<TokenNode, Cancellation>()

/** Returns the earliest deadline of the nodes that were cancelled by something else. Undefined if there is none. */
export function deadlineBehind(nodes: readonly Timed[]): Cancellation | undefined {
  const ends = nodes.map((node) => {
    const { outcome, deadline = Infinity, limitedBy } = node
    const isOwn = outcome?.origin === node && outcome.kind === 'timeout'
    if (!outcome || isOwn || deadline === Infinity) return undefined
    let end = afterwards.get(node)
    if (!end) afterwards.set(node, (end = new Cancellation(node, 'timeout', limitedBy, deadline)))
    return end
  })
  return inOrder(ends)[0]
}
