/**
 * Calls back once, later, with what foreign code has given comes to: a value, a promise, or a thenable, which is not trusted.
 * `await` reads `then` once, calls it in a job of its own, hears its first answer alone, and takes a promise among the answers
 * for what it stands for. What was put on a native promise as its `then` is not called.
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
