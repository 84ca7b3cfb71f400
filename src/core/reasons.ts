/**
 * The reason of a cancellation as text that another thread or process can read back. It keeps everything that JSON can
 * express, and also errors, dates, big integers, `undefined`, and the numbers that JSON lacks. Objects arrive as plain
 * ones, as with `structuredClone`. A reason that cannot cross, or is too long, arrives as readable text, with an
 * ellipsis where it was cut.
 *
 * An object `{ "$": [tag, …] }` stands for a value that JSON cannot express.
 */

/** The greatest depth of a reason, and the largest number of its parts. A larger reason would not fit anyway. */
const DEEPEST = 8
const MOST_PARTS = 256
/** The greatest length of a cause that is written as readable text, in characters. */
const LONGEST = 500

/** Returns the number of bytes that a text takes. */
export type SizeOf = (text: string) => number

/** A reason that has arrived. */
export interface Crossed {
  readonly reason: unknown
  /** The part of the message about the reason, where the arrived reason alone would give another text. */
  readonly saying: { readonly text: string | undefined } | undefined
}

type Tagged = readonly [tag: string, ...content: unknown[]]

const tagged = (...content: Tagged): object => ({ $: content })

// ---- The form that can be read back

/**
 * Returns a form of the value for `JSON.stringify`. Throws for a value that is too deep or too long, and the error of a
 * getter.
 */
function formOf(reason: unknown, stacks: boolean): unknown {
  let parts = 0
  const one = (value: unknown, above: readonly object[]): unknown => {
    if (++parts > MOST_PARTS) throw new RangeError('too long')
    switch (typeof value) {
      case 'number':
        return formOfNumber(value)
      case 'bigint':
        return tagged('bigint', String(value))
      case 'undefined':
        return tagged('undefined')
      case 'symbol':
      case 'function':
        return plainText(value)
      case 'object': {
        if (value === null) return value
        if (above.length >= DEEPEST || above.includes(value)) throw new RangeError('too deep')
        const inside = [...above, value]
        return formOfObject(value, stacks, (inner) => one(inner, inside))
      }
      default:
        return value
    }
  }
  return one(reason, [])
}

function formOfNumber(value: number): unknown {
  if (Object.is(value, -0)) return tagged('number', '-0')
  return Number.isFinite(value) ? value : tagged('number', String(value))
}

function formOfObject(value: object, stacks: boolean, inner: (one: unknown) => unknown): unknown {
  if (Array.isArray(value)) return Array.from(value, inner)
  if (isError(value)) return tagged('error', formOfError(value, stacks, inner))
  if (value instanceof Date) return tagged('date', String(value.getTime()))
  if (!isRecord(value)) return plainText(value)
  const entries = Object.entries(value).map(([key, one]) => [key, inner(one)])
  return '$' in value ? tagged('object', entries) : Object.fromEntries(entries)
}

export const kindOfObject = (value: object): string => Object.prototype.toString.call(value)

export const isRecord = (value: object): boolean => kindOfObject(value) === '[object Object]'

/** Whether it is an error of any realm. A `DOMException` is one, too. */
export function isError(value: object): value is Error {
  return value instanceof Error || /^\[object (Error|DOMException)\]$/.test(kindOfObject(value))
}

interface ErrorForm {
  readonly name?: string
  readonly message: string
  readonly code?: string | number
  readonly stack?: string
  readonly cause?: unknown
}

function formOfError(error: Error, stacks: boolean, inner: (one: unknown) => unknown): ErrorForm {
  const stack = stacks ? partOf(error, 'stack') : undefined
  const cause = partOf(error, 'cause')
  return {
    ...headOf(error),
    ...(typeof stack === 'string' && { stack }),
    ...(cause !== undefined && { cause: attempt(() => inner(cause)) ?? written(cause, LONGEST) }),
  }
}

function headOf(error: Error): ErrorForm {
  const code = partOf(error, 'code')
  return {
    name: plainText(partOf(error, 'name')),
    message: plainText(partOf(error, 'message')),
    ...((typeof code === 'string' || typeof code === 'number') && { code }),
  }
}

/** Returns a property, or undefined where its getter throws. */
export function partOf(object: object, key: string): unknown {
  return attempt(() => (object as Record<string, unknown>)[key])
}

export function attempt<T>(what: () => T): T | undefined {
  try {
    return what()
  } catch {
    return undefined
  }
}

// ---- Readable text

export function plainText(value: unknown): string {
  // oxlint-disable-next-line typescript/no-base-to-string -- better than nothing
  return attempt(() => String(value)) ?? 'a reason that has no text'
}

