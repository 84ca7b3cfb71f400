/**
 * The frames for one connection of a server, collected for a turn of the event loop and written together. A write is a system call and
 * costs more than the rest of the handling of a message.
 */
import { Buffer } from 'node:buffer'
// Imported by name, because fake timers replace the one on `process`.
import { nextTick } from 'node:process'

/** This many bytes are written at once, so that the client can begin to read. */
const ENOUGH = 65_536

export class WriteBatch {
  readonly #write: (bytes: Uint8Array) => void
  #frames: Uint8Array[] = []
  #size = 0
  /** True while bytes of the same connection are read: frames for other connections go first. */
  #isReading = false
  readonly #flush = () => this.flush()

  constructor(write: (bytes: Uint8Array) => void) {
    this.#write = write
  }

  send(bytes: Uint8Array): void {
    this.#frames.push(bytes)
    this.#size += bytes.length
    if (this.#size >= ENOUGH) this.flush()
    else if (this.#frames.length === 1 && !this.#isReading) nextTick(this.#flush)
  }

  /** Calls `read`, which may send frames to any connection. */
  reading(read: () => void): void {
    this.#isReading = true
    read()
    this.#isReading = false
    if (this.#frames.length > 0) nextTick(this.#flush)
  }

  /** Writes the collected frames at once. */
  flush(): void {
    const [first] = this.#frames
    if (!first) return
    const bytes = this.#frames.length === 1 ? first : Buffer.concat(this.#frames, this.#size)
    this.#frames = []
    this.#size = 0
    this.#write(bytes)
  }
}
