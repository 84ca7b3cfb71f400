/**
 * How the properties are run: CALLOFF_SEED gives the seed, CALLOFF_RUNS the number of runs, of which there are more in CI;
 * fast-check prints the seed on failure. In CI the seed is always the same, so that a run says whether a change broke something; to look for what nobody
 * knows of yet is for runs by hand, with many more.
 */
import type { Parameters } from 'fast-check'

const fromEnvironment = (name: string): number | undefined => {
  const given = process.env[name]
  if (given === undefined || given === '') return undefined
  const value = Number(given)
  if (!Number.isInteger(value)) throw new RangeError(`${name} must be an integer, got ${given}`)
  return value
}

/** `usual` is how often a property runs in CI; elsewhere it is a third of that. */
export function runs<T = unknown>(usual: number): Parameters<T> {
  const seed = fromEnvironment('CALLOFF_SEED') ?? (process.env.CI ? 20_261_121 : undefined)
  return {
    includeErrorInReport: true,
    numRuns: fromEnvironment('CALLOFF_RUNS') ?? (process.env.CI ? usual : Math.ceil(usual / 3)),
    ...(seed === undefined ? {} : { seed }),
  }
}
