/**
 * How values stand in a frame, in both directions at once. Numbers are big-endian. What does not fit, or is not well-formed,
 * is a {@link HubError}: nothing on a wire is trusted.
 */
import { HubError } from './errors.js'

/** One kind of value. */
export interface Codec<T> {
  write(to: Writer, value: T): void
  read(from: Reader): T
}

export type ValueOf<C> = C extends Codec<infer T> ? T : never

export function malformed(what: string): HubError {
  return new HubError('ERR_HUB_PROTOCOL', `malformed frame: ${what}`)
}

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true })

/** Bytes that are being written. */
export class Writer {
  #bytes = new Uint8Array(256)
  #view = new DataView(this.#bytes.buffer)
  #length = 0

  /** Makes room for so many bytes; gives where they begin. */
  #take(count: number): number {
    const at = this.#length
    this.#length += count
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2))
      larger.set(this.#bytes.subarray(0, at))
      this.#bytes = larger
      this.#view = new DataView(larger.buffer)
    }
    return at
  }

  get length(): number {
    return this.#length
  }

  u8(value: number): void {
    const at = this.#take(1)
    this.#bytes[at] = value
  }

  u16(value: number): void {
    const at = this.#take(2)
    this.#view.setUint16(at, value)
  }

  u32(value: number): void {
    const at = this.#take(4)
    this.#view.setUint32(at, value)
  }

  f64(value: number): void {
    const at = this.#take(8)
    this.#view.setFloat64(at, value)
  }

  bytes(value: Uint8Array): void {
    const at = this.#take(value.length)
    this.#bytes.set(value, at)
  }

  /** Overwrites a number of 32 bits that was written before. */
  patch(at: number, value: number): void {
    this.#view.setUint32(at, value)
  }

  /** What was written, in memory of its own. */
  done(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }
}

/** Bytes that are being read, once, from front to back. */
export class Reader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get left(): number {
    return this.#bytes.length - this.#at
  }

  #take(count: number): number {
    if (count > this.left) throw malformed('it ends too early')
    const at = this.#at
    this.#at += count
    return at
  }

  u8(): number {
    return this.#bytes[this.#take(1)] as number
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2))
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4))
  }

  f64(): number {
    return this.#view.getFloat64(this.#take(8))
  }

  bytes(count: number): Uint8Array {
    const at = this.#take(count)
    return this.#bytes.subarray(at, at + count)
  }
}

export const u8: Codec<number> = {
  write: (to, value) => to.u8(value),
  read: (from) => from.u8(),
}

export const u32: Codec<number> = {
  write: (to, value) => to.u32(value),
  read: (from) => from.u32(),
}

export const flag: Codec<boolean> = {
  write: (to, value) => to.u8(value ? 1 : 0),
  read(from) {
    const value = from.u8()
    if (value > 1) throw malformed(`a flag is ${value}`)
    return value === 1
  },
}

/** A number that is finite and not negative: milliseconds, and whole numbers up to 2⁵³. */
export const amount: Codec<number> = {
  write: (to, value) => to.f64(value),
  read(from) {
    const value = from.f64()
    if (!(value >= 0 && value < Infinity)) throw malformed(`an amount is ${value}`)
    return value
  },
}

/** Text of at most `most` bytes of UTF-8. */
export function text(most: number): Codec<string> {
  return {
    write(to, value) {
      const bytes = encoder.encode(value)
      if (bytes.length > most) throw malformed(`text of ${bytes.length} bytes, ${most} are the most`)
      to.u16(bytes.length)
      to.bytes(bytes)
    },
    read(from) {
      const length = from.u16()
      if (length > most) throw malformed(`text of ${length} bytes, ${most} are the most`)
      const bytes = from.bytes(length)
      try {
        return decoder.decode(bytes)
      } catch {
        throw malformed('text that is not UTF-8')
      }
    },
  }
}

/** Exactly so many bytes. */
export function bytes(count: number): Codec<Uint8Array> {
  return {
    write(to, value) {
      if (value.length !== count) throw malformed(`${value.length} bytes instead of ${count}`)
      to.bytes(value)
    },
    // A copy: what it is read from will be used again.
    read: (from) => from.bytes(count).slice(),
  }
}

export function list<T>(of: Codec<T>): Codec<readonly T[]> {
  return {
    write(to, values) {
      to.u16(values.length)
      for (const value of values) of.write(to, value)
    },
    read(from) {
      const count = from.u16()
      // Nothing takes less than a byte, so a count alone takes no memory.
      if (count > from.left) throw malformed('a list ends too early')
      const values: T[] = []
      for (let i = 0; i < count; i++) values.push(of.read(from))
      return values
    },
  }
}

export function optional<T>(of: Codec<T>): Codec<T | undefined> {
  return {
    write(to, value) {
      flag.write(to, value !== undefined)
      if (value !== undefined) of.write(to, value)
    },
    read: (from) => (flag.read(from) ? of.read(from) : undefined),
  }
}

/** Several values, in the order they are named. */
export function struct<T extends object>(fields: { readonly [K in keyof T]: Codec<T[K]> }): Codec<Readonly<T>> {
  const entries = Object.entries(fields) as [keyof T, Codec<unknown>][]
  return {
    write(to, value) {
      for (const [key, of] of entries) of.write(to, value[key])
    },
    read(from) {
      const value: Partial<T> = {}
      for (const [key, of] of entries) value[key] = of.read(from) as T[keyof T]
      return value as T
    },
  }
}
