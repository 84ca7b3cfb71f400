/** Errors that end a command with one line. They are not bugs, so no stack is printed. */
import { FAILED, USAGE } from './exit-codes.js'
import { visible } from './visible.js'

/** The command could not do its task. */
export class Failure extends Error {
  readonly exitCode: number

  constructor(message: string, exitCode: number = FAILED) {
    super(message)
    this.exitCode = exitCode
  }
}

/** Wrong usage. */
export class UsageError extends Failure {
  constructor(message: string) {
    super(message, USAGE)
  }
}

/**
 * Returns the first line of the message of a thrown value. It is made safe for a terminal, because a server may have
 * written the message.
 */
export function messageOf(thrown: unknown): string {
  return visible(wordsOf(thrown).split('\n', 1)[0] as string)
}

function wordsOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown)
  // If several addresses were tried, each has an error, and the aggregate of these errors has no message.
  const first: unknown = thrown instanceof AggregateError ? thrown.errors[0] : undefined
  return thrown.message || (first instanceof Error ? first.message : thrown.name)
}
