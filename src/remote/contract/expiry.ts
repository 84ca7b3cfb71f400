/**
 * Until when the owner of a lease may believe in it.
 *
 * The monotonic clock decides, since the wall clock can be set. But on Linux the monotonic clock stands still while the machine sleeps, and
 * the server's does not. So the wall clock counts as well: where it has passed its moment, the machine has slept, or the clock was set
 * forward, and the lease may be another's. To give up a lease that still stands costs less than a second owner.
 */
import { clockInUse, now, readWall } from '../../core/clock.js'

/** A moment in milliseconds, on both clocks. */
export interface Expiry {
  readonly deadline: number
  readonly wall: number
}

/** What lies so many milliseconds ahead. */
export function expiryIn(ms: number): Expiry {
  return { deadline: now() + ms, wall: readWall() + ms }
}

/** Whether the wall clock has passed it. It has no say where tests have put a clock of their own in place. */
export function hasSlept({ wall }: Expiry): boolean {
  return readWall() >= wall && clockInUse() === undefined
}

/** Whether either clock has passed it. */
export function isOver(expiry: Expiry): boolean {
  return now() >= expiry.deadline || hasSlept(expiry)
}
