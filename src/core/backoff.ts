/** The delay before the next attempt: the one schedule of calloff. */

/**
 * Returns the delay after a number of earlier failures, 0 for the first delay. The first delay is `first`. Each further
 * one is `factor` times as long, and at most `most`. `chance`, a number from 0 to 1, places the result between its half
 * and its whole.
 */
export function waitAfter(failures: number, first: number, most: number, factor = 2, chance = 1): number {
  return (Math.min(most, first * factor ** failures || 0) * (1 + chance)) / 2 // not 0 · ∞
}
