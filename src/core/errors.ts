/**
 * The errors of cancellations, and how to tell a cancellation from a failure.
 *
 * The classes mirror the kinds of tokens, as in cantok. `name` and `code` are those of the platform, because the
 * libraries of the field check them: `'AbortError'` (`'TimeoutError'` for deadlines) and `'ABORT_ERR'`.
 */
import type { CancellationToken } from './token.js'
import type { TokenView } from './view.js'

/** The kinds of the cancellations that a call makes. */
type KindByCall = 'manual' | 'dispose' | 'race' | 'sibling' | 'superseded'

/** Why a token was cancelled: one word of a small closed set, for policies. The open part is `reason`. */
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
export const KINDS_BY_CALL: Readonly<Record<KindByCall, 1>> = {
  manual: 1,
  dispose: 1,
  race: 1,
  sibling: 1,
  superseded: 1,
}

/** The closed set of all kinds. */
export const KINDS: Readonly<Record<CancellationKind, 1>> = {
  ...KINDS_BY_CALL,
  timeout: 1,
  condition: 1,
  counter: 1,
  signal: 1,
  'process-signal': 1,
  disconnect: 1,
  lease: 1,
}

/** The facts that an error is made from. */
export interface CancellationDetails {
  /** The token where the cancellation started. */
  readonly token: CancellationToken
  /** Why, in one word. */
  readonly kind: CancellationKind
  /** The reason that was given to `cancel()`. It becomes `cause`. Without a reason, the error has no `cause`. */
  readonly reason?: unknown
}

/** An error as a plain object for logs, which JSON can express. It also has the properties of the error itself. */
export interface ErrorRecord {
  /** The class of the error, as the serializer of pino has it. For an error of calloff, its `name`. */
  readonly type?: string | undefined
  readonly name?: string | undefined
  readonly message?: string | undefined
  readonly code?: string | number | undefined
  readonly stack?: string | undefined
  /** Why the token was cancelled, in one word. Undefined for an error that is no cancellation. */
  readonly kind?: CancellationKind | undefined
  /** The cause of an error that is none of calloff. */
  readonly cause?: unknown
  /** The errors of an `AggregateError`. */
  readonly errors?: unknown
  readonly [property: string]: unknown
}

/** The record of a cancellation, or of an error that wraps one. */
export interface CancellationRecord extends ErrorRecord {
  readonly kind: CancellationKind
  /** The name of the token where the cancellation started. Without a name, the call that makes such a token. */
  readonly cancelledBy?: string | undefined
  /** The tokens from the one where it started to the one that was given, each as in `cancelledBy`. */
  readonly path?: readonly string[] | undefined
  /** The reason that was given to `cancel()`. */
  readonly reason?: unknown
  /** The moment of the cancellation, by the wall clock: `'2026-11-30T09:12:44.120Z'`. */
  readonly at?: string | undefined
  /** Milliseconds since that moment. */
  readonly ago?: number | undefined
}

// `Symbol.for`, so that two copies of the package, and the realms of one process, recognise the errors of each other.
const brand = Symbol.for('calloff.CancellationError')

/**
 * A token was cancelled. `check()` throws this error, listeners get it, and it is the reason of `token.signal`.
 *
 * One cancellation has one error object, however many tokens and signals it passes through. So callers can compare by
 * identity. Test an error with {@link isCancellation} or by `kind`. `instanceof` works within one copy of the package
 * only.
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
  /** `'ABORT_ERR'`, as on Node's own cancellation errors. */
  declare readonly code: 'ABORT_ERR'
  readonly #details: CancellationDetails

  /** The library makes these errors. The constructor is public for authors of their own kinds of tokens. */
  constructor(message: string, details: CancellationDetails) {
    super(message, details.reason === undefined ? undefined : { cause: details.reason })
    this.#details = details
  }

  /** The token where the cancellation started. This is not necessarily the token that was polled. */
  get token(): CancellationToken {
    return this.#details.token
  }

  /** Why, in one word. */
  get kind(): CancellationKind {
    return this.#details.kind
  }

  /** Returns what JSON and loggers show of the error. {@link serializeCancellation} returns more. */
  toJSON(): CancellationRecord {
    const { name, message, code, kind, token, cause } = this
    return { name, message, code, kind, cancelledBy: token?.name, reason: textIn(cause) }
  }
}

