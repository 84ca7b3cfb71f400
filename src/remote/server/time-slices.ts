/**
 * Shares the time of a server among its connections.
 *
 * A connection handles its requests for one slice at most. If requests are left, it waits. It goes on when all other waiting
 * connections have had a slice and the event loop has read new bytes. A connection with new requests goes before connections that have
 * used up a slice. So an occasional request is answered soon, however many requests other clients send.
 */
import { now, turn } from '../../core/clock.js'

/** The slice of one connection, and the time of all waiting connections before the event loop gets its turn, in milliseconds. */
const SLICE = 1
const ROUND = 4

export interface Worker {
  /** Handles requests until a moment, by `now()`. Returns whether it could go on at once. */
  work(until: number): boolean
}

export class TimeSlices {
  /** The connections that wait for their first slice, and those that have used one up. */
  readonly #fresh = new Set<Worker>()
  readonly #busy = new Set<Worker>()
  #isScheduled = false

  /** A connection has requests. They are handled at once if no other connection waits. */
  run(worker: Worker): void {
    if (this.#busy.has(worker)) return
    if (this.#isScheduled) this.#fresh.add(worker)
    else this.#slice(worker)
  }

  /** The connection is lost. */
  remove(worker: Worker): void {
    this.#fresh.delete(worker)
    this.#busy.delete(worker)
  }

  #slice(worker: Worker): void {
    if (worker.work(now() + SLICE)) this.#busy.add(worker)
    this.#schedule()
  }

  #schedule(): void {
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
      if (!this.#fresh.delete(worker) && !this.#busy.delete(worker)) continue // the connection is lost
      this.#slice(worker)
    }
    this.#schedule()
  }
}
