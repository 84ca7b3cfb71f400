/**
 * Finds the holders of topics by their keys.
 *
 * A server finds them by scanning all its keys (before 2.10, 0.1 ms for each 1,000), one request after the other. So thousands of
 * concurrent requests would keep it busy for minutes. Beyond a limit, one scan of all keys answers all waiting requests.
 */
import { Deferred } from '../contract/deferred.js'
import type { Bucket } from './bucket.js'
import { parseKey } from './keys.js'

/** The number of concurrent requests for single topics. */
const AT_ONCE = 4
/** The cost of one scan of all keys, in requests: between 20 and 60. */
const MANY = 64

type Keys = readonly string[]

export class HolderLookup {
  #asking = 0
  #waiting = new Map<string, Deferred<Keys>>()

  constructor(private readonly bucket: Bucket) {}

  /** Returns the keys of all holders of a topic. They are read after the call. */
  of(path: string): Promise<Keys> {
    let later = this.#waiting.get(path)
    if (!later) {
      this.#waiting.set(path, (later = new Deferred()))
      this.#next()
    }
    return later.promise
  }

  #next(): void {
    if (this.#waiting.size === 0 || this.#asking === AT_ONCE) return
    this.#asking++
    const asked = this.#waiting.size < MANY ? this.#askFirst() : this.#askAll()
    void asked.finally(() => {
      this.#asking--
      this.#next()
    })
  }

  async #askFirst(): Promise<void> {
    for (const [path, later] of this.#waiting) {
      this.#waiting.delete(path)
      await this.bucket.keys(`holder.${path}.*.*`).then(later.resolve, later.reject)
      return
    }
  }

  async #askAll(): Promise<void> {
    const asked = this.#waiting
    // A later request must see later changes, so this scan does not answer it.
    this.#waiting = new Map()
    try {
      const found = new Map<string, string[]>()
      for (const key of await this.bucket.keys('holder.*.*.*.*')) {
        const parsed = parseKey(key)
        if (parsed?.kind !== 'holder' || !asked.has(parsed.path)) continue
        const keys = found.get(parsed.path)
        if (keys) keys.push(key)
        else found.set(parsed.path, [key])
      }
      for (const [path, later] of asked) later.resolve(found.get(path) ?? [])
    } catch (error) {
      for (const later of asked.values()) later.reject(error as Error)
    }
  }
}
