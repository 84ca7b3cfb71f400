/** The limits of the values that are sent. */
import { nonNegative } from '../../core/arguments.js'

/** The last time that a `Date` can represent, in milliseconds since 1970. It is also the longest duration. */
export const LAST_MOMENT = 8.64e15

/** The largest size of a name or a run, in bytes of UTF-8. */
export const NAME_BYTES = 256
/** The largest size of a reason, as core/reasons.ts encodes it, in bytes. */
export const REASON_BYTES = 8_192

/** Checks a number of milliseconds, from `least` to the longest duration. */
export function period(argument: string, value: unknown, least: number): number {
  const ms = nonNegative(argument, value)
  if (ms < least || ms === Infinity) throw new RangeError(`${argument} must be ${least} or more, and finite, got ${ms}`)
  if (ms > LAST_MOMENT) throw new RangeError(`${argument} must be at most ${LAST_MOMENT}, got ${ms}`)
  return ms
}
