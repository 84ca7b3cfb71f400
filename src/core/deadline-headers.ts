/**
 * Deadlines that travel in headers: as the time that remains, never as a point in time, since no two clocks agree.
 *
 * Two forms: `grpc-timeout`, at most eight digits and a unit (gRPC over HTTP/2), and `x-request-timeout-ms`.
 */
import { type NamesOf, optional, optionalNonNegative, optionsOf, shown, wrongType } from './arguments.js'
import { type CancellationToken, DefaultToken, type TokenOrSignal, TimeoutToken, toToken } from './token.js'

/** What `toHeaders` gives: both headers, or none. A type and not an interface, so that it goes where a record is wanted. */
export type DeadlineHeaders = {
  readonly 'grpc-timeout'?: string
  readonly 'x-request-timeout-ms'?: string
}

/** Headers as they come: the platform's `Headers`, Node's `request.headers`, or pairs of names and values. */
export type HeaderSource =
  | { get(name: string): string | null | undefined }
  | Iterable<readonly [name: string, value: string]>
  | { readonly [name: string]: string | readonly string[] | undefined }

/** How far a client is believed. */
export interface HeaderOptions {
  /** For messages and for the text of the token. */
  readonly name?: string | undefined
  /** The most milliseconds that anybody gets, with a header or without. `Infinity` unless given. */
  readonly max?: number | undefined
  /** The milliseconds to go by where no header can be read. `Infinity` unless given; `max` holds for these as well. */
  readonly default?: number | undefined
  /** A header that cannot be read counts as absent (`'ignore'`, unless given), or is an {@link InvalidDeadlineError}. */
  readonly invalid?: 'ignore' | 'refuse' | undefined
}

const HEADER_OPTIONS: NamesOf<HeaderOptions> = ['name', 'max', 'default', 'invalid']

/** The units of `grpc-timeout`, finest first: so many of them are so many milliseconds. Integers, so that an hour is one. */
const units = { n: [1e6, 1], u: [1e3, 1], m: [1, 1], S: [1, 1e3], M: [1, 6e4], H: [1, 3.6e6] } as const
type Unit = keyof typeof units

function toMilliseconds(digits: number, unit: Unit): number {
  const [many, milliseconds] = units[unit]
  return (digits * milliseconds) / many
}

const MOST_DIGITS = 99_999_999

/** A header: what it has to look like, in words and as milliseconds (undefined for what does not). */
const formats = {
  'grpc-timeout': {
    wanted: 'at most eight digits and one of H, M, S, m, u, n',
    read(text: string): number | undefined {
      const [, digits, unit] = /^(\d{1,8})([HMSmun])$/.exec(text) ?? []
      return digits === undefined ? undefined : toMilliseconds(Number(digits), unit as Unit)
    },
  },
  'x-request-timeout-ms': {
    wanted: 'a whole number of milliseconds',
    read: (text: string) => (/^\d{1,16}$/.test(text) ? Number(text) : undefined),
  },
}
type HeaderName = keyof typeof formats
const names = Object.keys(formats) as HeaderName[]

/** A header asks for a deadline in a way that cannot be read. It is the client's mistake: status 400. */
export class InvalidDeadlineError extends RangeError {
  declare readonly code: 'ERR_INVALID_DEADLINE'
  /** The name of the header. */
  readonly header: string
  /** What it says. */
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
 * The deadline of a token as headers for a request: how much time remains, so that the clocks of the two sides need not agree.
 *
 * Without a deadline there are none; of a token that is over, whatever ended it, they say 0. Both are rounded so that they never
 * promise more than what remains. How long the request is under way nobody can know: the other side counts from when it
 * reads them.
 *
 * Errors: `TypeError` for what is no token.
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

/** In the finest unit that eight digits are enough for. */
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
 * The deadline that a request asks for in its headers, as a token that begins now: a `TimeoutToken`, or a `DefaultToken` where
 * there is none.
 *
 * Of several, the shortest holds. `max` is the most that anybody gets, also who asks for nothing, which is to ask for ever.
 *
 * Errors: with `invalid: 'refuse'`, {@link InvalidDeadlineError} for a header that cannot be read. `TypeError` and
 * `RangeError` for bad arguments.
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

/** What our headers say, in whatever way they come. One that was sent twice is a list, or has commas between. */
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
