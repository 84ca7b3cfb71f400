/**
 * The messages between a lender and its borrowers: lines of JSON, over a socket that only they can reach.
 *
 * A borrower connects and sends the key, and nothing more. The lender answers with the state of the token. It sends the
 * state again whenever the deadline moves, and when the token is cancelled. If the connection ends without that last
 * message, the lender is gone.
 */
import { constants } from 'node:os'
import process from 'node:process'
import { now } from '../../core/clock.js'
import { receivedCancellation, RemoteOrigin, kindFrom, reasonTextIn } from '../../core/remote-origin.js'
import type { CancellationKind } from '../../core/errors.js'
import type { Cancellation } from '../../core/graph.js'
import { decodeReason, encodeReason } from '../../core/reasons.js'
import type { CancellationToken } from '../../core/token.js'

/** The environment variable that hands down the place. */
export const VARIABLE = 'CALLOFF_PARENT'

/** Where a token is lent. */
export interface Place {
  /** A socket, or a pipe on Windows. */
  readonly path: string
  readonly key: string
  /** The id of the lender's process. */
  readonly pid: number
  /** The signals that ask processes to end. */
  readonly signals: readonly NodeJS.Signals[]
}

/** A cancellation in the past or in the future. */
export interface Report {
  readonly kind: CancellationKind
  /** How many milliseconds ago it happened. Negative if it is in the future. */
  readonly ago: number
  /** The name of the token where it started. */
  readonly name?: string | undefined
  readonly what: string
  /** In the format of core/reasons.ts. */
  readonly reason?: string | undefined
}

/** The state of the token. */
export type Standing =
  | { readonly type: 'live'; readonly name?: string | undefined; readonly ahead?: Report | undefined }
  | { readonly type: 'over'; readonly name?: string | undefined; readonly story: Report }
  /** The lender has stopped lending it. */
  | { readonly type: 'closed' }

/** The limit for the text of a reason, in bytes. */
const REASON_BYTES = 65_536
const encoder = new TextEncoder()
const sizeOf = (text: string): number => encoder.encode(text).length

export function textOfPlace(place: Place): string {
  return JSON.stringify(place)
}

/** Returns the unchecked fields of an object in JSON. Returns undefined for any other text. */
function fieldsOf(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

const isSignal = (name: unknown): name is NodeJS.Signals =>
  typeof name === 'string' && Object.hasOwn(constants.signals, name)

/** Returns the place that a text describes. Returns undefined for any other text. */
export function placeOf(text: string): Place | undefined {
  const { path, key, pid, signals } = fieldsOf(text) ?? {}
  const isOne =
    typeof path === 'string' &&
    typeof key === 'string' &&
    Number.isSafeInteger(pid) &&
    Array.isArray(signals) &&
    signals.every(isSignal)
  return isOne ? { path, key, pid: pid as number, signals } : undefined
}

export function reportOf(cancellation: Cancellation): Report {
  const { origin, kind, reason, at } = cancellation
  // A cancellation from elsewhere already says where it comes from.
  const where = origin instanceof RemoteOrigin ? '' : ` in process ${process.pid}`
  const why =
    reason === undefined ? undefined : encodeReason(reason, reasonTextIn(cancellation), true, REASON_BYTES, sizeOf)
  const { name } = origin as CancellationToken
  return { kind, ago: now() - at, name, what: origin.explain(kind) + where, reason: why }
}

/** Returns the cancellation as this process sees it. */
export function cancellationFrom({ kind, ago, name, what, reason }: Report, { pid }: Place): Cancellation {
  const origin = new RemoteOrigin('OtherProcess', { name, what })
  const crossed = reason ? decodeReason(reason, `process ${pid}`) : { reason: undefined, saying: undefined }
  return receivedCancellation(origin, kind, crossed, now() - ago)
}

export function lineOf(standing: Standing): string {
  return `${JSON.stringify(standing)}\n`
}

/** Returns the state that a line describes. Returns undefined for any other line. */
export function standingOf(line: string): Standing | undefined {
  const { type, name, ahead, story } = fieldsOf(line) ?? {}
  const called = textIn(name)
  if (type === 'closed') return { type }
  if (type === 'live') return { type, name: called, ahead: storyIn(ahead) }
  const told = type === 'over' && storyIn(story)
  return told ? { type: 'over', name: called, story: told } : undefined
}

function storyIn(value: unknown): Report | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { kind, ago, name, what, reason } = value as { readonly [K in keyof Report]?: unknown }
  if (!Number.isFinite(ago) || typeof what !== 'string') return undefined
  return { kind: kindFrom(kind), ago: ago as number, name: textIn(name), what, reason: textIn(reason) }
}

const textIn = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)

/** Takes text in pieces and returns whole lines. */
export class Lines {
  #rest = ''

  take(text: string): readonly string[] {
    const lines = (this.#rest + text).split('\n')
    this.#rest = lines.pop() as string
    return lines
  }

  /** The number of characters of the line that has not ended. */
  get unfinished(): number {
    return this.#rest.length
  }
}
