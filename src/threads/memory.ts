import type { Memory } from './protocol.js'

/** A view of shared memory, written so that TypeScript before 5.7 reads it too, which has no generic `Int32Array`. */
export type SharedWords = Int32Array & { readonly buffer: SharedArrayBuffer }

/** Shared words as the platform has them. */
export class SharedMemory implements Memory {
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
  notify(word: number): void {
    Atomics.notify(this.view, word)
  }
  read(word: number): number {
    return this.view[word] as number
  }
  write(word: number, value: number): void {
    this.view[word] = value
  }
}
