/**
 * The reason of a cancellation as text that another thread or process can read back: what JSON takes, and besides errors, dates, big
 * integers, `undefined`, and the numbers that JSON has no word for. Objects arrive as plain ones, as with `structuredClone`.
 *
 * An object `{ "$": [tag, …] }` stands for what JSON cannot say.
 */

/** How deep a reason may be; beyond, or where it is a circle, its text goes instead. */
const DEEPEST = 8

type Tagged = readonly [tag: string, ...content: unknown[]]

const tagged = (...content: Tagged): object => ({ $: content })

/** A form of the value that `JSON.stringify` takes as it is. Throws for what is too deep, and whatever a getter throws. */
function formOf(value: unknown, stacks: boolean, depth: number): unknown {
  switch (typeof value) {
    case 'number':
      return formOfNumber(value)
    case 'bigint':
      return tagged('bigint', String(value))
    case 'undefined':
      return tagged('undefined')
    case 'symbol':
    case 'function':
      return String(value)
    case 'object':
      if (depth >= DEEPEST) throw new RangeError('too deep')
      return value && formOfObject(value, stacks, (one) => formOf(one, stacks, depth + 1))
    default:
      return value
  }
}

function formOfNumber(value: number): unknown {
  if (Object.is(value, -0)) return tagged('number', '-0')
  return Number.isFinite(value) ? value : tagged('number', String(value))
}

function formOfObject(value: object, stacks: boolean, inner: (one: unknown) => unknown): unknown {
  if (Array.isArray(value)) return value.map(inner)
  if (isError(value)) return tagged('error', errorForm(value, stacks, inner))
  if (value instanceof Date) return tagged('date', String(value.getTime()))
  if (Object.prototype.toString.call(value) !== '[object Object]') return textOf(value)
  const entries = Object.entries(value).map(([key, one]) => [key, inner(one)])
  return '$' in value ? tagged('object', entries) : Object.fromEntries(entries)
}

/** An error of whatever realm; `DOMException`s are some, too. */
function isError(value: object): value is Error {
  return value instanceof Error || /^\[object (Error|DOMException)\]$/.test(Object.prototype.toString.call(value))
}

function errorForm(error: Error, stacks: boolean, inner: (one: unknown) => unknown): Record<string, unknown> {
  const { name, message, stack, cause } = error
  const { code } = error as { code?: unknown }
  const form: Record<string, unknown> = { name: textOf(name), message: textOf(message) }
  if (typeof code === 'string' || typeof code === 'number') form['code'] = code
  if (stacks && typeof stack === 'string') form['stack'] = stack
  if (cause !== undefined) form['cause'] = inner(cause)
  return form
}

/** The text that crosses, at most so long by `sizeOf`: in full, without stack traces, shortened; undefined if nothing fits. */
export function encodeReason(reason: unknown, limit: number, sizeOf: (text: string) => number): string | undefined {
  const fits = (form: unknown): string | undefined => {
    const text = JSON.stringify(form)
    return sizeOf(text) <= limit ? text : undefined
  }
  let form: unknown
  try {
    const whole = fits(formOf(reason, true, 0))
    if (whole) return whole
    form = formOf(reason, false, 0)
  } catch {
    // A circle, too deep, a getter or a proxy that throws.
    return shorten(textOf(reason), (text) => fits(text))
  }
  const { $: [tag, error] = [] as unknown[] } = Object(form) as { $?: unknown[] }
  if (tag !== 'error') return shorten(typeof reason === 'string' ? reason : JSON.stringify(form), fits)
  const { message, ...others } = error as { message: string }
  return (
    fits(form) ??
    shorten(message, (text) => fits(tagged('error', { ...others, message: text }))) ??
    shorten(message, (text) => fits(tagged('error', { message: text })))
  )
}

function textOf(value: unknown): string {
  try {
    // oxlint-disable-next-line typescript/no-base-to-string -- better than nothing
    return String(value)
  } catch {
    return 'a reason that has no text'
  }
}

/** As much of the text as fits, with an ellipsis. */
function shorten(text: string, fits: (text: string) => string | undefined): string | undefined {
  const whole = fits(text)
  if (whole) return whole
  let best: string | undefined
  for (let low = 0, high = text.length; low < high;) {
    const length = (low + high + 1) >> 1
    const part = fits(`${text.slice(0, length).replace(/[\uD800-\uDBFF]$/, '')}…`)
    if (part) {
      best = part
      low = length
    } else high = length - 1
  }
  return best
}

/** What has crossed, from `where`. Text that is no reason of ours is undefined: nobody's memory, or wire, is trusted. */
export function decodeReason(text: string, where: string): unknown {
  try {
    return valueOf(JSON.parse(text), where)
  } catch {
    return undefined
  }
}

function valueOf(form: unknown, where: string): unknown {
  if (typeof form !== 'object' || form === null) return form
  if (Array.isArray(form)) return form.map((one) => valueOf(one, where))
  if ('$' in form) return untagged(form.$ as Tagged, where)
  return Object.fromEntries(Object.entries(form).map(([key, one]) => [key, valueOf(one, where)]))
}

function untagged([tag, content]: Tagged, where: string): unknown {
  switch (tag) {
    case 'number':
      return Number(content)
    case 'bigint':
      return BigInt(content as string)
    case 'date':
      return new Date(Number(content))
    case 'object':
      return Object.fromEntries((content as [string, unknown][]).map(([key, one]) => [key, valueOf(one, where)]))
    case 'error':
      return errorFrom(content as Record<string, unknown>, where)
    default:
      return undefined
  }
}

const classes = { EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError }

function errorFrom(form: Record<string, unknown>, where: string): Error {
  const { name = 'Error', message, code, stack, cause } = form
  const text = String(message)
  const Class = Object.hasOwn(classes, name as string) ? classes[name as keyof typeof classes] : Error
  const error = new Class(text, cause === undefined ? undefined : { cause: valueOf(cause, where) })
  const set = (key: string, value: unknown) =>
    Object.defineProperty(error, key, { value, writable: true, configurable: true })
  if (error.name !== name) set('name', name)
  // Where it was read says nothing about where it was made.
  set('stack', stack ?? `${String(name)}: ${text}\n    at ${where}`)
  if (code !== undefined) Object.assign(error, { code })
  return error
}
