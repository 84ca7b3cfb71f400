/**
 * The messages between client and server of the embedded engine, as docs/reference/protocol.md describes them. Pure functions: bytes in, messages
 * out, and back.
 *
 * A frame is a length of 32 bits, followed by that many bytes: a type of 8 bits and the fields of the message. Bytes after the last
 * field are ignored, so a later version may add fields. Every request may be repeated with the same effect (E11).
 */
import {
  bytes,
  type Codec,
  flag,
  list,
  malformed,
  milliseconds,
  optional,
  Reader,
  struct,
  text,
  u32,
  u8,
  type ValueOf,
  whole,
  Writer,
} from './codec.js'
import { HubError } from '../contract/errors.js'
import { NAME_BYTES, REASON_BYTES } from '../contract/limits.js'

/** The only version so far. */
export const VERSION = 1
export const NONCE_BYTES = 32
export const MAC_BYTES = 32

/** The largest frame before the end of the handshake, and the smallest limit that a server may set after it. */
export const HANDSHAKE_FRAME = 2_048
export const LEAST_FRAME = 16_384

/** The largest id of a mark, in bytes. */
const ID_BYTES = 64

const name = text(NAME_BYTES)

/** Text without NUL, because NUL separates name and run in a key. */
const part: Codec<string> = {
  write: (to, value) => name.write(to, value),
  read(from) {
    const value = name.read(from)
    if (value.includes('\0')) throw malformed('a name contains NUL')
    return value
  },
}

const topic = struct({ name: part, runId: part })

const mark = struct({
  id: text(ID_BYTES),
  kind: text(32),
  reason: text(REASON_BYTES),
  host: name,
  pid: u32,
  token: name,
  what: text(NAME_BYTES * 2),
  at: milliseconds,
})

const lease = struct({ fence: whole, left: milliseconds, lost: whole })

const state = struct({ topic, mark: optional(mark), lease: optional(lease) })

const holder = struct({ id: u32, topic, state: u8, role: u8, since: milliseconds })

const report = struct({
  topic,
  mark: optional(mark),
  lease: optional(lease),
  holders: list(
    struct({ session: name, host: name, pid: u32, id: u32, state: u8, role: u8, since: milliseconds, silent: flag }),
  ),
})

/** The number and the fields of each type. A number is never reused for another type. */
const messages = {
  // The handshake
  hello: [1, struct({ magic: text(16), least: u8, version: u8, nonce: bytes(NONCE_BYTES) })],
  challenge: [2, struct({ version: u8, nonce: bytes(NONCE_BYTES) })],
  proof: [3, struct({ mac: bytes(MAC_BYTES), session: name, host: name, pid: u32, ttl: milliseconds })],
  welcome: [4, struct({ mac: bytes(MAC_BYTES), frame: u32, sinceRestart: optional(milliseconds) })],
  goodbye: [5, struct({ code: text(64), message: text(1_024) })],

  // Requests
  enter: [16, struct({ id: u32, holders: list(holder) })],
  leave: [17, struct({ id: u32, holders: list(u32) })],
  read: [18, struct({ id: u32, topics: list(topic) })],
  mark: [19, struct({ id: u32, topic, mark, ttl: milliseconds })],
  list: [20, struct({ id: u32, prefix: optional(name), topic: optional(topic) })],
  forget: [21, struct({ id: u32, topic })],
  beat: [22, struct({ id: u32 })],
  acquire: [23, struct({ id: u32, topic, owner: name, ttl: milliseconds })],
  renew: [24, struct({ id: u32, topic, fence: whole, ttl: milliseconds })],
  release: [25, struct({ id: u32, topic, fence: whole })],
  bye: [26, struct({ id: u32 })],

  // Answers
  done: [32, struct({ id: u32, yes: flag })],
  states: [33, struct({ id: u32, states: list(state), more: flag })],
  marked: [34, struct({ id: u32, mark })],
  reports: [35, struct({ id: u32, reports: list(report), more: flag })],
  acquired: [36, struct({ id: u32, held: flag, fence: whole, left: milliseconds })],
  failed: [37, struct({ id: u32, code: text(64), message: text(1_024) })],

  // Messages that the server sends unasked
  notice: [48, state],
} as const

type Table = typeof messages
export type MessageType = keyof Table
/** A message of one type, or of any type. */
export type Message<T extends MessageType = MessageType> = {
  [K in T]: { readonly type: K } & ValueOf<Table[K][1]>
}[T]

export type Request = Message<
  'enter' | 'leave' | 'read' | 'mark' | 'list' | 'forget' | 'beat' | 'acquire' | 'renew' | 'release' | 'bye'
>

export function unexpected({ type }: Message): HubError {
  return new HubError('ERR_HUB_PROTOCOL', `unexpected message "${type}"`)
}

