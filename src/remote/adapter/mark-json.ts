/** Marks as text, for engines that store text: JSON, which people can read too. */
import type { MarkRecord } from '../contract/engine.js'
import { markRecord } from '../contract/checked-records.js'

export function textOfMark({ id, kind, reason, host, pid, token, what, at }: MarkRecord): string {
  return JSON.stringify({ id, kind, reason, host, pid, token, what, at })
}

/** The mark that a text stands for. Whatever the text is, it is a mark, since a client has stored one: see contract/checked-records.ts. */
export function markOfText(text: string): MarkRecord {
  try {
    const parsed: unknown = JSON.parse(text)
    if (typeof parsed === 'object' && parsed !== null) return markRecord(parsed)
  } catch {
    // An empty one.
  }
  return markRecord({})
}