/** Returns the text of a primitive reason, or the message of a reason that has one. */
function textIn(reason: unknown): string | undefined {
  try {
    const text: unknown = Object(reason) === reason ? (reason as Error).message : reason
    return text === undefined ? text : plain(text) || undefined
  } catch {
    return undefined // a getter or a proxy that throws
  }
}

/** The deadline of a `TimeoutToken`, or of a `timeout` option, has passed. Its `name` is `'TimeoutError'`. */
export class TimeoutCancellationError extends CancellationError {}

/** The condition of a `ConditionToken` has returned true. */
export class ConditionCancellationError extends CancellationError {}

/** The polls of a `CounterToken` are used up. */
export class CounterCancellationError extends CancellationError {}

/**
 * `cancel()` was called on a `DefaultToken`, which is never cancelled. This is a mistake in the program, not a
 * cancellation.
 */
export class ImpossibleCancelError extends CancellationError {}

// On the prototypes, not on each error: so nothing is enumerable, and nothing is stored. Configurable, as the names of
// errors are.
const mark = (of: { readonly prototype: object }, key: PropertyKey, value: unknown) =>
  Object.defineProperty(of.prototype, key, { value, writable: true, configurable: true })
mark(CancellationError, brand, true)
// On each class, because Bun begins a stack with the name only where the error's own class has the name.
for (const type of [CancellationError, ConditionCancellationError, CounterCancellationError])
  mark(type, 'name', 'AbortError')
mark(CancellationError, 'code', 'ABORT_ERR')
mark(TimeoutCancellationError, 'name', 'TimeoutError')
mark(ImpossibleCancelError, brand, false)
mark(ImpossibleCancelError, 'name', 'ImpossibleCancelError')
mark(ImpossibleCancelError, 'code', 'ERR_IMPOSSIBLE_CANCEL')

/**
 * Whether it is an error of calloff, from any copy of the package or any realm. A value that throws when it is read (a
 * revoked proxy) is none.
 */
export function isOurs(value: unknown): value is CancellationError {
  try {
    return typeof value === 'object' && value !== null && (value as Record<symbol, unknown>)[brand] === true
  } catch {
    return false
  }
}

// Signs that always mean a cancellation (the code of each library was read or run). Node and undici, got, p-*, piscina,
// smithy: AbortError; axios: CanceledError; VS Code: Canceled; TanStack: CancelledError; Elasticsearch:
// RequestAbortedError; Temporal: CancelledFailure; Effect: InterruptedException; openai: a class APIUserAbortError
// whose `name` is plain 'Error'; execa: isCanceled.
const NAMES =
  /^(((Request|APIUser)?Abort(ed)?|Cancel(l?ed|lation)?)Error|Canceled|CancelledFailure|InterruptedException)$/
const CODES = /^(ABORT_ERR|ERR_CANCELED|ERR_ABORTED|UND_ERR_ABORTED)$/

// Codes that mean a cancellation only where the token is cancelled, because servers also answer with them when another
// cause has cancelled. PostgreSQL's SQLSTATE, MySQL's and MariaDB's errno, JSON-RPC (language servers), MCP, SQLite,
// Oracle, SQL Server, dns and libuv, protobuf-ts and Twirp, MongoDB's codeName.
const TOKEN_CODES =
  /^(57014|1317|1969|3024|-32(80[02]|001)|SQLITE_INTERRUPT|ORA-01013|E?CANCEL(L?ED)?|DEADLINE_EXCEEDED|(ER_QUERY_)?INTERRUPTED|MaxTimeMSExpired)$/i

// A cloned error of calloff is a plain Error. Its stack still begins with its former name and its message. The message
// has one of the phrases with which tokens explain a cancellation.
const CLONED = /^(Abort|Timeout)Error: .*\btoken\b.* (was cancelled|ran out of time|has used up|lost its)/

