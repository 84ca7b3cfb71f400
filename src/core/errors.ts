/**
 * What a cancellation looks like when it is thrown, and how to tell one from a failure.
 *
 * The classes mirror the kinds of tokens, as in cantok. `name` and `code` are the platform's, because that is what the
 * libraries of the field look at: `'AbortError'` (`'TimeoutError'` for deadlines) and `'ABORT_ERR'`.
 */
import type { CancellationToken } from './token.js'

/** Why a token was cancelled: one word out of a small closed set, for policies. The open part is `reason`. */
export type CancellationKind =
  | 'manual'
  | 'timeout'
  | 'condition'
  | 'counter'
  | 'dispose'
  | 'race'
  | 'sibling'
  | 'signal'
  | 'process-signal'
  | 'disconnect'
  | 'lease'

/** What an error is made from. */
export interface CancellationDetails {
  /** The token that started it. */
  readonly token: CancellationToken
  /** Why, in one word. */
  readonly kind: CancellationKind
  /** What was given to `cancel()`; becomes `cause`. Left out, the error has no `cause`. */
  readonly reason?: unknown
}

// `Symbol.for`, so that two copies of the package, and realms of one process, recognise each other's errors.
const brand = Symbol.for('calloff.CancellationError')

/**
 * A token was cancelled. Thrown by `check()`, given to listeners, the reason of `token.signal`.
 *
 * One cancellation has one error object, however many tokens and signals it passes through, so identity can be relied on.
 * Test with {@link isCancellation} or by `kind`; `instanceof` works within one copy of the package.
 *
 * @example
 * ```ts
 * import { SimpleToken } from 'calloff'
 *
 * const token = new SimpleToken({ name: 'upload' }).cancel('user pressed stop')
 * console.log(token.error?.message) // → token "upload" was cancelled: user pressed stop
 * console.log(token.error?.kind, token.error?.name) // → manual AbortError
 * ```
 */
export class CancellationError extends Error {
  /** `'ABORT_ERR'`, as on Node's own cancellations. */
  declare readonly code: 'ABORT_ERR'
  readonly #details: CancellationDetails

  /** Made by the library; of use to those who write token kinds of their own. */
  constructor(message: string, details: CancellationDetails) {
    super(message, details.reason === undefined ? undefined : { cause: details.reason })
    this.#details = details
  }

  /** The token that started it: not necessarily the one that was polled. */
  get token(): CancellationToken {
    return this.#details.token
  }

  /** Why, in one word. */
  get kind(): CancellationKind {
    return this.#details.kind
  }
}

/** The deadline of a `TimeoutToken`, or a `timeout` option, has passed. Its `name` is `'TimeoutError'`. */
export class TimeoutCancellationError extends CancellationError {}

/** The condition of a `ConditionToken` came true. */
export class ConditionCancellationError extends CancellationError {}

/** The polls of a `CounterToken` are used up. */
export class CounterCancellationError extends CancellationError {}

/** `cancel()` was called on a `DefaultToken`, which never ends. A mistake in the program, not a cancellation. */
export class ImpossibleCancelError extends CancellationError {}

// On the prototypes rather than on each error: nothing enumerable, nothing stored. Configurable, as names of errors are.
const mark = (of: { readonly prototype: object }, key: PropertyKey, value: unknown) =>
  Object.defineProperty(of.prototype, key, { value, writable: true, configurable: true })
mark(CancellationError, brand, true)
mark(CancellationError, 'name', 'AbortError')
mark(CancellationError, 'code', 'ABORT_ERR')
mark(TimeoutCancellationError, 'name', 'TimeoutError')
mark(ImpossibleCancelError, brand, false)
mark(ImpossibleCancelError, 'name', 'ImpossibleCancelError')
mark(ImpossibleCancelError, 'code', 'ERR_IMPOSSIBLE_CANCEL')

/** One of ours, from whatever copy of the package or realm. */
export function isOurs(value: unknown): value is CancellationError {
  return typeof value === 'object' && value !== null && (value as Record<symbol, unknown>)[brand] === true
}

// What the libraries of the field throw when called off (each of them was looked at or run):
// Node and undici, got, p-*, piscina, smithy: AbortError; axios: CanceledError; VS Code: Canceled; TanStack: CancelledError;
// Temporal: CancelledFailure; openai: a class APIUserAbortError whose `name` is plain 'Error'; execa: isCanceled.
const NAMES = /^(Abort|Cancellation|Cancel|Canceled|Cancelled|APIUserAbort)Error$|^Canceled$|^CancelledFailure$/
const CODES = /^(ABORT_ERR|ERR_CANCELED|ERR_ABORTED|UND_ERR_ABORTED)$/

/** The platform's `TimeoutError` is a DOMException, of whatever realm; a mere Error of that name may be anybody's socket. */
export function isPlatformTimeout(error: unknown): boolean {
  return (
    Object.prototype.toString.call(error) === '[object DOMException]' &&
    (error as { name?: unknown }).name === 'TimeoutError'
  )
}

function hasShape(error: Record<string, unknown>): boolean {
  return (
    NAMES.test(String(error['name'])) ||
    // openai, and classes that do not set the name of their errors.
    NAMES.test(String((error.constructor as { name?: unknown } | undefined)?.name)) ||
    isPlatformTimeout(error) ||
    (typeof error['code'] === 'string' && CODES.test(error['code'])) ||
    error['isCanceled'] === true
  )
}

/**
 * Tells a cancellation from a failure.
 *
 * Recognises ours, from any copy of the package and any realm, the platform's `AbortError` and `TimeoutError`, Node's
 * `ABORT_ERR` and the shapes that known libraries throw, through `cause`; an `AggregateError` only if all of it is
 * cancellation. A mere `Error` that is named `TimeoutError` is none: it may be anybody's socket.
 *
 * With a `token` it answers for that token alone: its own error, anywhere in the chain of causes; and, for libraries that
 * drop the reason, anything of the shape of a cancellation if the token is cancelled. It looks, it never polls.
 *
 * Errors: throws nothing, whatever it is given.
 *
 * @example
 * ```ts
 * import { SimpleToken, isCancellation } from 'calloff'
 *
 * const token = new SimpleToken().cancel()
 * try {
 *   token.check()
 * } catch (error) {
 *   console.log(isCancellation(error), isCancellation(error, token), isCancellation(new Error('disk full'))) // → true true false
 * }
 * ```
 */
export function isCancellation(error: unknown, token?: CancellationToken): boolean {
  const own = token?.error
  if (token !== undefined && own === undefined) return false
  try {
    // What fetch and others throw is the reason of the foreign signal itself, whatever that is.
    if (own?.cause !== undefined && /^(signal|timeout)$/.test(own.kind) && error === own.cause) return true
    return matches(error, own, new Set())
  } catch {
    return false // a getter or a proxy that throws
  }
}

function matches(error: unknown, own: CancellationError | undefined, visited: Set<unknown>): boolean {
  let shaped = false
  for (
    let at = error;
    typeof at === 'object' && at !== null && !visited.has(at);
    at = (at as { cause?: unknown }).cause
  ) {
    visited.add(at)
    // With a token, one of ours that is not its own is somebody else's cancellation, whatever wraps it.
    if (isOurs(at)) return own === undefined || at === own
    const several: unknown = (at as { errors?: unknown }).errors
    if (Array.isArray(several) && !shaped) {
      return several.length > 0 && several.every((one) => matches(one, own, new Set(visited)))
    }
    shaped ||= hasShape(at as Record<string, unknown>)
  }
  return shaped
}
