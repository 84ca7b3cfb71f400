/**
 * What a process and those to whom it has lent a token say to each other: lines of JSON, over a socket that only they can reach.
 *
 * Who connects says the key, and nothing more. He is told how the token stands, again whenever its deadline moves, and that it is
 * over. Where the connection ends without that, the lender is gone.
 */
import { constants } from 'node:os'
import process from 'node:process'
import { now } from '../../core/clock.js'
import { arrived, Elsewhere, kindFrom, saidIn } from '../../core/elsewhere.js'
import type { CancellationKind } from '../../core/errors.js'
import type { Cancellation } from '../../core/graph.js'
import { decodeReason, encodeReason } from '../../core/reasons.js'
import type { CancellationToken } from '../../core/token.js'

/** The variable by which the place is handed down. */
export const VARIABLE = 'CALLOFF_PARENT'

/** Where a token is lent. */
export interface Place {
  /** A socket, or a pipe on Windows. */
  readonly path: string
  readonly key: string
  /** Of the lender. */
  readonly pid: number
  /** The signals that processes are asked to end with. */
  readonly signals: readonly NodeJS.Signals[]
}

/** A cancellation, that has been or lies ahead. */
export interface Story {
  readonly kind: CancellationKind
  /** How many milliseconds ago it was; negative if it lies ahead. */
  readonly ago: number
  /** Of the token where it started. */
  readonly name?: string | undefined
  readonly what: string
  /** As core/reasons.ts writes it. */
  readonly reason?: string | undefined
}

/** How the token stands. */
export type Standing =
  | { readonly type: 'live'; readonly name?: string | undefined; readonly ahead?: Story | undefined }
  | { readonly type: 'over'; readonly name?: string | undefined; readonly story: Story }
  /** It is not lent any longer. */
  | { readonly type: 'closed' }

/** The most that a reason takes, in bytes. */
const REASON_BYTES = 65_536
const encoder = new TextEncoder()
const sizeOf = (text: string): number => encoder.encode(text).length

export function textOfPlace(place: Place): string {
  return JSON.stringify(place)
}

/** The fields of an object in JSON, none of them checked; undefined for any other text. */
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

/** Undefined for what is none. */
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

export function storyOf(cancellation: Cancellation): Story {
  const { origin, kind, reason, at } = cancellation
  // What has come from elsewhere says where from.
  const where = origin instanceof Elsewhere ? '' : ` in process ${process.pid}`
  const why = reason === undefined ? undefined : encodeReason(reason, saidIn(cancellation), true, REASON_BYTES, sizeOf)
  const { name } = origin as CancellationToken
  return { kind, ago: now() - at, name, what: origin.explain(kind) + where, reason: why }
}

/** What it means here. */
export function cancellationFrom({ kind, ago, name, what, reason }: Story, { pid }: Place): Cancellation {
  const origin = new Elsewhere('OtherProcess', { name, what })
  const crossed = reason ? decodeReason(reason, `process ${pid}`) : { reason: undefined, saying: undefined }
  return arrived(origin, kind, crossed, now() - ago)
}

export function lineOf(standing: Standing): string {
  return `${JSON.stringify(standing)}\n`
}

/** How the token stands by a line that has arrived; undefined for what is no such line. */
export function standingOf(line: string): Standing | undefined {
  const { type, name, ahead, story } = fieldsOf(line) ?? {}
  const called = textIn(name)
  if (type === 'closed') return { type }
  if (type === 'live') return { type, name: called, ahead: storyIn(ahead) }
  const told = type === 'over' && storyIn(story)
  return told ? { type: 'over', name: called, story: told } : undefined
}

function storyIn(value: unknown): Story | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { kind, ago, name, what, reason } = value as { readonly [K in keyof Story]?: unknown }
  if (!Number.isFinite(ago) || typeof what !== 'string') return undefined
  return { kind: kindFrom(kind), ago: ago as number, name: textIn(name), what, reason: textIn(reason) }
}

const textIn = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)

/** Takes text as it comes, and gives whole lines. */
export class Lines {
  #rest = ''

  take(text: string): readonly string[] {
    const lines = (this.#rest + text).split('\n')
    this.#rest = lines.pop() as string
    return lines
  }

  /** How much of a line there is that has not ended. */
  get unfinished(): number {
    return this.#rest.length
  }
}
