/**
 * Shares the time of a server among its connections.
 *
 * A connection works on what it was sent for a slice at most. If anything is left it waits, and goes on when all others that wait have
 * had a slice, and the event loop has taken in what has come meanwhile. One that comes with something new goes before those that have
 * used up a slice: so what a client asks now and then is answered soon, however much others ask.
 */
import { now, turn } from '../../core/clock.js'

/** Milliseconds that one connection works at a time; and that all that wait work before the event loop has its turn. */
const SLICE = 1
const ROUND = 4

export interface Worker {
  /** Works until that moment, by `now()`. Returns whether anything is left that could be done at once. */
  work(until: number): boolean
}

export class Turns {
  /** Those that wait for their first slice, and those that have used one up. */
  readonly #fresh = new Set<Worker>()
  readonly #busy = new Set<Worker>()
  #isScheduled = false

  /** There is something to do for a connection: at once, if no other waits. */
  run(worker: Worker): void {
    if (this.#busy.has(worker)) return
    if (this.#isScheduled) this.#fresh.add(worker)
    else this.#slice(worker)
  }

  /** The connection is gone. */
  remove(worker: Worker): void {
    this.#fresh.delete(worker)
    this.#busy.delete(worker)
  }

  #slice(worker: Worker): void {
    if (worker.work(now() + SLICE)) this.#busy.add(worker)
    if (this.#isScheduled || this.#fresh.size + this.#busy.size === 0) return
    this.#isScheduled = true
    turn(() => this.#round())
  }

  #round(): void {
    const end = now() + ROUND
    this.#isScheduled = false
    const waiting = [...this.#fresh, ...this.#busy]
    for (const worker of waiting) {
      if (now() >= end) break
      if (!this.#fresh.delete(worker) && !this.#busy.delete(worker)) continue // it is gone
      this.#slice(worker)
    }
    if (this.#isScheduled || this.#fresh.size + this.#busy.size === 0) return
    this.#isScheduled = true
    turn(() => this.#round())
  }
}
