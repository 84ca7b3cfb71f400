/** How long and how large the values are that cross. */
import { nonNegative } from '../../core/arguments.js'

/** The last moment that a `Date` can be, in milliseconds since 1970. No duration is longer either. */
export const LAST_MOMENT = 8.64e15

/** The most that names, runs and the like may take, in bytes of UTF-8. */
export const NAME_BYTES = 256
/** The most that a reason may take, as core/reasons.ts writes it. */
export const REASON_BYTES = 8_192

/** A number of milliseconds, from `least` to the longest that crosses. */
export function period(argument: string, value: unknown, least: number): number {
  const ms = nonNegative(argument, value)
  if (ms < least || ms === Infinity) throw new RangeError(`${argument} must be ${least} or more, and finite, got ${ms}`)
  if (ms > LAST_MOMENT) throw new RangeError(`${argument} must be at most ${LAST_MOMENT}, got ${ms}`)
  return ms
}
