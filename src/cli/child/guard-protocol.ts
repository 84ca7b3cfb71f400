/**
 * The messages of `calloff run` to its guard, on the guard's standard input, one line each: a {@link Guarded} before
 * the command is started, a {@link Started} when it runs, and `DONE` when nothing is left to guard.
 */
export interface Guarded {
  /** The name in messages. */
  readonly name: string
  /** The value of `CALLOFF_TREE` in the environment of the command and of all processes that it starts. */
  readonly mark: string
  readonly signal: NodeJS.Signals
  /** In milliseconds. Null stands for `Infinity`. */
  readonly grace: number | null
  readonly isQuiet: boolean
}

export interface Started {
  readonly pid: number
  /** Together with the process id it identifies one process for ever. Undefined if the system does not report it. */
  readonly started: string | undefined
}

export const DONE = 'done'
