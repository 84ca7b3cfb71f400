/** Translates failures of a server into errors of the hub, by one rule for all engines. */
import { HubError, type HubErrorCode } from '../contract/errors.js'

/**
 * The kind of a failure. `'auth'`: the server refuses the credentials. `'refused'`: the server refuses this request, and the connection
 * can be used for others. `'gone'`: another connection is needed.
 */
export type Failure = 'auth' | 'refused' | 'gone'

/** How an engine tells failures apart. */
export interface FailureRules {
  /** Where the server is, for messages. Contains no secrets. */
  readonly place: string
  /** Returns the kind of an error of the client library. It is not called with a `HubError`. */
  classify(error: Error): Failure
  /** Returns the text for the message. Default: the message of the error. */
  describe?(error: Error): string
}

const codes: Readonly<Record<Failure, HubErrorCode>> = {
  auth: 'ERR_HUB_AUTH',
  refused: 'ERR_HUB_REFUSED',
  gone: 'ERR_HUB_UNREACHABLE',
}

/** Returns the error for the caller. A `HubError` is returned unchanged. */
export function hubErrorOf(rules: FailureRules, thrown: unknown): HubError {
  if (thrown instanceof HubError) return thrown
  const cause = thrown instanceof Error ? thrown : new Error(String(thrown), { cause: thrown })
  const text = rules.describe?.(cause) ?? cause.message
  return new HubError(codes[rules.classify(cause)], `${rules.place}: ${text}`, { cause })
}
