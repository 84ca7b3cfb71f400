import type { Memory } from './protocol.js'

/** A view of shared memory. This type also compiles with TypeScript before 5.7, which has no generic `Int32Array`. */
export type SharedWords = Int32Array & { readonly buffer: SharedArrayBuffer }

/** Whether a value is shared memory, of any realm. */
export function isShared(value: unknown): value is SharedArrayBuffer {
  return Object.prototype.toString.call(value) === '[object SharedArrayBuffer]'
}

/** The shared words of the platform. */
export class SharedMemory implements Memory {
  /** The same memory in words of 64 bits, made at the first use. */
  #long: BigInt64Array | undefined

  constructor(readonly view: SharedWords) {}

  load(word: number): number {
    return Atomics.load(this.view, word)
  }
  store(word: number, value: number): void {
    Atomics.store(this.view, word, value)
  }
  add(word: number, value: number): number {
    return Atomics.add(this.view, word, value)
  }
  compareExchange(word: number, expected: number, value: number): number {
    return Atomics.compareExchange(this.view, word, expected, value)
  }
  loadLong(word: number): number {
    return Number(Atomics.load(this.#longs(), word / 2))
  }
  storeLong(word: number, value: number): void {
    Atomics.store(this.#longs(), word / 2, BigInt(value))
  }
  compareExchangeLong(word: number, expected: number, value: number): number {
    return Number(Atomics.compareExchange(this.#longs(), word / 2, BigInt(expected), BigInt(value)))
  }
  notify(word: number): void {
    Atomics.notify(this.view, word)
  }
  read(word: number): number {
    return this.view[word] as number
  }
  write(word: number, value: number): void {
    this.view[word] = value
  }

  #longs(): BigInt64Array {
    return (this.#long ??= new BigInt64Array(this.view.buffer))
  }
}
