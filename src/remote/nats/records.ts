/**
 * The records under the keys: JSON, so people can read them. An unreadable record was written by a later version or by hand. An unreadable
 * mark is still a mark (adapter/stored-fields.ts); any other unreadable record is ignored.
 */
import { type HolderRecord, MARK_TTL, type MarkRecord, ROLES, type Session } from '../contract/engine.js'
import { LAST_MOMENT } from '../contract/limits.js'
import { markOfText, textOfMark } from '../adapter/stored-fields.js'

/** A record of a lease. Once its key is written, it is only updated. */
export interface LeaseEntry {
  readonly state: 'held' | 'released' | 'lost'
  readonly owner: string
  readonly ttl: number
  /** The revision that began the term; 0 in that revision itself, which did not know its number yet. */
  readonly fence: number
  /** The fence of the last term that ended without being released; 0 if none has. */
  readonly lost: number
}

export interface SessionEntry {
  readonly host: string
  readonly pid: number
  readonly ttl: number
}

export type HolderEntry = Pick<HolderRecord, 'state' | 'role' | 'since'>

function objectOf(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

const isAmount = (value: unknown): value is number => typeof value === 'number' && value >= 0 && value <= LAST_MOMENT
const isText = (value: unknown): value is string => typeof value === 'string'

/** A mark, or the rest of forgotten marks, or both. */
export interface MarkEntry {
  /** Undefined if the mark was forgotten. */
  readonly mark: MarkRecord | undefined
  readonly ttl: number
  /** The ids of the last marks here that were forgotten, and how long that is remembered, both as of when this was stored (E2). */
  readonly forgotten: readonly string[]
  readonly remembered: number
}

export function textOfMarkEntry({ mark, ttl, forgotten, remembered }: MarkEntry): string {
  const before = forgotten.length > 0 ? { forgotten, remembered } : {}
  return JSON.stringify({ ttl, ...(mark && { mark: JSON.parse(textOfMark(mark)) as object }), ...before })
}

export function markEntryOf(text: string): MarkEntry {
  const { ttl, mark, forgotten: ids, remembered } = objectOf(text) ?? {}
  const forgotten = Array.isArray(ids) ? ids.filter(isText) : []
  return {
    mark: mark === undefined && forgotten.length > 0 ? undefined : markOfText(JSON.stringify(mark ?? {})),
    ttl: isAmount(ttl) ? ttl : MARK_TTL,
    forgotten,
    remembered: isAmount(remembered) ? remembered : 0,
  }
}

export function leaseEntryOf(text: string, seq: number): LeaseEntry | undefined {
  const { state, owner, ttl, fence, lost } = objectOf(text) ?? {}
  if (state !== 'held' && state !== 'released' && state !== 'lost') return undefined
  if (!isText(owner) || !isAmount(ttl) || !isAmount(fence) || !isAmount(lost)) return undefined
  return { state, owner, ttl, fence: fence || seq, lost }
}

export function sessionEntryOf(text: string): SessionEntry | undefined {
  const { host, pid, ttl } = objectOf(text) ?? {}
  return isText(host) && isAmount(pid) && isAmount(ttl) ? { host, pid, ttl } : undefined
}

export function textOfSession({ host, pid, ttl }: Session): string {
  return JSON.stringify({ host, pid, ttl } satisfies SessionEntry)
}

export function holderEntryOf(text: string): HolderEntry | undefined {
  const { state, role, since } = objectOf(text) ?? {}
  if (!isAmount(state) || !isAmount(role) || !isAmount(since)) return undefined
  return state <= 2 && role < ROLES.length ? { state, role, since } : undefined
}
