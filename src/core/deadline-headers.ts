/**
 * Deadlines in headers. They travel as the time that remains, never as a point in time, because no two clocks agree.
 *
 * There are two headers: `grpc-timeout`, with at most eight digits and a unit (gRPC over HTTP/2), and
 * `x-request-timeout-ms`.
 */
import { type NamesOf, optional, optionalNonNegative, optionsOf, shown, wrongType } from './arguments.js'
import { type CancellationToken, DefaultToken, type TokenOrSignal, TimeoutToken, toToken } from './token.js'

/**
 * The result of `toHeaders`: both headers, or none. A type and not an interface, so that it can be passed where a
 * record is expected.
 */
export type DeadlineHeaders = {
  readonly 'grpc-timeout'?: string
  readonly 'x-request-timeout-ms'?: string
}

/** The headers of a request: the platform's `Headers`, Node's `request.headers`, or pairs of names and values. */
export type HeaderSource =
  | { get(name: string): string | null | undefined }
  | Iterable<readonly [name: string, value: string]>
  | { readonly [name: string]: string | readonly string[] | undefined }

/** The options of `fromHeaders`: the limits for the client. */
export interface HeaderOptions {
  /** The name that messages and the text of the token show. */
  readonly name?: string | undefined
  /** The most milliseconds that a request gets, with a header or without. Default: `Infinity`. */
  readonly max?: number | undefined
  /**
   * The milliseconds that a request gets without a header that can be read. `max` limits them, too. Default:
   * `Infinity`.
   */
  readonly default?: number | undefined
  /**
   * Whether a header that cannot be read counts as absent (`'ignore'`, the default), or is an
   * {@link InvalidDeadlineError} (`'refuse'`).
   */
  readonly invalid?: 'ignore' | 'refuse' | undefined
}

const HEADER_OPTIONS: NamesOf<HeaderOptions> = ['name', 'max', 'default', 'invalid']

/**
 * The units of `grpc-timeout`, finest first. Each is a pair: a number of units, and the milliseconds that so many units
 * last. Both numbers are integers, so that an hour is exact.
 */
const units = { n: [1e6, 1], u: [1e3, 1], m: [1, 1], S: [1, 1e3], M: [1, 6e4], H: [1, 3.6e6] } as const
type Unit = keyof typeof units

function toMilliseconds(digits: number, unit: Unit): number {
  const [many, milliseconds] = units[unit]
  return (digits * milliseconds) / many
}

const MOST_DIGITS = 99_999_999

type HeaderName = 'grpc-timeout' | 'x-request-timeout-ms'

interface Format {
  readonly wanted: string
  read(text: string): number | undefined
}

/**
 * The headers: the format of each in words, and a function that reads the milliseconds (undefined if the text has
 * another format).
 */
const formats: Readonly<Record<HeaderName, Format>> = {
  'grpc-timeout': {
    wanted: 'at most eight digits and one of H, M, S, m, u, n',
    read(text) {
      const [, digits, unit] = /^(\d{1,8})([HMSmun])$/.exec(text) ?? []
      return digits === undefined ? undefined : toMilliseconds(Number(digits), unit as Unit)
    },
  },
  'x-request-timeout-ms': {
    wanted: 'a whole number of milliseconds',
    read: (text) => (/^\d{1,16}$/.test(text) ? Number(text) : undefined),
  },
}
const names = Object.keys(formats) as HeaderName[]

/** A header has a deadline that cannot be read. This is a mistake of the client, for which the status is 400. */
export class InvalidDeadlineError extends RangeError {
  declare readonly code: 'ERR_INVALID_DEADLINE'
  /** The name of the header. */
  readonly header: string
  /** The value of the header. */
  readonly value: string

  constructor(header: HeaderName, value: string) {
    super(`${header} must be ${formats[header].wanted}, got ${shown(value.slice(0, 100))}`)
    this.header = header
    this.value = value
  }
}

for (const [key, value] of [
  ['name', 'InvalidDeadlineError'],
  ['code', 'ERR_INVALID_DEADLINE'],
] as const) {
  Object.defineProperty(InvalidDeadlineError.prototype, key, { value, writable: true, configurable: true })
}

/**
 * Returns the deadline of a token as headers for a request. They say how much time remains, so the clocks of the two
 * sides need not agree.
 *
 * Without a deadline there are no headers. For a cancelled token they say 0, whatever has cancelled it. Both headers
 * are rounded down, so that they never promise more than the time that remains. They cannot contain the time that the
 * request takes to arrive: the other side counts from the moment when it reads the headers.
 *
 * Errors: throws `TypeError` for a value that is no token.
 *
 * @example
 * ```ts
 * import { NEVER, TimeoutToken, toHeaders } from 'calloff'
 * import { manualClock } from 'calloff/testing'
 *
 * using clock = manualClock()
 * const token = new TimeoutToken(2_000)
 * clock.tick(500)
 * console.log(toHeaders(token)) // → { 'grpc-timeout': '1500000u', 'x-request-timeout-ms': '1500' }
 * console.log(toHeaders(NEVER)) // → {}
 * // await fetch(url, { signal: token.signal, headers: { ...toHeaders(token), accept: 'text/plain' } })
 * ```
 */
