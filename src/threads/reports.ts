/** What a cancellation has to say, as words in shared memory: when, where it started, and why. */
import type { Origin } from '../core/elsewhere.js'
import { decodeReason, encodeReason } from '../core/reasons.js'
import { MOMENT_WORDS, REPORT_WORDS } from './layout.js'
import { readMoment, writeMoment } from './moments.js'

/** What crosses besides the kind, which is in the state. */
export interface Story {
  /** When it happened, on this thread's clock. */
  readonly at: number
  readonly reason: unknown
  /** Where it started, if that is another token than the shared one. */
  readonly origin: Origin | undefined
}

/** The length in bytes, then the moment, then text: the origin's name, what happened, the reason, each in JSON. */
const HEADER = 1 + MOMENT_WORDS

/** Bytes of text, in all. */
const ROOM = (REPORT_WORDS - HEADER) * 4

/** The most that origin and reason may take. A longer reason is shortened, see core/reasons.ts. */
const NAME_ROOM = 96

/** Where errors that arrive come from, as their stacks say. */
const PLACE = 'another thread'

const encoder = new TextEncoder()
const decoder = new TextDecoder()
const sizeOf = (text: string): number => encoder.encode(text).length

/** At most `room` words; undefined where not even the moment fits. */
export function encodeStory({ at, reason, origin }: Story, room: number): Int32Array | undefined {
  if (room < HEADER) return undefined
  const most = Math.min(ROOM, (room - HEADER) * 4)
  const name = origin?.name === undefined ? '' : (encodeReason(origin.name, NAME_ROOM, sizeOf) ?? '')
  const what = origin ? (encodeReason(origin.what, NAME_ROOM, sizeOf) ?? '""') : ''
  const head = origin ? `${name}\n${what}` : ''
  // Each part is one line: JSON has no line breaks.
  const why = reason === undefined ? '' : (encodeReason(reason, most - sizeOf(head) - 2, sizeOf) ?? '')
  const text = head || why ? encoder.encode(`${head}\n${why}`) : new Uint8Array()
  const bytes = text.length <= most ? text : new Uint8Array()
  const words = new Int32Array(HEADER + Math.ceil(bytes.length / 4))
  words[0] = bytes.length
  writeMoment(at, words.subarray(1, HEADER))
  new Uint8Array(words.buffer).set(bytes, HEADER * 4)
  return words
}

/** How many words a report takes, by its first one. */
export function lengthOf(first: number): number {
  return first >= 0 && first <= ROOM ? HEADER + Math.ceil(first / 4) : HEADER
}

/** Whatever the words are, this throws nothing: nobody's memory is trusted. */
export function decodeStory(words: Int32Array): Story | undefined {
  if (words.length < HEADER) return undefined
  const at = readMoment(words.subarray(1, HEADER))
  const length = words[0] as number
  if (words.length === HEADER) return { at, reason: undefined, origin: undefined }
  const text = decoder.decode(new Uint8Array(words.buffer, HEADER * 4).subarray(0, length))
  const parts = text.split('\n')
  const [name, what, why] = parts.length === 3 ? parts : ['', '', parts[1]]
  return {
    at,
    reason: why ? decodeReason(why, PLACE) : undefined,
    origin: what ? { name: textIn(name), what: textIn(what) ?? '' } : undefined,
  }
}

function textIn(part: string | undefined): string | undefined {
  const value = part ? decodeReason(part, PLACE) : undefined
  return typeof value === 'string' ? value : undefined
}
