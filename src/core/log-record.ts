/** Errors as plain objects for logs: all that is known of a cancellation, in a form that JSON can express. */
import { type NamesOf, optional, optionsOf } from './arguments.js'
import { now, readWall } from './clock.js'
import { functionText, labelOf } from './describe.js'
import {
  type CancellationError,
  type CancellationRecord,
  type ErrorRecord,
  isCancellation,
  isOurs,
  isPlatformTimeout,
} from './errors.js'
import { own } from './graph.js'
import { attempt, clip, isError, isRecord, kindOfObject, partOf, plainText } from './reasons.js'
import { type CancellationToken, isToken } from './token.js'
import { parentOf, type TokenLike } from './tokens/from.js'

/** The options of `serializeCancellation`. */
export interface SerializeOptions {
  /**
   * The token that the task had, or any other value that `from` takes. With it the record has the `path`, and the error
   * of a client that drops the reason is recognised, as by `isCancellation(error, token)`.
   */
  readonly token?: TokenLike
  /** Whether the record has the stacks. Default: true. */
  readonly stack?: boolean | undefined
}

const OPTIONS: NamesOf<SerializeOptions> = ['token', 'stack']

/** The largest number of characters of a text, and of a stack. */
const LONGEST = 2_000
const LONGEST_STACK = 8_000
/** The largest number of the parts of a record, their greatest depth, and the most tokens of a path. */
const MOST_PARTS = 200
const DEEPEST = 6
const MOST_TOKENS = 20

/** The fields of a record that a property of the error does not replace. Only a cancellation has a `kind`. */
const FIELDS = ['type', 'name', 'message', 'code', 'stack', 'kind', 'cause', 'errors']

/**
 * Returns an error as a plain object for a log: the `err` serializer of pino, and the same for other loggers.
 *
 * For a cancellation, the record says the kind, the name of the token where it started, the reason and the moment. So a
 * log can tell an intended cancellation from a failure. For an error that wraps a cancellation, the record has
 * these fields of the wrapped error as well. For any other error, the record is what a plain serializer returns: the class, the name, the
 * message, the stack, the causes, and the properties of the error.
 *
 * JSON can express the record, whatever the error or the reason holds: a circle, a big integer, a getter that throws. A
 * long text is cut, and so is a large object. It reads the token, and never polls it.
 *
 * Limits: the `kind` of an error of another library is known only with its token, or where the error is the platform's
 * `TimeoutError`. The moment of a cancellation from another thread or process is known only with the token.
 *
 * Errors: throws `TypeError` for a wrong option. Whatever `error` is, it throws nothing else.
 *
 * @param error what was thrown. For a value that is not an error, `message` is its text.
 *
 * @example
 * ```ts
 * import { serializeCancellation, SimpleToken } from 'calloff'
 *
 * const server = new SimpleToken({ name: 'server' })
 * const request = new SimpleToken({ name: 'request' }, server)
 * server.cancel('deploy')
 * const record = serializeCancellation(request.error, { token: request })
 * if (record.kind) console.log(record.kind, record.reason, record.path) // → manual deploy [ 'server', 'request' ]
 * console.log(serializeCancellation(new Error('disk full')).kind) // → undefined
 * ```
 */
export function serializeCancellation(
  error: unknown,
  options?: SerializeOptions,
): CancellationRecord | (ErrorRecord & { readonly kind?: undefined }) {
  const given = optionsOf(options, OPTIONS)
  const token = parentOf(given.token)
  const record = makeRecorder(optional('stack', 'boolean', given.stack) ?? true)
  const ofToken = isCancellation(error, token) ? token : undefined
  // A foreign signal may have a text as its reason, and `fetch` throws that text.
  const thrown = (Object(error) === error ? error : ofToken?.error) as object | undefined
  const known = thrown === undefined ? thrown : attempt(() => record(thrown, ofToken, []))
  if (known) return known
  const message = attempt(() => clip(String(error), LONGEST)) ?? 'an error that has no text'
  return { type: error === null ? 'null' : typeof error, message }
}

type Recorder = (
  error: object,
  token: CancellationToken | undefined,
  above: readonly object[],
) => ReturnType<typeof serializeCancellation>

