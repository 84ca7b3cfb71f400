/** Bad input gets a typed error that names the argument and the value. Only `undefined` means absent. */

import { nearest } from './nearest.js'

/** A value in a message. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value)
  try {
    return typeof value === 'object' && value !== null ? Object.prototype.toString.call(value) : String(value)
  } catch {
    return `a ${typeof value} that has no text` // a revoked proxy
  }
}

/** A `TypeError` that says what was wanted and what came. */
export function wrongType(argument: string, wanted: string, value: unknown): TypeError {
  return new TypeError(`${argument} must be ${wanted}, got ${shown(value)}`)
}

/** Whether it is an array. A revoked proxy, for which `Array.isArray` throws, is none. */
export function isArray(value: unknown): boolean {
  try {
    return Array.isArray(value)
  } catch {
    return false
  }
}

/** A number of at least 0, `Infinity` included. */
export function nonNegative(argument: string, value: unknown): number {
  if (typeof value !== 'number') throw wrongType(argument, 'a number', value)
  if (!(value >= 0)) throw new RangeError(`${argument} must not be negative or NaN, got ${value}`)
  return value
}

/** The same, or absent. */
export function optionalNonNegative(argument: string, value: unknown): number | undefined {
  return value === undefined ? undefined : nonNegative(argument, value)
}

/** A whole number of at least 1, `Infinity` included; or absent. */
export function optionalCount(argument: string, value: unknown): number | undefined {
  const count = optionalNonNegative(argument, value)
  if (count !== undefined && (count < 1 || count % 1)) {
    throw new RangeError(`${argument} must be a whole number of at least 1, got ${count}`)
  }
  return count
}

/** A value of one of the primitive types, or absent. */
export function optional<T>(argument: string, type: 'string' | 'boolean' | 'function', value: T): T {
  if (value !== undefined && typeof value !== type) throw wrongType(argument, `a ${type}`, value)
  return value
}

/** Where the program of a thread is, or absent. */
export function optionalProgram(argument: string, value: unknown): string | URL | undefined {
  if (value === undefined || typeof value === 'string' || value instanceof URL) return value
  throw wrongType(argument, 'a path or a URL', value)
}

/** The options that a function takes. */
export type NamesOf<T> = readonly (keyof T & string)[]

/**
 * An object of options, with no other names than these; or absent. A symbol is no name, and a value of undefined is absent.
 * `instead` says what to do about names that callers know from elsewhere.
 */
export function optionsOf<T extends object>(
  options: T | undefined,
  names: NamesOf<T>,
  instead?: Readonly<Record<string, string>>,
): Partial<T> {
  if (options === undefined) return {}
  // A plain object, of whatever realm: an array of tokens, or a promise, is somebody's mistake.
  let prototype: unknown
  try {
    if (typeof options === 'object' && options !== null) prototype = Object.getPrototypeOf(options)
  } catch {
    // A revoked proxy has none.
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
