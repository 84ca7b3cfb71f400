/** What the tests of scopes share. */
import type { CancellationToken } from 'calloff'
import { deferred } from '../helpers.js'

/** A work that the test ends, with what it has seen. */
export interface Puppet<T> {
  /** Given to `run`. */
  readonly work: (token: CancellationToken) => Promise<T>
  readonly resolve: (value: T) => void
  readonly reject: (error: unknown) => void
  /** Its token, once it has been started. */
  token: CancellationToken | undefined
}

/** Ignores its token: ends when it is told to, and only then. */
export function puppet<T = unknown>(): Puppet<T> {
  const { promise, resolve, reject } = deferred<T>()
  const self: Puppet<T> = {
    work: (token) => {
      self.token = token
      return promise
    },
    resolve,
    reject,
    token: undefined,
  }
  return self
}

/** Ends when its token does, with its error. */
export async function patient(token: CancellationToken): Promise<never> {
  throw await token.wait()
}
