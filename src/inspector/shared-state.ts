/**
 * The memory that the main thread and the thread of the inspector share: what is known even while the main thread is busy.
 *
 * The main thread writes, and the other thread reads. A text may change while it is read: then the reader reads again.
 */

/** Words. A moment has two of them, because it does not fit into one. */
const BEAT = 0
const DEPTH = 1
/** Goes up before and after each write of a slot: an odd number means that a write is under way. */
const VERSION = 2
/** The cancel that the main thread may carry out. 0 if there is none. */
const CLAIM = 3
/** The last cancel whose answer was written. */
const DELIVERED = 4
/** An even number, because moments follow. */
const WORDS = 6

/** Of the tasks that run inside each other, the outermost ones are recorded. */
const SLOTS = 8
const SLOT_BYTES = 1_024
const MOMENTS = 1 + SLOTS

export interface Running {
  readonly text: string
  readonly since: number
}

/** Words, then moments as 64-bit numbers, then for each slot the length of its text and the text. */
export class SharedState {
  readonly #words: Int32Array
  readonly #moments: BigInt64Array
  readonly #texts: Uint8Array
  readonly #encoder = new TextEncoder()
  readonly #decoder = new TextDecoder()
  // Not every engine encodes into shared memory.
  readonly #own = new Uint8Array(SLOT_BYTES - 2)

  constructor(readonly memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory, 0, WORDS)
    this.#moments = new BigInt64Array(memory, WORDS * 4, MOMENTS)
    this.#texts = new Uint8Array(memory, WORDS * 4 + MOMENTS * 8)
  }

  static make(): SharedState {
    return new SharedState(new SharedArrayBuffer(WORDS * 4 + MOMENTS * 8 + SLOTS * SLOT_BYTES))
  }

  /** The main thread runs its event loop at this moment. */
  beat(at: number): void {
    Atomics.store(this.#moments, BEAT, BigInt(Math.floor(at)))
  }

  get lastBeat(): number {
    return Number(Atomics.load(this.#moments, BEAT))
  }

  /** Code begins to run. `text` is called only if there is room for it. */
  enter(text: () => string, at: number): void {
    const depth = Atomics.load(this.#words, DEPTH)
    if (depth < SLOTS) {
      Atomics.add(this.#words, VERSION, 1)
      const { written } = this.#encoder.encodeInto(text(), this.#own)
      const start = depth * SLOT_BYTES
      this.#texts[start] = written & 255
      this.#texts[start + 1] = written >> 8
      this.#texts.set(this.#own.subarray(0, written), start + 2)
      Atomics.store(this.#moments, 1 + depth, BigInt(Math.floor(at)))
      Atomics.add(this.#words, VERSION, 1)
    }
    Atomics.store(this.#words, DEPTH, depth + 1)
  }

  /** The code that has begun last has returned, or awaits something. */
  leave(): void {
    Atomics.sub(this.#words, DEPTH, 1)
  }

  /** The innermost code that runs. Undefined if none does, or if it changes too often to be read. */
  get running(): Running | undefined {
    for (let tries = 0; tries < 100; tries++) {
      const version = Atomics.load(this.#words, VERSION)
      const depth = Math.min(Atomics.load(this.#words, DEPTH), SLOTS)
      if (depth <= 0) return undefined
      const start = (depth - 1) * SLOT_BYTES
      const length = (this.#texts[start] as number) + ((this.#texts[start + 1] as number) << 8)
      const bytes = this.#texts.slice(start + 2, start + 2 + Math.min(length, SLOT_BYTES - 2))
      const since = Number(Atomics.load(this.#moments, depth))
      if (version % 2 !== 0 || Atomics.load(this.#words, VERSION) !== version) continue
      return { text: this.#decoder.decode(new Uint8Array(bytes)), since }
    }
    return undefined
  }

  /** The thread of the inspector lets the main thread carry out a cancel. */
  offer(id: number): void {
    Atomics.store(this.#words, CLAIM, id)
  }

  /** The main thread takes the cancel, or the other thread withdraws it. Returns true for the first of the two. */
  claim(id: number): boolean {
    return Atomics.compareExchange(this.#words, CLAIM, id, 0) === id
  }

  /** The thread of the inspector has written the answer to a cancel, or the asker has left. */
  deliver(id: number): void {
    Atomics.store(this.#words, DELIVERED, id)
    Atomics.notify(this.#words, DELIVERED)
  }

  /** Blocks the main thread until the answer is delivered, for `ms` at most. */
  waitForDelivery(id: number, ms: number): void {
    const before = Atomics.load(this.#words, DELIVERED)
    if (before < id) Atomics.wait(this.#words, DELIVERED, before, ms)
  }
}
