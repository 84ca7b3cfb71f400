/** What a cancellation has to say, as words in shared memory: when, where it started, and why. */
import type { Origin } from '../core/elsewhere.js'
import { type Crossed, decodeReason, encodeLine, encodeReason } from '../core/reasons.js'
import { MOMENT_WORDS, REPORT_WORDS } from './layout.js'
import { readMoment, writeMoment } from './moments.js'

/** What crosses besides the kind, which is in the state. */
export interface Story {
  /** When it happened, on this thread's clock; undefined where it is told before it happens, at a deadline that stands elsewhere. */
  readonly at: number | undefined
  readonly reason: unknown
  /** What the message says of the reason. */
  readonly said: string | undefined
  /** Where it started, if that is another token than the shared one. */
  readonly origin: Origin | undefined
}

/** A story as it has arrived. */
export interface Told extends Omit<Story, 'said'>, Crossed {}

// The first word is the length of the text in bytes; then the moment, if there is one, which a negative first word denies;
// then the text: the origin's name, what happened, the reason, each in JSON.
const wordsBefore = (first: number) => (first < 0 ? 1 : 1 + MOMENT_WORDS)
const bytesOf = (first: number) => (first < 0 ? ~first : first)

/** What is told before it happens leaves a part of the room to what may happen before; and it does without stack traces. */
const SHARE = 2 / 3

/** The most that the origin's name, and what happened to it, may take. A longer reason is shortened, see core/reasons.ts. */
const NAME_ROOM = 96

/** Where errors that arrive come from, as their stacks say. */
const PLACE = 'another thread'

const encoder = new TextEncoder()
// A byte order mark is a character of the text like any other.
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
const sizeOf = (text: string): number => encoder.encode(text).length

/** At most `room` words; undefined where not even the moment fits. */
export function encodeStory(story: Story, room: number): Int32Array | undefined {
  const { at } = story
  const before = wordsBefore(at === undefined ? -1 : 0)
  const most = at === undefined ? Math.floor(room * SHARE) : room
  if (most < before) return undefined
  const bytes = encodeText(story, (most - before) * 4)
  const length = bytes?.length ?? 0
  const words = new Int32Array(before + Math.ceil(length / 4))
  words[0] = at === undefined ? ~length : length
  if (at !== undefined) writeMoment(at, words, 1)
  if (bytes) new Uint8Array(words.buffer).set(bytes, before * 4)
  return words
}

/** The text of it, in at most so many bytes; undefined if there is none. */
function encodeText({ at, reason, said, origin }: Story, most: number): Uint8Array | undefined {
  if (reason === undefined && !origin) return undefined
  const name = origin?.name === undefined ? '' : (encodeLine(origin.name, NAME_ROOM, sizeOf) ?? '')
  const what = origin ? (encodeLine(origin.what, NAME_ROOM, sizeOf) ?? '""') : ''
  const head = origin ? `${name}\n${what}` : ''
  // Each part is one line: JSON has no line breaks.
  const why =
    reason === undefined ? '' : (encodeReason(reason, said, at !== undefined, most - sizeOf(head) - 2, sizeOf) ?? '')
  const bytes = encoder.encode(`${head}\n${why}`)
  return bytes.length <= most ? bytes : undefined
}

/** How many words a report takes, by its first one. */
export function lengthOf(first: number): number {
  const words = wordsBefore(first) + Math.ceil(bytesOf(first) / 4)
  return words <= REPORT_WORDS ? words : wordsBefore(first)
}

/** Whatever the words are, this throws nothing: nobody's memory is trusted. */
export function decodeStory(words: Int32Array): Told | undefined {
  const [first = 0] = words
  const before = wordsBefore(first)
  if (words.length < before) return undefined
  const at = first < 0 ? undefined : readMoment(words, 1)
  if (words.length === before) return { at, reason: undefined, saying: undefined, origin: undefined }
  const text = decoder.decode(new Uint8Array(words.buffer, before * 4).subarray(0, bytesOf(first)))
  const parts = text.split('\n')
  const [name, what, why] = parts.length === 3 ? parts : ['', '', parts[1]]
  const { reason, saying } = why ? decodeReason(why, PLACE) : { reason: undefined, saying: undefined }
  return { at, reason, saying, origin: what ? { name: textIn(name), what: textIn(what) ?? '' } : undefined }
}

function textIn(part: string | undefined): string | undefined {
  const value = part ? decodeReason(part, PLACE).reason : undefined
  return typeof value === 'string' ? value : undefined
}