/** The bytes of a frame without the parts of a list. */
export const ENVELOPE = 16
/** The most parts of a list in one frame, even if more would fit. */
export const MOST_PARTS = 0xffff

/** Splits a list into parts that each fit in a frame. `size` returns the largest size of an item in bytes. */
export function inFrames<T>(all: readonly T[], size: (one: T) => number, frame: number): T[][] {
  const parts: T[][] = []
  let part: T[] | undefined
  let taken = 0
  for (const one of all) {
    const own = size(one)
    if (!part || taken + own > frame || part.length === MOST_PARTS) {
      parts.push((part = []))
      taken = ENVELOPE
    }
    part.push(one)
    taken += own
  }
  return parts
}

const byNumber = new Map<number, MessageType>(
  (Object.keys(messages) as MessageType[]).map((type) => [messages[type][0], type]),
)

/** One writer for all frames: writing a frame is synchronous. */
const to = new Writer()

/** Returns the complete frame of a message. */
export function encode(message: Message): Uint8Array {
  const entry = messages[message.type] as readonly [number, Codec<unknown>]
  to.clear() // discards a message that did not fit
  to.u32(0)
  to.u8(entry[0])
  entry[1].write(to, message)
  to.patch(0, to.length - 4)
  return to.done()
}

/** Returns the message in a frame without its length. Throws a `HubError` if it is malformed. */
export function decode(frame: Uint8Array): Message {
  const from = new Reader(frame)
  const number = from.u8()
  const type = byNumber.get(number)
  if (type === undefined) throw malformed(`unknown message type ${number}`)
  const message = (messages[type][1] as Codec<{ type?: MessageType }>).read(from)
  message.type = type
  return message as Message
}

/** Returns the number of bytes that a part of an answer takes in a frame. */
export function sizeOf<T extends 'states' | 'reports'>(type: T, part: Part<T>): number {
  to.clear()
  if (type === 'states') state.write(to, part)
  else report.write(to, part as Part<'reports'>)
  return to.length
}

type Part<T extends 'states' | 'reports'> = T extends 'states' ? ValueOf<typeof state> : ValueOf<typeof report>

/**
 * Splits a stream of bytes into frames. It keeps the received part of an incomplete frame, and allocates memory only as bytes arrive,
 * whatever length the frame announces.
 */
export class Frames {
  /** The largest frame that is accepted, in bytes. */
  limit: number
  /** Bytes that were not read yet, the oldest first. */
  #chunks: Uint8Array[] = []
  /** The received part of an incomplete frame. */
  #held = new Uint8Array(64)
  #length = 0

  constructor(limit: number) {
    this.limit = limit
  }

  /** Adds bytes. They must not change before `next` has returned them. */
  add(chunk: Uint8Array): void {
    if (chunk.length > 0) this.#chunks.push(chunk)
  }

  /** Returns the next complete frame, valid until the next call; undefined if there is none. Throws if the frame is too large. */
  next(): Uint8Array | undefined {
    for (let chunk = this.#chunks[0]; chunk; chunk = this.#chunks[0]) {
      // Most frames arrive complete and need no copy.
      const whole = this.#length === 0 && chunk.length >= 4 ? 4 + this.#lengthIn(chunk) : Infinity
      if (whole <= chunk.length) {
        this.#drop(chunk, whole)
        return chunk.subarray(4, whole)
      }
      const wanted = this.#length < 4 ? 4 : 4 + this.#lengthIn(this.#held)
      const taken = chunk.subarray(0, wanted - this.#length)
      this.#hold(taken)
      this.#drop(chunk, taken.length)
      if (this.#length >= 4 && this.#length === 4 + this.#lengthIn(this.#held)) {
        const frame = this.#held.subarray(4, this.#length)
        this.#held = new Uint8Array(64)
        this.#length = 0
        return frame
      }
    }
    return undefined
  }

  /** Drops `count` bytes of the first chunk. */
  #drop(chunk: Uint8Array, count: number): void {
    if (count < chunk.length) this.#chunks[0] = chunk.subarray(count)
    else this.#chunks.shift()
  }

  #lengthIn(start: Uint8Array): number {
    let length = 0
    for (let i = 0; i < 4; i++) length = length * 256 + (start[i] as number)
    if (length > this.limit) {
      throw new HubError('ERR_HUB_PROTOCOL', `frame of ${length} bytes exceeds the limit of ${this.limit}`)
    }
    return length
  }

  #hold(part: Uint8Array): void {
    const length = this.#length + part.length
    if (length > this.#held.length) {
      const larger = new Uint8Array(Math.max(length, this.#held.length * 2))
      larger.set(this.#held.subarray(0, this.#length))
      this.#held = larger
    }
    this.#held.set(part, this.#length)
    this.#length = length
  }
}
