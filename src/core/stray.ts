/**
 * Handles objects in places where they were not meant to be: methods without their object, and objects in assertions.
 */

/** The error for a method that was called without its object. */
export function stray(what: string, method: string): TypeError {
  const call = `${what}.${method}`
  return new TypeError(`a method of a ${what} was called without its ${what}: write () => ${call}() instead of ${call}`)
}

/**
 * Jest shows copies of the values that it has compared. It copies everything that an object leads to: a graph, and
 * signals, which cannot be copied. Under this name an object says which properties to copy.
 */
export const SHOWN: symbol = Symbol.for('@jest/serializableProperties')

const numbers = new WeakMap<object, number>()
let last = 0

/**
 * Returns the class of an object and its number, as the tag by which tools tell objects apart:
 * `Object.prototype.toString`. Assertions read the tag before they compare, or print, the fields of an object. From
 * then on the fields are hidden from them, all but `kept`: they are a graph with circles, which takes minutes to walk.
 * (With fields hidden from the start, an object takes 20 ns more to make.)
 */
export function tagOf(object: object, kept?: string): string {
  let number = numbers.get(object)
  if (number === undefined) {
    numbers.set(object, (number = ++last))
    for (const field of Object.keys(object)) {
      if (field !== kept) Reflect.defineProperty(object, field, { enumerable: false })
    }
  }
  return `${object.constructor.name}#${number}`
}
