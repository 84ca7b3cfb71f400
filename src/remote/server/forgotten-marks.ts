/**
 * The ids of forgotten marks. A canceller that did not learn that its mark was stored offers it again, and a forgotten mark must not come
 * back (E2). Each id is remembered for as long as its mark would have lived. Beyond a limit the oldest ids are dropped.
 */
import { now } from '../../core/clock.js'

export class ForgottenMarks implements Iterable<readonly [id: string, until: number]> {
  /** When each id expires, by `now()`. The oldest comes first. */
  readonly #until = new Map<string, number>()
  #sweep: IterableIterator<[string, number]> | undefined

  constructor(private readonly most: number) {}

  get size(): number {
    return this.#until.size
  }

  /** Marks without an id, of clients that do not use ids, cannot be told apart. */
  add(id: string, until: number): void {
    if (id === '') return
    this.#until.set(id, until)
    if (this.#until.size <= this.most) return
    const [oldest] = this.#until.keys()
    this.#until.delete(oldest as string)
  }

  has(id: string): boolean {
    return (this.#until.get(id) ?? 0) > now()
  }

  /** Drops some expired ids. */
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
