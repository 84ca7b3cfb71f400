/**
 * What things are called in the bucket. Keys may have few characters, names any: what is not a letter, a digit, `-` or `_`
 * becomes `=` and two hexadecimal digits for each byte of UTF-8, and the empty text a single `=`.
 *
 *     mark.<name>.<run>                    that a topic is cancelled
 *     lease.<name>.<run>                   who has its lease, or had it last
 *     holder.<name>.<run>.<session>.<id>   an open token
 *     session.<session>                    a process
 *     sweep                                how far the bucket was tidied up
 *     turn                                 nothing: a message for its place in the order of the stream alone
 *
 * The number of parts tells marks and leases from the rest, for one filter: see {@link TOPICS}.
 */
import { createHash } from 'node:crypto'
import type { Topic } from '../contract/engine.js'

/** Every mark and every lease, and nothing else. */
export const TOPICS = '*.*.*'
export const SWEEP = 'sweep'
export const TURN = 'turn'

/** One part of a key. */
export function partOf(text: string): string {
  const escaped = encodeURIComponent(text).replace(/[.!~*'()]/g, (one) => `%${one.charCodeAt(0).toString(16)}`)
  return escaped === '' ? '=' : escaped.replaceAll('%', '=').replace(/=../g, (one) => one.toUpperCase())
}

/** What a part stands for; undefined if nothing of ours does. */
export function textOfPart(part: string): string | undefined {
  if (part === '=') return ''
  try {
    return decodeURIComponent(part.replaceAll('=', '%'))
  } catch {
    return undefined
  }
}

/** The two parts of a topic. */
export function pathOf({ name, runId }: Topic): string {
  return `${partOf(name)}.${partOf(runId)}`
}

export const markKey = (path: string): string => `mark.${path}`
export const leaseKey = (path: string): string => `lease.${path}`
export const holderKey = (path: string, session: string, id: number): string => `holder.${path}.${session}.${id}`
export const sessionKey = (session: string): string => `session.${session}`

/** What others know a session by: its id is its own business. */
export function publicId(session: string): string {
  return createHash('sha256').update(session, 'utf8').digest('hex').slice(0, 32)
}

/** A key, taken apart. */
export type Parsed =
  | { readonly kind: 'mark' | 'lease'; readonly path: string; readonly topic: Topic }
  | {
      readonly kind: 'holder'
      readonly path: string
      readonly topic: Topic
      readonly session: string
      readonly id: number
    }
  | { readonly kind: 'session'; readonly session: string }

/** Undefined for what is none of ours. */
export function parseKey(key: string): Parsed | undefined {
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