/**
 * The platform's `TimeoutError` is a DOMException of any realm, also of jsdom and happy-dom. A mere Error of that name
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

/** The text of a field that should be text or a number. An object has none here, because its conversion may throw. */
const plain = (value: unknown) => (Object(value) === value ? '' : String(value))

/** `own`: the error of the given token, which is cancelled. */
function hasShape(error: Record<string, unknown>, own: CancellationError | undefined): boolean {
  const maker = makerOf(error)
  // ioredis names a lost connection AbortError, and p-retry a failure that must not be retried.
  if (Object(Object.getPrototypeOf(Object(maker))).name === 'RedisError' || 'originalError' in error) return false
  const { code, errno, codeName } = error
  // The name of the class as well: openai and others do not set the name of their errors.
  const names = [plain(error['name']), plain(maker?.name)]
  return (
    names.some((name) => NAMES.test(name)) ||
    isPlatformTimeout(error) ||
    (typeof code === 'string' && CODES.test(code)) ||
    error['isCanceled'] === true ||
    (own !== undefined &&
      ([code, errno, codeName].some((one) => TOKEN_CODES.test(plain(one))) ||
        // gRPC: CANCELLED and DEADLINE_EXCEEDED. A process may exit with such a code, but its error has none of these
        // fields.
        ((code === 1 || code === 4) && ('details' in error || 'metadata' in error)) ||
        plain(error['message']).startsWith('All fibers interrupted') || // Effect 4 leaves no other sign
        (own.kind === 'timeout' && names.some((name) => name.endsWith('TimeoutError')))))
  )
}

declare const recognised: unique symbol

/**
 * An error that {@link isCancellation} has recognised: an error of calloff, or an error of another library that means
 * the same. Only `name` and `message` are certain. For `kind` and `token`, use `instanceof CancellationError`.
 */
export type CancellationLike =
  | CancellationError
  | (Error & {
      /** It exists in the type only. Without it, an `Error` that is no cancellation would have the type `never`. */
      readonly [recognised]: true
    })

/**
 * Tells a cancellation from a failure.
 *
 * It recognises the errors of calloff, from any copy of the package and any realm, and their clones. It recognises the
 * platform's `AbortError` and `TimeoutError`, Node's `ABORT_ERR`, and the cancellation errors of known libraries. Each
 * of them also counts as the `cause` of another error. An `AggregateError` is a cancellation only if all its errors
 * are. A mere `Error` with the name `TimeoutError` is none: it may come from any socket. An `AbortError` of ioredis (a
 * lost connection) or of p-retry (a failure that must not be retried) is none either.
 *
 * With a `token` it answers for that token alone. It recognises the token's own error, anywhere in the chain of causes,
 * or a clone of it. While the token is cancelled, it also recognises by their shape the errors of clients that drop the
 * reason: all errors that count without a token, and the codes with which servers answer a cancel (gRPC's 1 and 4,
 * SQLSTATE 57014, JSON-RPC's -32800, …). It reads the token and never polls it.
 *
 * For TypeScript it is a type guard. There is one recognised value that is no `Error`: the reason of a foreign signal,
 * where that is text or the like, and the token of that signal is given.
 *
 * Errors: it throws nothing, whatever the caller passes.
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
export function isCancellation(error: unknown, token?: TokenView): error is CancellationLike {
  const own = token?.error
  if (token !== undefined && own === undefined) return false
  try {
    return matches(error, own, new Set())
  } catch {
    return false // a getter or a proxy that throws
  }
}

function matches(error: unknown, own: CancellationError | undefined, visited: Set<unknown>): boolean {
  // fetch and others throw the reason of the foreign signal itself, of whatever type it is. The reason of a
  // TimeoutToken is not: code that throws it has failed.
  const reason = own && (own.kind === 'signal' || isPlatformTimeout(own.cause)) ? own.cause : undefined
  let shaped = false
  let at = error as Record<string, unknown> | undefined
  while (!visited.has(at)) {
    if (reason !== undefined && at === reason) return true
    if (typeof at !== 'object' || at === null) break
    visited.add(at)
    // With a token, a calloff error that is not its own is the cancellation of another token, whichever error wraps it.
    if (isOurs(at)) return own === undefined || at === own
    // A clone keeps the message, and only the message tells which token it belongs to.
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
