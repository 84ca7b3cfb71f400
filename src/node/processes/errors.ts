import type { ProcessReport } from './spawn.js'

/** The details of a {@link ProcessError}. */
export interface ProcessErrorDetails {
  /**
   * `'ERR_PROCESS_FAILED'`, `'ERR_PROCESS_OUTPUT'`, or the code of the system (`'ENOENT'`) if the process could not be
   * started.
   */
  readonly code: string
  /** The command that was given. */
  readonly command: string
  /** The report of the process. Undefined if the process could not be started. */
  readonly report?: ProcessReport | undefined
  readonly cause?: unknown
}

/**
 * A child process has failed. That is a failure, not a cancellation. `code` says how:
 *
 * - `'ERR_PROCESS_FAILED'`: the process has ended with an exit code other than 0, or by a signal that this process had
 *   not sent. The signal may have a name or none (real-time signals);
 * - `'ERR_PROCESS_OUTPUT'`: the process has written more than `maxBuffer`, and was ended;
 * - the code of the system (`'ENOENT'`, `'EACCES'`, …): the process could not be started. `cause` is the error of the
 *   system.
 */
export class ProcessError extends Error {
  override readonly name = 'ProcessError'
  readonly code: string
  /** The command that was given. */
  readonly command: string
  /**
   * Exit code, signal and output. Undefined if the process could not be started. The report of `run` also has `stdout`
   * and `stderr`.
   */
  declare readonly report: ProcessReport | undefined

  constructor(message: string, { code, command, report, cause }: ProcessErrorDetails) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.command = command
    // Not enumerable, because a log of the error must not contain a hundred megabytes of output.
    Object.defineProperty(this, 'report', { value: report })
  }
}
