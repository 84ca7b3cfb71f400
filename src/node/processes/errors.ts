import type { ProcessReport } from './spawn.js'

/** What a {@link ProcessError} is made from. */
export interface ProcessErrorDetails {
  /** `'ERR_PROCESS_FAILED'`, `'ERR_PROCESS_OUTPUT'`, or the system's own where it could not be started: `'ENOENT'`. */
  readonly code: string
  /** What it was called with. */
  readonly command: string
  /** What happened, as far as it had been started. */
  readonly report?: ProcessReport | undefined
  readonly cause?: unknown
}

/**
 * A child process has failed; a failure, not a cancellation. `code` says how:
 *
 * - `'ERR_PROCESS_FAILED'`: it has ended with an exit code other than 0, or by a signal that we had not sent, with a name or
 *   without (real-time signals);
 * - `'ERR_PROCESS_OUTPUT'`: it has written more than `maxBuffer`, and was ended;
 * - the system's own (`'ENOENT'`, `'EACCES'`, …): it could not be started; `cause` is the system's error.
 */
export class ProcessError extends Error {
  override readonly name = 'ProcessError'
  readonly code: string
  /** What it was called with. */
  readonly command: string
  /** Exit code, signal and output; undefined where it could not be started. Of `run` it has `stdout` and `stderr` as well. */
  declare readonly report: ProcessReport | undefined

  constructor(message: string, { code, command, report, cause }: ProcessErrorDetails) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.command = command
    // Not enumerable: whoever logs the error does not want a hundred megabytes of output.
    Object.defineProperty(this, 'report', { value: report })
  }
}
