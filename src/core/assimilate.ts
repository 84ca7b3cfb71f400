/**
 * Calls back once, later, with the outcome of a result of foreign code: of a value, a promise, or a thenable. A
 * thenable is not trusted. `await` reads `then` once, calls it in a microtask of its own, and heeds only its first
 * answer. If the answer is a promise, its outcome counts. A `then` that a program has put on a native promise is not
 * called.
 */
export async function assimilate<T>(
  given: T | PromiseLike<T>,
  fulfilled: (value: T) => void,
  rejected: (error: unknown) => void,
): Promise<void> {
  let value: T
  try {
    value = await given
  } catch (error) {
    return rejected(error)
  }
  fulfilled(value)
}