/** Returns a function that makes records. Their parts are counted together. `token`: the error is of its cancellation. */
function makeRecorder(stacks: boolean): Recorder {
  let parts = 0

  function copy(value: unknown, above: readonly object[]): unknown {
    if (++parts > MOST_PARTS) return '…'
    switch (typeof value) {
      case 'string':
        return clip(value, LONGEST)
      case 'number':
        return Number.isFinite(value) ? value : String(value)
      case 'function':
        return clip(functionText(value), LONGEST)
      case 'bigint':
      case 'symbol':
        return clip(String(value), LONGEST)
      case 'object':
        if (value === null) return value
        if (above.includes(value)) return '[circular]'
        if (above.length >= DEEPEST) return '…'
        try {
          return copyOfObject(value, above)
        } catch {
          return 'an object that cannot be read'
        }
      default:
        return value
    }
  }

  function copyOfObject(value: object, above: readonly object[]): unknown {
    if (isError(value)) return recordOf(value, undefined, above)
    if (isToken(value)) return nameOf(value)
    const inside = [...above, value]
    // There may be many elements, and no reader needs them.
    if (ArrayBuffer.isView(value)) return kindOfObject(value)
    const { toJSON } = value as { readonly toJSON?: unknown }
    if (typeof toJSON === 'function') return copy(toJSON.call(value), inside)
    if (!Array.isArray(value)) return isRecord(value) ? copyOfProperties(value, [], inside) : kindOfObject(value)
    const list: unknown[] = []
    for (let i = 0; i < value.length && parts < MOST_PARTS; i++) list.push(copy(value[i] as unknown, inside))
    if (list.length < value.length) list.push(`… ${value.length - list.length} more`)
    return list
  }

  /** Copies the enumerable properties of an object, except those in `without`. A getter that throws is left out. */
  function copyOfProperties(value: object, without: readonly string[], inside: readonly object[]): object {
    const keys = Object.keys(value).filter((key) => !without.includes(key))
    const entries: [string, unknown][] = []
    for (const key of keys) {
      if (parts >= MOST_PARTS) break
      entries.push([clip(key, LONGEST), copy(partOf(value, key), inside)])
    }
    if (entries.length < keys.length) entries.push(['…', `${keys.length - entries.length} more`])
    return Object.fromEntries(entries)
  }

  function recordOf(
    error: object,
    token: CancellationToken | undefined,
    above: readonly object[],
  ): ReturnType<typeof serializeCancellation> {
    const inside = [...above, error]
    const textOf = (key: string) => {
      const value = partOf(error, key)
      return value === undefined ? value : clip(plainText(value), LONGEST)
    }
    const stack = stacks ? partOf(error, 'stack') : undefined
    const code = partOf(error, 'code')
    const several = partOf(error, 'errors')
    const cause = isOurs(error) ? undefined : partOf(error, 'cause')
    const name = textOf('name')
    const fields = defined({
      type: isOurs(error) ? name : (classOf(error) ?? name),
      name,
      message: textOf('message'),
      code: typeof code === 'number' ? code : textOf('code'),
      ...cancellationIn(error, token, inside),
      stack: typeof stack === 'string' ? clip(stack, LONGEST_STACK) : undefined,
      cause: cause === undefined ? undefined : copy(cause, inside),
      errors: Array.isArray(several) ? copy(several, inside) : undefined,
    })
    return { ...fields, ...copyOfProperties(error, [...FIELDS, ...Object.keys(fields)], inside) }
  }

  /** Returns the fields about the cancellation that an error is, or wraps. */
  function cancellationIn(
    error: object,
    token: CancellationToken | undefined,
    inside: readonly object[],
  ): Partial<CancellationRecord> | undefined {
    if (!token && !isCancellation(error)) return undefined
    const found = token ? (token.error as CancellationError) : wrappedIn(error)
    if (!found) return isPlatformTimeout(error) ? { kind: 'timeout' } : undefined
    const at = momentOf(found, token)
    return {
      kind: found.kind,
      cancelledBy: attempt(() => nameOf(found.token)),
      path: token && namesOf(token.path),
      reason: copy(found.cause, inside),
      at: at === undefined ? at : attempt(() => new Date(readWall() - now() + at).toISOString()),
      ago: at === undefined ? at : Math.max(0, Math.round(now() - at)),
    }
  }

  return recordOf
}

function defined<T extends object>(fields: T): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T
}

function classOf(error: object): string | undefined {
  const name: unknown = attempt(() => error.constructor.name)
  return typeof name === 'string' && name ? clip(name, LONGEST) : undefined
}

/** Returns the first error of calloff among an error, its causes, and the first errors of an AggregateError. */
function wrappedIn(error: object): CancellationError | undefined {
  const seen = new Set<unknown>()
  for (let at: unknown = error; Object(at) === at && !seen.has(at);) {
    if (isOurs(at)) return at
    seen.add(at)
    const object = at as object
    const several = partOf(object, 'errors')
    at = Array.isArray(several) ? several[0] : (partOf(object, 'cause') ?? partOf(object, 'originalError'))
  }
  return undefined
}

/** Returns the name of a token. Without a name, returns the call that makes such a token. */
function nameOf(token: CancellationToken): string {
  const node = isToken(token) ? own(token) : undefined
  const label = node ? labelOf(node) : (token.name ?? 'CancellationToken')
  return clip(label, LONGEST)
}

/** Returns the names of the tokens of a path: of a long one, those of both ends. */
function namesOf(path: readonly CancellationToken[]): string[] {
  const half = MOST_TOKENS / 2
  if (path.length <= MOST_TOKENS) return path.map(nameOf)
  const more = `… ${path.length - MOST_TOKENS} more`
  return [...path.slice(0, half).map(nameOf), more, ...path.slice(-half).map(nameOf)]
}

/** Returns the moment of a cancellation on the clock in use. Undefined if neither the token nor the error's token has recorded it. */
function momentOf(error: CancellationError, token: CancellationToken | undefined): number | undefined {
  for (const one of [token, error.token]) {
    const outcome = isToken(one) ? own(one).outcome : undefined
    if (outcome?.error === error) return outcome.at
  }
  return undefined
}
