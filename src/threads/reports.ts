/** The report of a cancellation, as words in shared memory: when it happened, where it started, and why. */
import type { Origin } from '../core/remote-origin.js'
import { type Crossed, decodeReason, encodeLine, encodeReason } from '../core/reasons.js'
import { MOMENT_WORDS, REPORT_WORDS } from './layout.js'
import { readMoment, writeMoment } from './moments.js'

/** What crosses to another thread, besides the kind, which is in the state. */
export interface CancellationReport {
  /**
   * When it happened, on this thread's clock. Undefined if it is published before it happens: then the moment is stored with
   * the deadline.
   */
  readonly at: number | undefined
  readonly reason: unknown
  /** The part of the message about the reason. */
  readonly said: string | undefined
  /** Where it started, if that is another token than the shared one. */
  readonly origin: Origin | undefined
}

/** A report that has arrived. */
export interface ReceivedReport extends Omit<CancellationReport, 'said'>, Crossed {}

// The first word is the length of the text in bytes. The moment follows, unless the first word is negative. Then
// follows the text: the origin's name, what happened, the reason, each in JSON.
const wordsBefore = (first: number) => (first < 0 ? 1 : 1 + MOMENT_WORDS)
const bytesOf = (first: number) => (first < 0 ? ~first : first)

/**
 * A report that is written before the cancellation happens leaves a part of the room to other cancellations that may
 * happen earlier. It contains no stack traces.
 */
const SHARE = 2 / 3

/** The limit for the origin's name, and for what happened to it. A longer reason is shortened: see core/reasons.ts. */
const NAME_ROOM = 96

/** The origin that the stacks of received errors show. */
const PLACE = 'another thread'

const encoder = new TextEncoder()
// A byte order mark is a character of the text like any other.
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
const sizeOf = (text: string): number => encoder.encode(text).length

/** Encodes a report in at most `room` words. Returns undefined if not even the moment fits. */
export function encodeReport(report: CancellationReport, room: number): Int32Array | undefined {
  const { at } = report
  const before = wordsBefore(at === undefined ? -1 : 0)
  const most = at === undefined ? Math.floor(room * SHARE) : room
  if (most < before) return undefined
  const bytes = encodeText(report, (most - before) * 4)
  const length = bytes?.length ?? 0
  const words = new Int32Array(before + Math.ceil(length / 4))
  words[0] = at === undefined ? ~length : length
  if (at !== undefined) writeMoment(at, words, 1)
  if (bytes) new Uint8Array(words.buffer).set(bytes, before * 4)
  return words
}

/** Encodes the text in at most `most` bytes. Returns undefined if there is no text, or if it does not fit. */
function encodeText({ at, reason, said, origin }: CancellationReport, most: number): Uint8Array | undefined {
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

/** Computes how many words a report takes from its first word. */
export function lengthOf(first: number): number {
  const words = wordsBefore(first) + Math.ceil(bytesOf(first) / 4)
  return words <= REPORT_WORDS ? words : wordsBefore(first)
}

/** Decodes a report. Never throws, whatever the words are: memory of other threads is not trusted. */
export function decodeReport(words: Int32Array): ReceivedReport | undefined {
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
