/**
 * Moves of deadlines that other threads or processes know. A listener has published such a deadline. It is called when
 * the deadline is moved, or when an earlier one begins.
 */
import { onMove, type Subscriber, type TokenNode, visitBelow } from './graph.js'

/** Publishes the deadlines of a node and of its ancestors. */
export interface DeadlineListener {
  /** Called when these deadlines were moved. */
  publishDeadline(): void
  /** A node with the same deadlines, from which tokens with further listeners may derive. */
  readonly below?: TokenNode
}

/** The listeners by the subscribers with which they are in the lists of their sources. */
const listeners = new WeakMap<Subscriber, DeadlineListener>()

/** From now on the listener is called for the deadlines of the subscriber's node and of that node's ancestors. */
export function onDeadlineMoved(subscriber: Subscriber, listener: DeadlineListener): void {
  listeners.set(subscriber, listener)
}

onMove((node) => {
  visitBelow(node, (one, nodes) => {
    const listener = listeners.get(one)
    listener?.publishDeadline()
    if (listener?.below) nodes.add(listener.below)
  })
})
