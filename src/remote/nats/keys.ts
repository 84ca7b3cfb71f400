/**
 * The keys of the records in the bucket. Keys allow only few characters, names allow any. So a character that is not a
 * letter, a digit, `-` or `_` becomes `=` and two hexadecimal digits for each byte of UTF-8. The empty text becomes a
 * single `=`.
 *
 *     mark.<name>.<run>                    that a topic is cancelled
 *     lease.<name>.<run>                   the owner of its lease, or the last owner
 *     holder.<name>.<run>.<session>.<id>   an open token
 *     session.<session>                    a process
 *     sweep                                how far the bucket was swept
 *     turn                                 nothing: only its place in the order of the stream matters
 *
 * The number of parts distinguishes marks and leases from the other keys, for one filter: see {@link TOPICS}.
 */
import { createHash } from 'node:crypto'
import type { Topic } from '../contract/engine.js'

/** Matches every mark and every lease, and no other key. */
export const TOPICS = '*.*.*'
export const SWEEP = 'sweep'
export const TURN = 'turn'

/** Encodes a text as one part of a key. */
export function partOf(text: string): string {
  const escaped = encodeURIComponent(text).replace(/[.!~*'()]/g, (one) => `%${one.charCodeAt(0).toString(16)}`)
  return escaped === '' ? '=' : escaped.replaceAll('%', '=').replace(/=../g, (one) => one.toUpperCase())
}

/** Decodes a part of a key. Returns undefined if no text is encoded like that. */
export function textOfPart(part: string): string | undefined {
  if (part === '=') return ''
  try {
    return decodeURIComponent(part.replaceAll('=', '%'))
  } catch {
    return undefined
  }
}

/** Encodes a topic as two parts of a key. */
export function pathOf({ name, runId }: Topic): string {
  return `${partOf(name)}.${partOf(runId)}`
}

export const markKey = (path: string): string => `mark.${path}`
export const leaseKey = (path: string): string => `lease.${path}`
export const holderKey = (path: string, session: string, id: number): string => `holder.${path}.${session}.${id}`
export const sessionKey = (session: string): string => `session.${session}`

/** Returns the id by which other processes know a session. The id of the session itself is private. */
export function publicId(session: string): string {
  return createHash('sha256').update(session, 'utf8').digest('hex').slice(0, 32)
}

/** A key in its parts. */
export type ParsedKey =
  | { readonly kind: 'mark' | 'lease'; readonly path: string; readonly topic: Topic }
  | {
      readonly kind: 'holder'
      readonly path: string
      readonly topic: Topic
      readonly session: string
      readonly id: number
    }
  | { readonly kind: 'session'; readonly session: string }

/** Parses a key. Returns undefined for any other key. */
export function parseKey(key: string): ParsedKey | undefined {
  const parts = key.split('.')
  if (parts.includes('')) return undefined
  const [kind, name = '', runId = '', session = '', id = ''] = parts
  if (kind === 'session' && parts.length === 2) return { kind, session: name }
  const topic = { name: textOfPart(name), runId: textOfPart(runId) }
  if (!topic.name || topic.runId === undefined) return undefined
  const known = { path: `${name}.${runId}`, topic: topic as Topic }
  if ((kind === 'mark' || kind === 'lease') && parts.length === 3) return { kind, ...known }
  if (kind !== 'holder' || parts.length !== 5 || !/^\d+$/.test(id)) return undefined
  return { kind, ...known, session, id: Number(id) }
}