/** Returns the value as readable text, not much longer than `most` characters. */
function written(reason: unknown, most: number): string {
  let left = most
  const one = (value: unknown, above: readonly object[]): string => {
    if (left <= 0) return ''
    const text = attempt(() => {
      if (typeof value === 'string') return above.length > 0 ? JSON.stringify(value) : value
      if (typeof value === 'bigint') return `${value}n`
      if (typeof value !== 'object' || value === null) return plainText(value)
      return object(value, above)
    })
    left -= text?.length ?? 0
    return text ?? plainText(value)
  }
  const object = (value: object, above: readonly object[]): string => {
    if (isError(value)) return `${plainText(partOf(value, 'name'))}: ${plainText(partOf(value, 'message'))}`
    if (value instanceof Date) return attempt(() => value.toISOString()) ?? String(value)
    const isList = Array.isArray(value)
    if (!isList && !isRecord(value)) return plainText(value)
    if (above.includes(value)) return '[circular]'
    if (above.length >= DEEPEST) return '…'
    const inside = [...above, value]
    const parts: string[] = []
    for (const key of isList ? value.keys() : Object.keys(value)) {
      if (left <= 0) break
      const part = one((value as Record<PropertyKey, unknown>)[key], inside)
      parts.push(isList ? part : `${JSON.stringify(key)}:${part}`)
    }
    return isList ? `[${parts.join()}]` : `{${parts.join()}}`
  }
  return one(reason, [])
}

