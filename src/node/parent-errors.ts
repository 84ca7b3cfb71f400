/** Nobody has lent this process a token: it was started by hand, or without `lend`. */
export class NoParentError extends Error {
  override readonly name = 'NoParentError'
  readonly code = 'ERR_NO_PARENT'
}
