/**
 * How values are encoded in a frame; each codec describes both directions. Numbers are big-endian. A value that does not fit or is
 * malformed throws a {@link HubError}: bytes from a wire are never trusted.
 */
import { Buffer } from 'node:buffer'
import { HubError } from '../contract/errors.js'
import { LAST_MOMENT } from '../contract/limits.js'

/** Writes and reads one kind of value. */
export interface Codec<T> {
  write(to: Writer, value: T): void
  read(from: Reader): T
}

export type ValueOf<C> = C extends Codec<infer T> ? T : never

export function malformed(what: string): HubError {
  return new HubError('ERR_HUB_PROTOCOL', `malformed frame: ${what}`)
}

const encoder = new TextEncoder()
// A byte order mark is kept as a character of the text.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** A buffer to write to. */
export class Writer {
  #bytes = new Uint8Array(256)
  #view = new DataView(this.#bytes.buffer)
  #length = 0

  /** Reserves `count` bytes. Returns the offset of the first. */
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

  /** Writes text as UTF-8. Returns the number of bytes. Most texts are short ASCII, for which an encoder takes ten times as long. */
  text(value: string): number {
    const { length } = value
    const at = this.#take(length)
    const bytes = this.#bytes
    for (let i = 0; i < length; i++) {
      const code = value.charCodeAt(i)
      if (code > 127) {
        this.#length = at
        const encoded = encoder.encode(value)
        this.bytes(encoded)
        return encoded.length
      }
      bytes[at + i] = code
    }
    return length
  }

  /** Overwrites an earlier number of 16 bits. */
  patch16(at: number, value: number): void {
    this.#view.setUint16(at, value)
  }

  /** Overwrites an earlier number of 32 bits. */
  patch(at: number, value: number): void {
    this.#view.setUint32(at, value)
  }

  /** Returns the written bytes, in memory that is never written again. The writer is then empty. */
  done(): Uint8Array {
    // A small buffer is a part of a larger one. A separate buffer would allocate memory outside the heap for each frame.
    const written = Buffer.allocUnsafe(this.#length)
    written.set(this.#bytes.subarray(0, this.#length))
    this.#length = 0
    return written
  }

  /** Discards the written bytes. */
  clear(): void {
    this.#length = 0
  }
}

/** Reads bytes once, from front to back. */
export class Reader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
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
    return this.#bytes.readUInt16BE(this.#take(2))
  }

  u32(): number {
    return this.#bytes.readUInt32BE(this.#take(4))
  }

  f64(): number {
    return this.#bytes.readDoubleBE(this.#take(8))
  }

  bytes(count: number): Uint8Array {
    const at = this.#take(count)
    return this.#bytes.subarray(at, at + count)
  }

  /** Reads `count` bytes of UTF-8. ASCII is read without a decoder. */
  text(count: number): string {
    if (count === 0) return ''
    const bytes = this.#bytes
    const at = this.#take(count)
    const end = at + count
    for (let i = at; i < end; i++) {
      if ((bytes[i] as number) > 127) return decode(bytes.subarray(at, end))
    }
    return bytes.toString('latin1', at, end)
  }
}

function decode(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes)
  } catch {
    throw malformed('text is not UTF-8')
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

/** A number of milliseconds: a duration, or a time since 1970. At most the last time that a `Date` can represent. */
export const milliseconds: Codec<number> = {
  write: (to, value) => to.f64(value),
  read(from) {
    const value = from.f64()
    if (!(value >= 0 && value <= LAST_MOMENT)) throw malformed(`a number of milliseconds is ${value}`)
    return value
  },
}

/** A whole number up to 2⁵³. */
export const whole: Codec<number> = {
  write: (to, value) => to.f64(value),
  read(from) {
    const value = from.f64()
    if (!(value >= 0 && Number.isSafeInteger(value))) throw malformed(`a whole number is ${value}`)
    return value
  },
}

/** Text of at most `most` bytes of UTF-8. */
export function text(most: number): Codec<string> {
  return {
    write(to, value) {
      const at = to.length
      to.u16(0)
      // A text has at least as many bytes as characters, so a text that is far too long is rejected before it is written.
      const length = value.length > most ? Buffer.byteLength(value) : to.text(value)
      if (length > most) throw malformed(`text of ${length} bytes exceeds the limit of ${most}`)
      to.patch16(at, length)
    },
    read(from) {
      const length = from.u16()
      if (length > most) throw malformed(`text of ${length} bytes exceeds the limit of ${most}`)
      return from.text(length)
    },
  }
}

/** Exactly `count` bytes. */
export function bytes(count: number): Codec<Uint8Array> {
  return {
    write(to, value) {
      if (value.length !== count) throw malformed(`${value.length} bytes instead of ${count}`)
      to.bytes(value)
    },
    // A copy, because the buffer will be reused.
    read: (from) => new Uint8Array(from.bytes(count)),
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
      // Each item takes at least a byte, so a false count cannot allocate memory.
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

/** Several values, in the order of their names. */
export function struct<T extends object>(fields: { readonly [K in keyof T]: Codec<T[K]> }): Codec<Readonly<T>> {
  const keys = Object.keys(fields) as (keyof T)[]
  const codecs: readonly Codec<unknown>[] = Object.values(fields)
  // Counted loops: most messages are read by code that is not compiled yet, where an iterator takes longer than a field.
  return {
    write(to, value) {
      for (let i = 0; i < keys.length; i++) (codecs[i] as Codec<unknown>).write(to, value[keys[i] as keyof T])
    },
    read(from) {
      const value: Partial<T> = {}
      for (let i = 0; i < keys.length; i++) {
        value[keys[i] as keyof T] = (codecs[i] as Codec<unknown>).read(from) as T[keyof T]
      }
      return value as T
    },
  }
}
