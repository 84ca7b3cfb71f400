/** What ends a command with one line. Nothing of it is a bug, so nobody is shown a stack. */
import { FAILED, USAGE } from './exit-codes.js'
import { visible } from './visible.js'

/** It could not be done. */
export class Failure extends Error {
  readonly exitCode: number

  constructor(message: string, exitCode: number = FAILED) {
    super(message)
    this.exitCode = exitCode
  }
}

/** It was not said right. */
export class UsageError extends Failure {
  constructor(message: string) {
    super(message, USAGE)
  }
}

/** The words of whatever was thrown: its first line, safe for a terminal. A server elsewhere may have written it. */
export function messageOf(thrown: unknown): string {
  return visible(wordsOf(thrown).split('\n', 1)[0] as string)
}

function wordsOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown)
  // Several addresses that were tried have one error each, and no words for all of them.
  const first: unknown = thrown instanceof AggregateError ? thrown.errors[0] : undefined
  return thrown.message || (first instanceof Error ? first.message : thrown.name)
}
