/**
 * What a cancellation looks like when it is thrown, and how to tell one from a failure.
 *
 * The classes mirror the kinds of tokens, as in cantok. `name` and `code` are the platform's, because that is what the
 * libraries of the field look at: `'AbortError'` (`'TimeoutError'` for deadlines) and `'ABORT_ERR'`.
 */
import type { CancellationToken } from './token.js'

/** The kinds of a cancellation that a call makes. */
type KindByCall = 'manual' | 'dispose' | 'race' | 'sibling'

/** Why a token was cancelled: one word out of a small closed set, for policies. The open part is `reason`. */
export type CancellationKind =
  | KindByCall
  | 'timeout'
  | 'condition'
  | 'counter'
  | 'signal'
  | 'process-signal'
  | 'disconnect'
  | 'lease'

/** A table, so that the compiler says when a kind is missing. */
export const KINDS_BY_CALL: Readonly<Record<KindByCall, 1>> = { manual: 1, dispose: 1, race: 1, sibling: 1 }

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
// On each, because Bun begins a stack with the name only where the error's own class has it.
for (const of of [CancellationError, ConditionCancellationError, CounterCancellationError])
  mark(of, 'name', 'AbortError')
mark(CancellationError, 'code', 'ABORT_ERR')
mark(TimeoutCancellationError, 'name', 'TimeoutError')
mark(ImpossibleCancelError, brand, false)
mark(ImpossibleCancelError, 'name', 'ImpossibleCancelError')
mark(ImpossibleCancelError, 'code', 'ERR_IMPOSSIBLE_CANCEL')

/** One of ours, from whatever copy of the package or realm. What throws when it is read (a revoked proxy) is none. */
export function isOurs(value: unknown): value is CancellationError {
  try {
    return typeof value === 'object' && value !== null && (value as Record<symbol, unknown>)[brand] === true
  } catch {
    return false
  }
}

// Signs that mean a cancellation for sure (each library was looked at or run). Node and undici, got, p-*, piscina, smithy:
// AbortError; axios: CanceledError; VS Code: Canceled; TanStack: CancelledError; Elasticsearch: RequestAbortedError; Temporal:
// CancelledFailure; Effect: InterruptedException; openai: a class APIUserAbortError whose `name` is plain 'Error'; execa: isCanceled.
const NAMES =
  /^(((Request|APIUser)?Abort(ed)?|Cancel(l?ed|lation)?)Error|Canceled|CancelledFailure|InterruptedException)$/
const CODES = /^(ABORT_ERR|ERR_CANCELED|ERR_ABORTED|UND_ERR_ABORTED)$/

// Codes that mean a cancellation only where the token is cancelled: servers answer so when something else has cancelled, too.
// PostgreSQL's SQLSTATE, MySQL's and MariaDB's errno, JSON-RPC (language servers), MCP, SQLite, Oracle, SQL Server, dns and libuv,
// protobuf-ts and Twirp, MongoDB's codeName.
const TOKEN_CODES =
  /^(57014|1317|1969|3024|-32(80[02]|001)|SQLITE_INTERRUPT|ORA-01013|E?CANCEL(L?ED)?|DEADLINE_EXCEEDED|(ER_QUERY_)?INTERRUPTED|MaxTimeMSExpired)$/i

// A calloff error that was cloned is a plain Error. Its stack still begins with the name it had and its message,
// which says one of the things that tokens explain themselves with.
const CLONED = /^(Abort|Timeout)Error: .*\btoken\b.* (was cancelled|ran out of time|has used up|lost its)/

/**
 * The platform's `TimeoutError` is a DOMException, of whatever realm, jsdom's and happy-dom's included; a mere Error of that name
 * may come from any socket.
 */
export function isPlatformTimeout(error: unknown): boolean {
  try {
    return (
      (error as { name?: unknown } | null | undefined)?.name === 'TimeoutError' &&
      (Object.prototype.toString.call(error) === '[object DOMException]' || makerOf(error)?.name === 'DOMException')
    )
  } catch {
    return false // a getter or a proxy that throws
  }
}

const makerOf = (error: unknown) => (error as { constructor?: { name?: unknown } }).constructor

/** Of a field that ought to be text or a number. What an object makes of itself may throw. */
const plain = (value: unknown) => (Object(value) === value ? '' : String(value))

