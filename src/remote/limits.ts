/** How long and how large the values are that cross. */

/** The last moment that a `Date` can be, in milliseconds since 1970. No duration is longer either. */
export const LAST_MOMENT = 8.64e15

/** The most that names, runs and the like may take, in bytes of UTF-8. */
export const NAME_BYTES = 256
/** The most that a reason may take, as core/reasons.ts writes it. */
export const REASON_BYTES = 8_192
