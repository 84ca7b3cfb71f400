/** How long to wait before the next attempt: the one schedule of calloff. */

/**
 * The wait after so many earlier failures, 0 for the first one. It begins with `first`, is `factor` times as long each time, and at most
 * `most`. `chance`, a number from 0 to 1, takes it between its half and its whole.
 */
export function waitAfter(failures: number, first: number, most: number, factor = 2, chance = 1): number {
  return (Math.min(most, first * factor ** failures || 0) * (1 + chance)) / 2 // not 0 · ∞
}