/** `own`: the error of the token that is asked for, which is cancelled. */
function hasShape(error: Record<string, unknown>, own: CancellationError | undefined): boolean {
  const maker = makerOf(error)
  // ioredis calls a lost connection an AbortError, p-retry a failure that is not to be retried.
  if (Object(Object.getPrototypeOf(Object(maker))).name === 'RedisError' || 'originalError' in error) return false
  const { code, errno, codeName } = error
  // The class as well: openai, and others that do not set the name of their errors.
  const names = [plain(error['name']), plain(maker?.name)]
  return (
    names.some((name) => NAMES.test(name)) ||
    isPlatformTimeout(error) ||
    (typeof code === 'string' && CODES.test(code)) ||
    error['isCanceled'] === true ||
    (own !== undefined &&
      ([code, errno, codeName].some((one) => TOKEN_CODES.test(plain(one))) ||
        // gRPC: CANCELLED and DEADLINE_EXCEEDED; a process may exit with such a code, but has none of these.
        ((code === 1 || code === 4) && ('details' in error || 'metadata' in error)) ||
        plain(error['message']).startsWith('All fibers interrupted') || // Effect 4 leaves nothing else
        (own.kind === 'timeout' && names.some((name) => name.endsWith('TimeoutError')))))
  )
}

declare const recognised: unique symbol

/**
 * What {@link isCancellation} has recognised: an error of calloff, or one of another library that means the same. Only `name` and
 * `message` are certain: use `instanceof CancellationError` for `kind` and `token`.
 */
export type CancellationLike =
  | CancellationError
  | (Error & {
      /** In the type alone. Without it an `Error` that is no cancellation would have the type `never`. */
      readonly [recognised]: true
    })

/**
 * Tells a cancellation from a failure.
 *
 * Recognises calloff's errors, from any copy of the package and any realm, and their clones; the platform's `AbortError` and
 * `TimeoutError`; Node's `ABORT_ERR`; and what known libraries throw; each also as the `cause` of another error. An
 * `AggregateError` is a cancellation only if all of it is. A mere `Error` that is named `TimeoutError` is none: it may come
 * from any socket. Nor is an `AbortError` of ioredis (a lost connection) or of p-retry (a failure not to be retried).
 *
 * With a `token` it answers for that token alone: its own error, anywhere in the chain of causes, or a clone of it. While the
 * token is cancelled, it also knows errors of clients that drop the reason, by their shape: what counts without a token, and
 * the codes with which servers answer a cancel (gRPC's 1 and 4, SQLSTATE 57014, JSON-RPC's -32800, …). It reads the token, it
 * never polls.
 *
 * For TypeScript it is a type guard. One value is recognised that is no `Error`: the reason of a foreign signal, where that is text or the
 * like, and the token of that signal is given.
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
export function isCancellation(error: unknown, token?: CancellationToken): error is CancellationLike {
  const own = token?.error
  if (token !== undefined && own === undefined) return false
  try {
    return matches(error, own, new Set())
  } catch {
    return false // a getter or a proxy that throws
  }
}

function matches(error: unknown, own: CancellationError | undefined, visited: Set<unknown>): boolean {
  // What fetch and others throw is the reason of the foreign signal itself, whatever that is.
  const reason = own && /^(signal|timeout)$/.test(own.kind) ? own.cause : undefined
  let shaped = false
  let at = error as Record<string, unknown> | undefined
  while (!visited.has(at)) {
    if (reason !== undefined && at === reason) return true
    if (typeof at !== 'object' || at === null) break
    visited.add(at)
    // With a token, a calloff error that is not its own is the cancellation of another token, whatever wraps it.
    if (isOurs(at)) return own === undefined || at === own
    // Of a clone, the message is what is left to tell whose it is.
    if (own !== undefined && at['message'] === own.message) return true
    if (at['name'] === 'Error' && CLONED.test(plain(at['stack']))) return own === undefined
    const several = at['errors']
    if (Array.isArray(several) && !shaped) {
      return several.length > 0 && several.every((one) => matches(one, own, new Set(visited)))
    }
    shaped ||= hasShape(at, own)
    at = (at['cause'] ?? at['originalError']) as typeof at
  }
  return shaped
}
