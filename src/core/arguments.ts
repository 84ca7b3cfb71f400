/**
 * Checks of arguments. For a bad argument a check throws a `TypeError` or a `RangeError`, whose message names the
 * argument and the value. Only `undefined` counts as an absent argument.
 */

import { nearest } from './nearest.js'

/** Returns the text of a value for a message. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value)
  try {
    return typeof value === 'object' && value !== null ? Object.prototype.toString.call(value) : String(value)
  } catch {
    return `a ${typeof value} that has no text` // a revoked proxy
  }
}

/** A `TypeError` that says what was expected and what was given. */
export function wrongType(argument: string, wanted: string, value: unknown): TypeError {
  return new TypeError(`${argument} must be ${wanted}, got ${shown(value)}`)
}

/** Whether a value is an array. A revoked proxy, for which `Array.isArray` throws, is no array. */
export function isArray(value: unknown): boolean {
  try {
    return Array.isArray(value)
  } catch {
    return false
  }
}

/** Returns the value, which must be a number of at least 0. `Infinity` is allowed. */
export function nonNegative(argument: string, value: unknown): number {
  if (typeof value !== 'number') throw wrongType(argument, 'a number', value)
  if (!(value >= 0)) throw new RangeError(`${argument} must not be negative or NaN, got ${value}`)
  return value
}

/** The same, for a value that may be absent. */
export function optionalNonNegative(argument: string, value: unknown): number | undefined {
  return value === undefined ? undefined : nonNegative(argument, value)
}

/** Returns the value, which must be a whole number of at least 1, or absent. `Infinity` is allowed. */
export function optionalCount(argument: string, value: unknown): number | undefined {
  const count = optionalNonNegative(argument, value)
  if (count !== undefined && (count < 1 || count % 1)) {
    throw new RangeError(`${argument} must be a whole number of at least 1, got ${count}`)
  }
  return count
}

/** Returns the value, which must be of one of these primitive types, or absent. */
export function optional<T>(argument: string, type: 'string' | 'boolean' | 'function', value: T): T {
  if (value !== undefined && typeof value !== type) throw wrongType(argument, `a ${type}`, value)
  return value
}

/** Returns the value, which must be the path or the URL of a thread's program, or absent. */
export function optionalProgram(argument: string, value: unknown): string | URL | undefined {
  if (value === undefined || typeof value === 'string' || value instanceof URL) return value
  throw wrongType(argument, 'a path or a URL', value)
}

/** The names of the options that a function takes. */
export type NamesOf<T> = readonly (keyof T & string)[]

/**
 * Returns the options, which must be a plain object whose names are all among `names`. If they are absent, returns an
 * empty object. Symbols are not checked. An option with the value undefined is absent. `instead` has, for names that
 * callers know from similar functions (such as Node's `signal`), the advice that the error gives.
 */
export function optionsOf<T extends object>(
  options: T | undefined,
  names: NamesOf<T>,
  instead?: Readonly<Record<string, string>>,
): Partial<T> {
  if (options === undefined) return {}
  // A plain object, of any realm. An array of tokens, or a promise, is a mistake of the caller.
  let prototype: unknown
  try {
    if (typeof options === 'object' && options !== null) prototype = Object.getPrototypeOf(options)
  } catch {
    // A revoked proxy has no prototype.
  }
  if (prototype === undefined || (prototype !== null && Object.getPrototypeOf(prototype) !== null)) {
    throw wrongType('options', 'a plain object', options)
  }
  for (const name in options) {
    const isAbsent = options[name] === undefined || name in Object.prototype
    if (!isAbsent && !(names as readonly string[]).includes(name)) throw unknownOption(name, names, instead?.[name])
  }
  return options
}

function unknownOption(name: string, names: readonly string[], instead: string | undefined): TypeError {
  const meant = nearest(name, names)
  const others = meant === undefined ? `only ${names.map(shown).join(', ')}` : `did you mean ${shown(meant)}?`
  return new TypeError(`there is no option ${shown(name)}, ${instead ?? others}`)
}
