/**
 * What `calloff run` says to its guard, on the guard's standard input, a line each: a {@link Guarded} before the command is started, a
 * {@link Started} when it runs, and `DONE` when all has been seen to.
 */
export interface Guarded {
  /** What the messages call it. */
  readonly name: string
  /** What the command, and all that it starts, have in their environment as the value of `CALLOFF_TREE`. */
  readonly mark: string
  readonly signal: NodeJS.Signals
  /** Milliseconds; null is `Infinity`. */
  readonly grace: number | null
  readonly isQuiet: boolean
}

export interface Started {
  readonly pid: number
  /** With the number it names one process for good; undefined where the system does not tell. */
  readonly started: string | undefined
}

export const DONE = 'done'