export function toHeaders(token: TokenOrSignal): DeadlineHeaders {
  const known = toToken(token)
  if (!known) throw wrongType('token', 'a token', token)
  const { remaining } = known
  if (remaining === Infinity) return {}
  return {
    'grpc-timeout': inUnits(remaining),
    'x-request-timeout-ms': String(Math.min(Math.floor(remaining), Number.MAX_SAFE_INTEGER)),
  }
}

/** Returns the time in the finest unit for which eight digits are enough, rounded down. */
function inUnits(ms: number): string {
  for (const unit of Object.keys(units) as Unit[]) {
    const [many, milliseconds] = units[unit]
    let digits = Math.floor((ms * many) / milliseconds)
    if (toMilliseconds(digits, unit) > ms) digits-- // the product was rounded upwards
    if (digits <= MOST_DIGITS) return `${digits}${unit}`
  }
  return `${MOST_DIGITS}H`
}

/**
 * Returns the deadline in the headers of a request, as a token whose time begins now. It is a `TimeoutToken`, or a
 * `DefaultToken` if there is no deadline.
 *
 * Of several deadlines, the shortest counts. `max` is the longest time that a request gets. It also limits a request
 * without a header, which would otherwise have no limit.
 *
 * Errors: with `invalid: 'refuse'`, throws {@link InvalidDeadlineError} for a header that cannot be read. Throws
 * `TypeError` and `RangeError` for bad arguments.
 *
 * @example
 * ```ts
 * import { fromHeaders } from 'calloff'
 *
 * console.log(String(fromHeaders(new Headers({ 'grpc-timeout': '2S' })))) // → TimeoutToken(2000)
 * console.log(String(fromHeaders({ 'x-request-timeout-ms': '600000' }, { max: 30_000 }))) // → TimeoutToken(30000)
 * console.log(String(fromHeaders({ 'grpc-timeout': 'soon' }, { default: 5_000 }))) // → TimeoutToken(5000)
 * console.log(String(fromHeaders([]))) // → DefaultToken()
 * ```
 */
export function fromHeaders(headers: HeaderSource, options?: HeaderOptions): CancellationToken {
  const given = optionsOf(options, HEADER_OPTIONS)
  const name = optional('name', 'string', given.name)
  const max = optionalNonNegative('max', given.max) ?? Infinity
  const fallback = optionalNonNegative('default', given.default) ?? Infinity
  const { invalid = 'ignore' } = given
  if (invalid !== 'ignore' && invalid !== 'refuse') throw wrongType('invalid', "'ignore' or 'refuse'", invalid)
  let asked: number | undefined
  for (const [header, value] of valuesIn(headers)) {
    const ms = formats[header].read(value)
    if (ms !== undefined) asked = Math.min(asked ?? Infinity, ms)
    else if (invalid === 'refuse') throw new InvalidDeadlineError(header, value)
  }
  const ms = Math.min(asked ?? fallback, max)
  return ms === Infinity ? new DefaultToken() : new TimeoutToken(ms, { name })
}

/**
 * The values of the two headers, from any kind of source. A header that was sent twice is a list, or has commas in its
 * value.
 */
function valuesIn(headers: HeaderSource): [HeaderName, string][] {
  const found: [HeaderName, string][] = []
  const add = (header: string, value: unknown) => {
    const name = names.find((one) => one === header.toLowerCase())
    if (name === undefined || value === undefined || value === null) return
    for (const one of Array.isArray(value) ? (value as unknown[]) : [value]) {
      if (typeof one !== 'string') throw wrongType(`headers[${JSON.stringify(name)}]`, 'a string', one)
      for (const part of one.split(',')) found.push([name, part.trim()])
    }
  }
  if (typeof headers !== 'object' || headers === null) {
    throw wrongType('headers', 'Headers, an object or an array of pairs', headers)
  }
  if (typeof (headers as { get?: unknown }).get === 'function') {
    for (const name of names) add(name, (headers as Headers).get(name))
  } else if (Symbol.iterator in headers) {
    for (const pair of headers) {
      if (!Array.isArray(pair) || typeof pair[0] !== 'string')
        throw wrongType('headers', 'pairs of names and values', pair)
      add(pair[0], pair[1])
    }
  } else {
    for (const [name, value] of Object.entries(headers)) add(name, value)
  }
  return found
}