/** Returns the first `most` characters of a text, with an ellipsis for the rest. It cuts no character in half. */
export function clip(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most).replace(/[\uD800-\uDBFF]$/, '')}…`
}

/**
 * Encodes the longest start of the text that fits, of at most `most` characters, with an ellipsis. `fits` returns the
 * encoded text, or undefined if it is too long. Undefined if nothing fits.
 */
function shorten(text: string, most: number, fits: (text: string) => string | undefined): string | undefined {
  let best = fits(text)
  if (best !== undefined) return best
  for (let low = 0, high = Math.min(text.length, most); low < high;) {
    const length = (low + high + 1) >> 1
    const part = fits(clip(text, length))
    if (part === undefined) high = length - 1
    else {
      best = part
      low = length
    }
  }
  return best
}

// ---- Both

/** Returns the part of a message that an arrived form alone would give. */
function formSays(form: unknown): string | undefined {
  if (typeof form === 'string') return form
  const { $: [tag, content] = [] as unknown[], message } = Object(form) as { $?: unknown[]; message?: unknown }
  const text = tag === 'error' ? (content as ErrorForm).message : Array.isArray(form) || tag ? undefined : message
  return typeof text === 'string' ? text : undefined
}

/**
 * Returns the text that crosses, of at most `limit` by `sizeOf`: in full, else without stack traces, else shortened.
 * Undefined if nothing fits. `said` is the part of the message about the reason.
 */
export function encodeReason(
  reason: unknown,
  said: string | undefined,
  stacks: boolean,
  limit: number,
  sizeOf: SizeOf,
): string | undefined {
  /**
   * Encodes a form, with the part of the message where the form alone would not give it. Undefined if it is too long.
   */
  const fits = (form: unknown, says: string | undefined): string | undefined => {
    const text = JSON.stringify(formSays(form) === says ? form : tagged('said', form, says))
    return sizeOf(text) <= limit ? text : undefined
  }
  if (typeof reason === 'string' && said === reason) return shorten(reason, limit, (text) => fits(text, text))
  for (const each of stacks ? [true, false] : [false]) {
    const whole = attempt(() => fits(formOf(reason, each), said))
    if (whole !== undefined) return whole
  }
  if (attempt(() => isError(Object(reason) as object))) return encodeError(reason as Error, said, limit, fits)
  return shorten(written(reason, limit), limit, (text) => fits(text, said && clip(said, 100)))
}

/**
 * Encodes an error that is too long. Its code, cause and name are shortened before its message is, but are not dropped
 * before it.
 */
function encodeError(
  error: Error,
  said: string | undefined,
  limit: number,
  fits: (form: unknown, says: string | undefined) => string | undefined,
): string | undefined {
  const { name = '', message, code } = headOf(error)
  const cause = partOf(error, 'cause')
  const withText = (others: object) => (text: string) =>
    fits(tagged('error', { ...others, message: text }), said === undefined ? said : text)
  for (const most of [80, 16]) {
    const brief = withText({
      name: clip(name, most),
      ...(code !== undefined && { code: typeof code === 'string' ? clip(code, most) : code }),
      ...(cause !== undefined && { cause: clip(written(cause, most), most) }),
    })
    const best = shorten(message, limit, brief)
    if (best !== undefined) return best
  }
  return shorten(`${name}: ${message}…`, limit, withText({}))
}

/** Returns a reason as readable text of at most `most` characters, and an ellipsis where it was cut. Throws nothing. */
export function readable(reason: unknown, most: number): string {
  return clip(written(reason, most), most)
}

const bytesOf: SizeOf = (text) => new TextEncoder().encode(text).length

/**
 * Returns a reason as a value that JSON can express, of at most `limit` bytes, without stack traces. {@link reasonOf} reads it back.
 * Undefined if there is no reason.
 */
export function valueOfReason(reason: unknown, limit: number): unknown {
  if (reason === undefined) return undefined
  const form: unknown = JSON.parse(encodeReason(reason, undefined, false, limit, bytesOf) ?? 'null')
  const { $: [tag, inner] = [] as unknown[] } = Object(form) as { $?: unknown[] }
  return tag === 'said' ? inner : form
}

/** Encodes a text, shortened where it has to be. Undefined if nothing fits. */
export function encodeLine(text: string, limit: number, sizeOf: SizeOf): string | undefined {
  return shorten(text, limit, (part) => {
    const encoded = JSON.stringify(part)
    return sizeOf(encoded) <= limit ? encoded : undefined
  })
}

/** A version, a trace, a span and flags, as W3C's `traceparent` has them. Ids of zeros are none. */
const TRACE_PARENT = /^00-(?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-[\da-f]{2}$/

/**
 * Returns an encoded reason (empty for none) with the trace of the code that has cancelled. A version of calloff that
 * knows of no traces reads the same reason. Where the two do not fit, the trace is left out.
 */
export function withTrace(encoded: string, trace: string, limit: number, sizeOf: SizeOf): string {
  if (!TRACE_PARENT.test(trace)) return encoded
  const form: unknown = encoded === '' ? formOf(undefined, false) : JSON.parse(encoded)
  const { $: [tag, inner, says] = [] as unknown[] } = Object(form) as { $?: unknown[] }
  const whole = tag === 'said' ? tagged(tag, inner, says, trace) : tagged('said', form, formSays(form), trace)
  const text = JSON.stringify(whole)
  return sizeOf(text) <= limit ? text : encoded
}

/** Returns the trace in an encoded reason that has come from elsewhere; undefined if it has none. */
export function traceIn(encoded: string): string | undefined {
  return attempt(() => {
    const { $: [tag, , , trace] = [] as unknown[] } = Object(JSON.parse(encoded)) as { $?: unknown[] }
    return tag === 'said' && typeof trace === 'string' && TRACE_PARENT.test(trace) ? trace : undefined
  })
}

/**
 * Decodes a reason that has come from `where`. Foreign memory and wires are not trusted: a text that is no reason of
 * calloff is undefined.
 */
export function decodeReason(text: string, where: string): Crossed {
  return attempt(() => crossed(JSON.parse(text), where)) ?? { reason: undefined, saying: undefined }
}

/** Returns the reason of a form that has come from `where`, and was parsed there. Undefined if it is no form. */
export function reasonOf(form: unknown, where: string): unknown {
  return attempt(() => crossed(form, where).reason)
}

function crossed(form: unknown, where: string): Crossed {
  if (typeof form === 'string') return { reason: form, saying: undefined }
  const { $: [tag, inner, says] = [] as unknown[] } = Object(form) as { $?: unknown[] }
  if (tag !== 'said') return { reason: valueOf(form, where), saying: undefined }
  const text = typeof says === 'string' ? says : undefined
  return { reason: valueOf(inner, where), saying: formSays(inner) === text ? undefined : { text } }
}

/** Returns the value of a form. A form that is unknown, or deeper than `encodeReason` writes any, is undefined. */
function valueOf(form: unknown, where: string, depth = 0): unknown {
  if (typeof form !== 'object' || form === null) return form
  if (depth > DEEPEST) return undefined
  const inner = (one: unknown) => valueOf(one, where, depth + 1)
  if (Array.isArray(form)) return form.map(inner)
  if ('$' in form) return untagged(form.$ as Tagged, where, inner)
  return Object.fromEntries(Object.entries(form).map(([key, one]) => [key, inner(one)]))
}

function untagged([tag, content]: Tagged, where: string, inner: (one: unknown) => unknown): unknown {
  switch (tag) {
    case 'number':
      return typeof content === 'string' ? Number(content) : undefined
    case 'bigint':
      return typeof content === 'string' ? BigInt(content) : undefined
    case 'date':
      return typeof content === 'string' ? new Date(Number(content)) : undefined
    case 'object':
      return Object.fromEntries((content as [string, unknown][]).map(([key, one]) => [key, inner(one)]))
    case 'error':
      return errorFrom(Object(content) as ForeignForm, where, inner)
    default:
      return undefined
  }
}

/** An {@link ErrorForm} that has arrived. Its fields may have any type until they are checked. */
type ForeignForm = { readonly [K in keyof ErrorForm]?: unknown }

const classes = { EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError }

function errorFrom(form: ForeignForm, where: string, inner: (one: unknown) => unknown): Error {
  const { code, cause } = form
  const name = textIn(form.name) ?? 'Error'
  const message = textIn(form.message) ?? ''
  const Class = Object.hasOwn(classes, name) ? classes[name as keyof typeof classes] : Error
  const error = new Class(message, cause === undefined ? undefined : { cause: inner(cause) })
  const set = (key: string, value: unknown) =>
    Object.defineProperty(error, key, { value, writable: true, configurable: true })
  if (error.name !== name) set('name', name)
  // The place where the error was read says nothing about the place where it was made.
  set('stack', textIn(form.stack) ?? `${name}: ${message}\n    at ${where}`)
  if (typeof code === 'string' || typeof code === 'number') Object.assign(error, { code })
  return error
}

const textIn = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)
