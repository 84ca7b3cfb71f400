/** Translates cancellations to stored marks and back. */
import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import { hostname } from 'node:os'
import process from 'node:process'
import { now, readWall } from '../../core/clock.js'
import { receivedCancellation, kindFrom, reasonTextIn } from '../../core/remote-origin.js'
import { type Cancellation, attribute } from '../../core/graph.js'
import { type Crossed, decodeReason, encodeReason, traceIn, withTrace } from '../../core/reasons.js'
import { currentTrace } from '../../core/trace-context.js'
import type { CancellationToken } from '../../core/token.js'
import type { MarkRecord } from './engine.js'
import type { Mark, Who } from './hub.js'
import { NAME_BYTES, REASON_BYTES } from './limits.js'
import { OtherProcess } from './remote-token.js'

const sizeOf = (text: string): number => Buffer.byteLength(text)

const encoder = new TextEncoder()

/** Returns the start of a text that fits in `most` bytes of UTF-8 and is well-formed. */
export function cut(text: string, most: number): string {
  if (Buffer.byteLength(text) === text.length && text.length <= most) return text // ASCII
  let bytes = encoder.encode(text)
  if (bytes.length > most) {
    let end = most
    // Do not cut a character.
    while (end > 0 && ((bytes[end] as number) & 0xc0) === 0x80) end--
    bytes = bytes.slice(0, end)
  }
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes)
}

/** Returns the host and the process id that other processes see. */
export function thisProcess(): { readonly host: string; readonly pid: number } {
  return { host: cut(hostname(), NAME_BYTES), pid: process.pid }
}

/** Returns a source of unique ids for the marks of a session (E2). An id does not reveal the id of the session, which is a secret. */
export function markIdsOf(session: string): () => string {
  const stem = createHash('sha256').update(session, 'utf8').digest('base64url').slice(0, 22)
  let count = 0
  return () => `${stem}-${++count}`
}

/** Returns the record of a cancellation for other processes. */
export function recordOf(cancellation: Cancellation, id: string, { host, pid, token }: Who): MarkRecord {
  const { origin, kind, reason } = cancellation
  const name = (origin as CancellationToken).name ?? token
  const text =
    reason === undefined ? '' : (encodeReason(reason, reasonTextIn(cancellation), true, REASON_BYTES, sizeOf) ?? '')
  const trace = currentTrace?.()
  return {
    id,
    kind,
    reason: trace === undefined ? text : withTrace(text, trace, REASON_BYTES, sizeOf),
    host,
    pid,
    token: name === undefined ? '' : cut(name, NAME_BYTES),
    what: cut(origin.explain(kind), NAME_BYTES * 2),
    at: Math.max(0, readWall()),
  }
}

/** Returns the public form of a record. */
export function markFrom(record: MarkRecord): Mark {
  const { kind, host, pid, token, at } = record
  return {
    kind: kindFrom(kind),
    reason: reasonOf(record).reason,
    who: { host, pid, token: token || undefined },
    at: new Date(at),
  }
}

const reasonOf = ({ reason, host, pid }: MarkRecord): Crossed =>
  reason ? decodeReason(reason, `process ${pid} on ${host}`) : { reason: undefined, saying: undefined }

/** Returns the local cancellation for a record: a token of another process started it. */
export function cancellationFrom(record: MarkRecord): { readonly found: Cancellation; readonly who: Who } {
  const { host, pid, token } = record
  const who = { host, pid, token: token || undefined }
  const origin = new OtherProcess(who, record.what)
  origin.trace = traceIn(record.reason)
  const found = receivedCancellation(origin, kindFrom(record.kind), reasonOf(record), now())
  attribute(origin, found)
  return { found, who }
}
