/**
 * A stand-in for `node:assert/strict` in a browser: as much of it as the universal tests use. What it cannot compare as
 * Node does it refuses, rather than call it equal. Its verdicts are held against Node's in assert.test.ts.
 */
class AssertionError extends Error {
  override readonly name = 'AssertionError'
}

function unless(holds: boolean, what: () => string, message: string | Error | undefined): void {
  if (holds) return
  if (message instanceof Error) throw message
  throw new AssertionError(message === undefined ? what() : `${message} (${what()})`)
}

function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(show).join(', ')}]`
  if (isPlain(value))
    return `{ ${Object.entries(value)
      .map(([key, one]) => `${key}: ${show(one)}`)
      .join(', ')} }`
  return Object.is(value, -0) ? '-0' : String(value)
}

const kindOf = (value: unknown): string => Object.prototype.toString.call(value)

function isPlain(value: unknown): value is Record<PropertyKey, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

const keysOf = (value: object) =>
  Reflect.ownKeys(value).filter((key) => Object.prototype.propertyIsEnumerable.call(value, key))

function isSame(one: unknown, other: unknown): boolean {
  if (Object.is(one, other)) return true
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return false
  if (one instanceof Date && other instanceof Date) return Object.is(one.getTime(), other.getTime())
  for (const value of [one, other]) {
    if (Array.isArray(value) ? Object.getPrototypeOf(value) !== Array.prototype : !isPlain(value))
      throw new TypeError(`only arrays, dates and plain objects are compared here, not ${kindOf(value)}`)
  }
  if (Object.getPrototypeOf(one) !== Object.getPrototypeOf(other)) return false
  if (Array.isArray(one) && one.length !== (other as unknown[]).length) return false
  const keys = keysOf(one)
  return (
    keys.length === keysOf(other).length &&
    keys.every(
      (key) =>
        Object.prototype.propertyIsEnumerable.call(other, key) &&
        isSame(Reflect.get(one, key), Reflect.get(other, key)),
    )
  )
}

/** Whether what was thrown is what was expected: of a class, matching an expression, or with such properties. */
function isExpected(error: unknown, expected: unknown): boolean {
  if (expected === undefined) return true
  if (expected instanceof RegExp) return expected.test(String(error))
  if (typeof expected === 'function' && expected.prototype !== undefined)
    return error instanceof (expected as typeof Error)
  if (!isPlain(expected)) throw new TypeError(`this cannot be expected here: ${kindOf(expected)}`)
  return keysOf(expected).every((key) => {
    const value: unknown = Reflect.get(Object(error) as object, key)
    const wanted = expected[key]
    return wanted instanceof RegExp && typeof value === 'string' ? wanted.test(value) : isSame(value, wanted)
  })
}

type Message = string | Error

const assert = {
  fail(message: Message = 'Failed'): never {
    throw message instanceof Error ? message : new AssertionError(message)
  },
  ok(value: unknown, message?: Message): void {
    unless(Boolean(value), () => `${show(value)} should be true`, message)
  },
  equal(actual: unknown, expected: unknown, message?: Message): void {
    unless(Object.is(actual, expected), () => `${show(actual)} should be ${show(expected)}`, message)
  },
  notEqual(actual: unknown, expected: unknown, message?: Message): void {
    unless(!Object.is(actual, expected), () => `it should not be ${show(expected)}`, message)
  },
  deepEqual(actual: unknown, expected: unknown, message?: Message): void {
    unless(isSame(actual, expected), () => `${show(actual)} should be like ${show(expected)}`, message)
  },
  match(actual: string, expected: RegExp, message?: Message): void {
    unless(
      typeof actual === 'string' && expected.test(actual),
      () => `${show(actual)} should match ${expected}`,
      message,
    )
  },
  doesNotMatch(actual: string, expected: RegExp, message?: Message): void {
    unless(
      typeof actual === 'string' && !expected.test(actual),
      () => `${show(actual)} should not match ${expected}`,
      message,
    )
  },
  throws(run: () => unknown, expected?: unknown, message?: Message): void {
    try {
      run()
    } catch (error) {
      unless(isExpected(error, expected), () => `${String(error)} should be another error`, message)
      return
    }
    unless(false, () => 'it should have thrown', message)
  },
}

export default assert
