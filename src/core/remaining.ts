/** The future of a token: when it is cancelled by itself, and by which cancellation. */
import { keepAlive, now } from './clock.js'
import type { CancellationKind } from './errors.js'
import {
  Cancellation,
  discover,
  each,
  epoch,
  hasRule,
  READ,
  type OpaqueNode,
  rulesOf,
  subscribe,
  type TokenNode,
  visitBelow,
} from './graph.js'

/** A rule that is not opaque. */
interface Timed extends TokenNode {
  /**
   * The cancellation by its deadline. Absent or undefined if it is not known. With `isPublished`, it is returned only if
   * each move of the deadline is reported (`onMove` in graph.ts).
   */
  ahead?(isPublished: boolean): Cancellation | undefined
}

/** The kind of a cancellation that may happen. It is none of the real kinds, so that no `except` leaves it out. */
const PERHAPS = 'perhaps' as CancellationKind

const aheadOf = (rule: TokenNode) => (rule as Timed).ahead?.(false)
const perhapsOf = (rule: TokenNode) => (rule.endsItself ? new Cancellation(rule, PERHAPS, undefined, 0) : aheadOf(rule))
const publishedOf = (rule: TokenNode) => (rule as Timed).ahead?.(true)

/**
 * Returns the cancellation by which a live node is cancelled at the latest, or undefined if it may never be. `ofRule`
 * returns the same for a rule that is not opaque.
 */
function predict(top: TokenNode, ofRule: (rule: TokenNode) => Cancellation | undefined): Cancellation | undefined {
  // An opaque node depends on the nodes that it stands for. So those come first, on a stack that is no call stack.
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
  /** The same, without its ancestors. */
  const ownEndOf = (node: TokenNode) =>
    node.outcome ?? (known.has(node) ? known.get(node) : hasRule(node) ? ofRule(node) : undefined)
  for (let stack = [top], node: TokenNode | undefined; (node = stack.at(-1));) {
    const current = node
    const depth = stack.length
    const sources: TokenNode[] = []
    if (current.opaque) {
      each(current.sources, (source) => {
        // A source that was not read since the last cancellation may be cancelled without a record.
        if (!source.opaque && source.seen !== epoch && source.seen !== -epoch) discover(source, READ)
        sources.push(source)
      })
    }
    for (const one of current.opaque ? sources : [current]) {
      each(rulesOf(one), (rule) => rule.opaque && !known.has(rule) && stack.push(rule))
    }
    if (stack.length > depth) continue
    stack.pop()
    if (!current.opaque) continue
    const opaque = current as OpaqueNode
    known.set(current, opaque.predictEnd(sources.map(opaque.heeds ? ownEndOf : endOf)))
  }
  return endOf(top)
}

/** The same, with only the deadlines whose moves are reported (`onMove` in graph.ts). */
export function predictPublished(node: TokenNode): Cancellation | undefined {
  return predict(node, publishedOf)
}

/**
 * Returns the milliseconds until a live node is cancelled by itself at the latest, `Infinity` if it may never be.
 * `polled` is the time for a rule that only polls can cancel: `Infinity` for "not known", 0 for "perhaps at the next
 * poll".
 */
export function timeLeft(node: TokenNode, polled: number): number {
  const at = now()
  const perhaps = (rule: TokenNode) => (rule.polled ? new Cancellation(rule, PERHAPS, undefined, at) : aheadOf(rule))
  const end = predict(node, polled ? aheadOf : perhaps)
  return end ? Math.max(0, end.at - at) : Infinity
}

/**
 * Keeps the process alive for an operation that waits under a live node, as long as the node may be cancelled although
 * this program does nothing more: by a deadline, a poller, another thread or another process. A deadline that is taken
 * off no longer counts, and one that is set again does. Returns a function that lets the process go, or undefined if
 * nothing can ever cancel the node so.
 */
export function holdFor(node: TokenNode): (() => void) | undefined {
  if (!node.rules || node.outcome) return undefined
  let letGo: (() => void) | undefined
  const review = () => {
    if (predict(node, perhapsOf)) letGo ??= keepAlive()
    else {
      letGo?.()
      letGo = undefined
    }
  }
  review()
  const place = subscribe(node, undefined, review)
  return () => {
    place.stop()
    letGo?.()
  }
}

/** Calls the operations under a node whose deadline was taken off, or set again: see {@link holdFor}. */
export function reviewHolds(node: TokenNode): void {
  visitBelow(node, ({ quiet }) => {
    if (typeof quiet === 'function') quiet()
  })
}
