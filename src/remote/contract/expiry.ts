/**
 * The time until which the owner of a lease may rely on it.
 *
 * The monotonic clock decides, because the wall clock can be set. But on Linux the monotonic clock stops while the machine sleeps, and the
 * clock of the server does not. So the wall clock counts as well: if it has passed its deadline, the machine has slept or the clock was
 * set forward, and the lease may have another owner. Giving up a valid lease costs less than a second owner.
 */
import { clockInUse, now, readWall } from '../../core/clock.js'

/** A time in milliseconds, on both clocks. */
export interface Expiry {
  readonly deadline: number
  readonly wall: number
}

/** Returns the expiry `ms` milliseconds from now. */
export function expiryIn(ms: number): Expiry {
  return { deadline: now() + ms, wall: readWall() + ms }
}

/** Whether the wall clock has passed the expiry. Always false while a test uses a manual clock. */
export function hasSlept({ wall }: Expiry): boolean {
  return readWall() >= wall && clockInUse() === undefined
}

/** Whether either clock has passed the expiry. */
export function isOver(expiry: Expiry): boolean {
  return now() >= expiry.deadline || hasSlept(expiry)
}
