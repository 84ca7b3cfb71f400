/**
 * How the properties are run: CALLOFF_SEED gives the seed, CALLOFF_RUNS the number of runs. Without it CALLOFF_EFFORT decides.
 * fast-check prints the seed on failure. In CI the seed is always the same, so that a run says whether a change broke something. A
 * search for faults that are not known yet is a run by hand, with many more runs.
 */
import type { Parameters } from 'fast-check'
import { share } from '../effort.js'

const fromEnvironment = (name: string): number | undefined => {
  const given = process.env[name]
  if (given === undefined || given === '') return undefined
  const value = Number(given)
  if (!Number.isInteger(value)) throw new RangeError(`${name} must be an integer, got ${given}`)
  return value
}

/** `full` is how often a property runs in CI. */
export function runs<T = unknown>(full: number): Parameters<T> {
  const seed = fromEnvironment('CALLOFF_SEED') ?? (process.env.CI ? 20_261_121 : undefined)
  return {
    includeErrorInReport: true,
    numRuns: fromEnvironment('CALLOFF_RUNS') ?? share(full),
    ...(seed === undefined ? {} : { seed }),
  }
}
