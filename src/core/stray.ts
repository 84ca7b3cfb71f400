/** What is told of objects that stand where they were not meant to: methods without their object, objects in assertions. */

/** A method was called on something else than what it is a method of. */
export function stray(what: string, method: string): TypeError {
  const call = `${what}.${method}`
  return new TypeError(`a method of a ${what} was called without its ${what}: write () => ${call}() instead of ${call}`)
}

/**
 * Jest shows copies of what it has compared, made of all that an object leads to: a graph, and signals, which cannot be copied.
 * Under this name an object says which properties to copy.
 */
export const SHOWN: symbol = Symbol.for('@jest/serializableProperties')

const numbers = new WeakMap<object, number>()
let last = 0

/**
 * The class of an object and its number, as the tag by which tools tell objects apart: `Object.prototype.toString`. Assertions ask
 * for it before they compare, or print, what is in an object. From then on its fields are hidden from them, all but `kept`: they
 * are a graph with circles, which takes minutes to walk. (Hidden from the start, an object takes 20 ns more to make.)
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
