/** What went wrong with a server, in the words of the hub: one rule for all engines. */
import { HubError, type HubErrorCode } from '../contract/errors.js'

/**
 * What a failure means. `'auth'`: the server refuses the credentials. `'refused'`: the server refuses this request, and the connection is
 * good for others. `'gone'`: another connection is needed.
 */
export type Failure = 'auth' | 'refused' | 'gone'

/** How an engine tells failures apart. */
export interface FailureRules {
  /** For messages: where the server is, without secrets. */
  readonly place: string
  /** What an error of the client library means. It is not asked about a `HubError`. */
  classify(error: Error): Failure
  /** What the message says. Default: the message of the error. */
  describe?(error: Error): string
}

const codes: Readonly<Record<Failure, HubErrorCode>> = {
  auth: 'ERR_HUB_AUTH',
  refused: 'ERR_HUB_REFUSED',
  gone: 'ERR_HUB_UNREACHABLE',
}

/** The error that a caller gets. A `HubError` stays as it is. */
export function hubErrorOf(rules: FailureRules, thrown: unknown): HubError {
  if (thrown instanceof HubError) return thrown
  const cause = thrown instanceof Error ? thrown : new Error(String(thrown), { cause: thrown })
  const text = rules.describe?.(cause) ?? cause.message
  return new HubError(codes[rules.classify(cause)], `${rules.place}: ${text}`, { cause })
}
