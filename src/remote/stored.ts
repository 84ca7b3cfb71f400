/** Marks as text, for engines that store text: JSON, which people can read too. */
import type { MarkRecord } from './engine.js'

export function textOfMark({ id, kind, reason, host, pid, token, what, at }: MarkRecord): string {
  return JSON.stringify({ id, kind, reason, host, pid, token, what, at })
}

/**
 * The mark that a text stands for. Whatever it is, it is a mark, since somebody has stored one: what cannot be read of it is
 * left empty, so that a token of whom something was written by a later version, or by hand, ends all the same.
 */
export function markOfText(text: string): MarkRecord {
  let found: Partial<Record<keyof MarkRecord, unknown>> = {}
  try {
    const parsed: unknown = JSON.parse(text)
    if (typeof parsed === 'object' && parsed !== null) found = parsed
  } catch {
    // an empty one
  }
  return {
    id: string(found.id),
    kind: string(found.kind, 'manual'),
    reason: string(found.reason),
    host: string(found.host),
    pid: number(found.pid),
    token: string(found.token),
    what: string(found.what, 'was cancelled'),
    at: number(found.at),
  }
}

const string = (value: unknown, otherwise = ''): string => (typeof value === 'string' ? value : otherwise)
const number = (value: unknown): number => (typeof value === 'number' && value >= 0 ? value : 0)
