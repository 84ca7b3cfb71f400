/** The fields that engines store as text. A mark is JSON, so people can read it. */
import { holderReport, leaseRecord, markRecord } from '../contract/checked-records.js'
import type { HolderReport, MarkRecord, Topic, TopicState } from '../contract/engine.js'

/** A field of a reply or a row; null or empty if it is missing. */
type Field = string | null | undefined

export function textOfMark({ id, kind, reason, host, pid, token, what, at }: MarkRecord): string {
  return JSON.stringify({ id, kind, reason, host, pid, token, what, at })
}

/** Reads a mark. Any text is a mark, because a client has stored one: see contract/checked-records.ts. */
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
