/** Moves the deadline of a live token: nearer, further away, off (`Infinity`) and on again. */
import { moved, type TokenNode } from './graph.js'
import { reviewHolds } from './remaining.js'

export interface Deadline extends TokenNode {
  deadline: number
}

/** Moves the deadline, and all that depends on it: the timer, what other threads know, what keeps the process alive. */
export function moveDeadline(node: Deadline, to: number): true {
  const isSwitched = (node.deadline === Infinity) !== (to === Infinity)
  node.deadline = to
  const { extras } = node
  // Without a subscriber there is no timer, and no other thread or process knows the deadline (G5).
  if (extras?.disarm) {
    extras.disarm()
    node.arm()
    moved(node)
    if (isSwitched) reviewHolds(node)
  }
  return true
}
