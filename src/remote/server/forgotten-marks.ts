/**
 * The marks that were forgotten, by their ids: one that is offered again, since its canceller never heard that it was stored,
 * must not come back (E2). Each is remembered as long as it would have lived. Of more than so many the oldest are let go.
 */
import { now } from '../../core/clock.js'

export class Forgotten implements Iterable<readonly [id: string, until: number]> {
  readonly #most: number
  /** Until when, by `now()`; the oldest first. */
  readonly #until = new Map<string, number>()
  #sweep: IterableIterator<[string, number]> | undefined

  constructor(most: number) {
    this.#most = most
  }

  get size(): number {
    return this.#until.size
  }

  /** A mark without an id, of somebody who does not know of them, cannot be told from another. */
  add(id: string, until: number): void {
    if (id === '') return
    this.#until.set(id, until)
    if (this.#until.size <= this.#most) return
    const [oldest] = this.#until.keys()
    this.#until.delete(oldest as string)
  }

  has(id: string): boolean {
    return (this.#until.get(id) ?? 0) > now()
  }

  /** Lets some go whose time is over. */
  sweep(count: number): void {
    for (let i = 0; i < count; i++) {
      this.#sweep ??= this.#until.entries()
      const { value, done } = this.#sweep.next()
      if (done === true) {
        this.#sweep = undefined
        break
      }
      if (value[1] <= now()) this.#until.delete(value[0])
    }
  }

  [Symbol.iterator](): Iterator<readonly [id: string, until: number]> {
    return this.#until.entries()
  }
}
