/** Counts the streams, in all and of each client, and limits both. */
import { Problem, unavailable } from './problem.js'

/** After how many seconds a client should try again. */
const RETRY_AFTER = 10

export class Slots {
  #taken = 0
  readonly #byClient = new Map<string, number>()
  readonly #most: number
  readonly #mostOfClient: number

  constructor(most: number, mostOfClient: number) {
    this.#most = most
    this.#mostOfClient = mostOfClient
  }

  /**
   * Takes a slot for a client. Returns a function that gives it back; only its first call counts. Throws a `Problem` if no slot is
   * free.
   */
  take(client: string): () => void {
    const own = this.#byClient.get(client) ?? 0
    if (own >= this.#mostOfClient) throw new Problem('too-many', undefined, { 'retry-after': String(RETRY_AFTER) })
    if (this.#taken >= this.#most) throw unavailable('there are too many streams', RETRY_AFTER)
    this.#taken++
    this.#byClient.set(client, own + 1)
    let isTaken = true
    return () => {
      if (!isTaken) return
      isTaken = false
      this.#taken--
      const left = (this.#byClient.get(client) as number) - 1
      if (left > 0) this.#byClient.set(client, left)
      else this.#byClient.delete(client)
    }
  }
}
