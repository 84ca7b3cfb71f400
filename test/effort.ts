/** How much of the long tests is run. */

/** A page of a browser has no environment: the runner of the runtimes sets its effort there before anything is loaded. */
const { process: program, calloffEffort } = globalThis as {
  process?: { env: Record<string, string | undefined> }
  calloffEffort?: number
}
const environment = program?.env ?? {}
const isContinuous = Boolean(environment.CI) && environment.CI !== 'false'

/**
 * The share of the full number of runs, rounds and rows: 1 in CI and under `npm test -- --all`, a tenth elsewhere. CALLOFF_EFFORT is
 * another share, which may be above 1.
 */
export const effort = calloffEffort ?? Number(environment.CALLOFF_EFFORT || (isContinuous ? 1 : 0.1))
if (!(effort > 0)) throw new RangeError(`CALLOFF_EFFORT must be a number above 0, got ${environment.CALLOFF_EFFORT}`)

/** Of `full` runs, those to make; `least` at least. */
export function share(full: number, least = 1): number {
  return Math.max(least, Math.ceil(full * effort))
}

/** Of the rows of a table that are all alike, those to try: all of them with full effort, else the first and every third after it. */
export function sample<T>(rows: readonly T[]): readonly T[] {
  return effort >= 1 ? rows : rows.filter((_, at) => at % 3 === 0)
}
