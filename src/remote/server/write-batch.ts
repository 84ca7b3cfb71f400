/**
 * What a server has to say to one of its connections, gathered for a turn of the event loop and written in one go: a write is a
 * call of the system, and costs more than all that is done for a message.
 */
import { Buffer } from 'node:buffer'
// By name, for good: fake timers replace the one on `process`.
import { nextTick } from 'node:process'

/** So many bytes are not gathered any longer, so that the other side has something to do meanwhile. */
const ENOUGH = 65_536

export class Outbox {
  readonly #write: (bytes: Uint8Array) => void
  #gathered: Uint8Array[] = []
  #size = 0
  /** While something is read from the same connection: what is caused by that goes to the others first. */
  #isReading = false
  readonly #flush = () => this.flush()

  constructor(write: (bytes: Uint8Array) => void) {
    this.#write = write
  }

  send(bytes: Uint8Array): void {
    this.#gathered.push(bytes)
    this.#size += bytes.length
    if (this.#size >= ENOUGH) this.flush()
    else if (this.#gathered.length === 1 && !this.#isReading) nextTick(this.#flush)
  }

  /** Reads, which may send something to anybody. */
  reading(read: () => void): void {
    this.#isReading = true
    read()
    this.#isReading = false
    if (this.#gathered.length > 0) nextTick(this.#flush)
  }

  /** Writes what there is at once. */
  flush(): void {
    const [first] = this.#gathered
    if (!first) return
    const bytes = this.#gathered.length === 1 ? first : Buffer.concat(this.#gathered, this.#size)
    this.#gathered = []
    this.#size = 0
    this.#write(bytes)
  }
}
