/** The meanings of the exit codes, in one place; docs/reference/cli/README.md has the same table. */
import { constants } from 'node:os'

export const OK = 0
/** A failure: no hub, no permission, or a holder that did not finish in time. */
export const FAILED = 1
/** Wrong usage. */
export const USAGE = 2
/** From `serve`: another server has the journal. */
export const JOURNAL_IN_USE = 3
/** As timeout(1) uses it. */
export const TIMED_OUT = 124
/** Cancelled by another process: by name, or by the stop file. */
export const CANCELLED = 125
/** As shells use it: found, but cannot be run. */
export const NOT_EXECUTABLE = 126
/** As shells use it: not found. */
export const NOT_FOUND = 127

/** As shells use it: 128 plus the number of the signal. */
export function codeOfSignal(signal: NodeJS.Signals): number {
  return 128 + (constants.signals[signal] ?? 0)
}

/**
 * An exit code, or the signal by which this process must end, so that a shell sees that the user has interrupted it.
 */
export type Outcome = number | NodeJS.Signals
