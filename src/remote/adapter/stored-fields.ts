/**
 * The fields that engines store as text. A mark is JSON, so people can read it.
 *
 * Each field is checked. Another client wrote it, perhaps one of another version, or a person. So the data is foreign, even if that client
 * has the key. A field with a wrong type or out of its range is replaced. A mark stays a mark, and a holder stays a holder, whatever is
 * wrong with it.
 */
import type { HolderReport, LeaseRecord, MarkRecord, Topic, TopicState } from '../contract/engine.js'
import { LAST_MOMENT, NAME_BYTES, REASON_BYTES } from '../contract/limits.js'

/** A field of a reply or a row; null or empty if it is missing. */
type Field = string | null | undefined

export function textOfMark({ id, kind, reason, host, pid, token, what, at }: MarkRecord): string {
  return JSON.stringify({ id, kind, reason, host, pid, token, what, at })
}

/** Reads a mark. Any text is a mark, because a client has stored one. */
export function markOfText(text: string): MarkRecord {
  try {
    const parsed: unknown = JSON.parse(text)
    if (typeof parsed === 'object' && parsed !== null) return markRecord(parsed)
  } catch {
    // An empty one.
  }
  return markRecord({})
}

/** Reads the state of a topic from its fields. */
export function topicStateOf(topic: Topic, [mark, fence, left, lost]: readonly Field[]): TopicState {
  return {
    topic,
    mark: mark == null ? undefined : markOfText(mark),
    lease: fence ? leaseRecord({ fence, left, lost }) : undefined,
  }
}

/** Reads a holder from its fields. */
export function holderReportOf([session, host, pid, silent, id, state, role, since]: readonly Field[]): HolderReport {
  return holderReport({ session, host, pid, silent: silent === '1', id, state, role, since })
}

const LARGEST_PID = 2 ** 32 - 1

type Fields<T> = { readonly [K in keyof T]?: unknown }

/** Returns text of at most `most` characters; otherwise the fallback. */
function text(value: unknown, most: number, fallback = ''): string {
  return typeof value === 'string' && value.length <= most ? value : fallback
}

/** Returns a number from 0 to `most`; otherwise 0. Digits are read as a number, because some engines store only text. */
function numberFrom(value: unknown, most: number): number {
  const number = typeof value === 'string' && value !== '' ? Number(value) : value
  return typeof number === 'number' && number >= 0 && number <= most ? number : 0
}

/** Returns a whole number from 0 to `most`; otherwise 0. */
function wholeFrom(value: unknown, most: number): number {
  return Math.floor(numberFrom(value, most))
}

function markRecord(fields: Fields<MarkRecord>): MarkRecord {
  return {
    id: text(fields.id, NAME_BYTES),
    kind: text(fields.kind, NAME_BYTES, 'manual'),
    reason: text(fields.reason, REASON_BYTES),
    host: text(fields.host, NAME_BYTES),
    pid: wholeFrom(fields.pid, LARGEST_PID),
    token: text(fields.token, NAME_BYTES),
    what: text(fields.what, 2 * NAME_BYTES, 'was cancelled'),
    at: numberFrom(fields.at, LAST_MOMENT),
  }
}

function leaseRecord({ fence, left, lost }: Fields<LeaseRecord>): LeaseRecord {
  return {
    fence: wholeFrom(fence, Number.MAX_SAFE_INTEGER),
    left: numberFrom(left, LAST_MOMENT),
    lost: wholeFrom(lost, Number.MAX_SAFE_INTEGER),
  }
}

function holderReport(fields: Fields<HolderReport>): HolderReport {
  return {
    session: text(fields.session, NAME_BYTES),
    host: text(fields.host, NAME_BYTES),
    pid: wholeFrom(fields.pid, LARGEST_PID),
    id: wholeFrom(fields.id, LARGEST_PID),
    state: wholeFrom(fields.state, 255),
    role: wholeFrom(fields.role, 255),
    since: numberFrom(fields.since, LAST_MOMENT),
    silent: fields.silent === true,
  }
}
