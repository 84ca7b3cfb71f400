/** No process has lent this process a token: it was started by hand, or without `lend`. */
export class NoParentError extends Error {
  override readonly name = 'NoParentError'
  readonly code = 'ERR_NO_PARENT'
}

/** The thread of `fromParent({ background: true })` could not be started, or has ended before it had the token. */
export class ParentThreadError extends Error {
  override readonly name = 'ParentThreadError'
  readonly code = 'ERR_PARENT_THREAD'
}

/** Returns the error for a thread that did not start, or that runs another program than worker.ts. */
export function wrongProgram(cause: unknown): ParentThreadError {
  const found = cause instanceof Error ? cause.message : 'it has ended at once'
  const todo =
    'where a bundler has left it out, bundle calloff/node/worker as a file of its own and give its place as `worker`'
  return new ParentThreadError(`the program of the thread of fromParent could not be run (${found}): ${todo}`, {
    cause,
  })
}
