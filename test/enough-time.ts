/** For tests in which something has to happen before a time is up: on a busy machine it needs more of it. */

/** Calls `attempt` with more and more milliseconds, until it says, by a result, that they were enough. */
export async function withTime<T>(first: number, attempt: (ms: number) => Promise<T | undefined>): Promise<T> {
  for (let ms = first; ms <= 64 * first; ms *= 4) {
    const result = await attempt(ms)
    if (result !== undefined) return result
  }
  throw new Error(`${64 * first} ms were not enough`)
}
