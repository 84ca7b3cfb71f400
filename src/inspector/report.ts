/**
 * What a process reports of its tokens, scopes and tasks, and how a report from another process is checked.
 *
 * Moments are milliseconds since 1970, as `Date.now()` gives them.
 */

/** A token, a scope or a task. A scope and a task stand for their own tokens. */
export interface NodeReport {
  /** Different for each node of the process. The same in all its reports, except for a task that waits. */
  readonly id: number
  readonly what: 'token' | 'scope' | 'task'
  readonly name?: string | undefined
  /** For a token: the call that makes it, as `console.log` prints it. */
  readonly call?: string | undefined
  /** For a token: the time or the polls that it has left. */
  readonly left?: string | undefined
  /** The nodes that it derives from, or belongs to. */
  readonly parents: readonly number[]
  /** Only a task can be `'waiting'`: for its turn. */
  readonly state: 'live' | 'waiting' | 'cancelled'
  /** The moment of its start. Undefined for a token. */
  readonly since?: number | undefined
  /** Where it was started, as a line of a stack. */
  readonly startedAt?: string | undefined
  /** For a scope: whether its body has not ended. */
  readonly isBodyRunning?: boolean | undefined
  /** If it is cancelled: when, and why. */
  readonly cancelled?: CancelReport | undefined
}

/** A cancellation. */
export interface CancelReport {
  readonly at: number
  readonly kind: string
  /** What happened, and to which token: `token "server" was cancelled`. */
  readonly what: string
  readonly reason?: string | undefined
  /** The code that has cancelled, as a line of a stack. Undefined if no call has. */
  readonly cancelledAt?: string | undefined
}

/** A failure that reached no caller, because the operation had settled. */
export interface LateReport {
  readonly at: number
  readonly operation: string
  readonly message: string
}

/** The state of the tokens, as the main thread knows it. */
export interface Snapshot {
  /** When it was taken. */
  readonly at: number
  readonly nodes: readonly NodeReport[]
  /** The cancellations of the last minute, the latest ones if there were many. */
  readonly cancels: readonly CancelReport[]
  readonly lateErrors: readonly LateReport[]
  /** How many nodes were left out, because there are too many. */
  readonly omitted: number
}

/** The code that the main thread is busy with, as far as it is known. */
export interface BusyReport {
  /** The last moment at which the main thread is known to have answered. */
  readonly since: number
  /** The task, or the body of a scope, that runs and has not returned or awaited anything yet. */
  readonly within?:
    | { readonly what: string; readonly since: number; readonly startedAt?: string | undefined }
    | undefined
  /** The calls that are running, the innermost first. Empty if the runtime cannot tell. */
  readonly frames: readonly string[]
}

/** The answer of a process. */
export interface ProcessReport {
  readonly pid: number
  readonly command: string
  /** The moment of its start. */
  readonly since: number
  /** Such as `node 24.1.0`. */
  readonly runtime: string
  /** Whether `calloff tree --cancel` may cancel its tokens. */
  readonly mayCancel: boolean
  /** Defined if the main thread did not answer in time. The snapshot is then the last one that it has sent. */
  readonly busy?: BusyReport | undefined
  readonly snapshot?: Snapshot | undefined
}

/** A question to a process. */
export type Question =
  /** Without the snapshot: for a list of processes. */
  | { readonly ask: 'process' }
  | { readonly ask: 'tree' }
  | { readonly ask: 'cancel'; readonly path: string; readonly reason?: string | undefined }

/** What has become of a cancel: the path of the token, or why it was refused. */
export type CancelAnswer =
  | { readonly cancelled: string; readonly before: boolean }
  | { readonly refused: string; readonly paths?: readonly string[] | undefined }

/** The most nodes of a snapshot, and the most of each list that a reader accepts. */
export const MOST_NODES = 1_000
export const MOST_EVENTS = 100
/** The longest text that a report has, in UTF-16 code units. A longer one is cut. */
export const LONGEST_TEXT = 1_000
/** The longest message in bytes. */
export const LONGEST_QUESTION = 65_536
export const LONGEST_ANSWER = 32 * 1_048_576

/** Cuts a text to the length that reports have. */
export function cut(text: string): string {
  return text.length <= LONGEST_TEXT ? text : `${text.slice(0, LONGEST_TEXT - 1)}…`
}

// ---- Checks of answers from another process. Texts may still contain any characters.

/** The text is not an answer in this format. */
export class BadReportError extends Error {}

type Fields = Readonly<Record<string, unknown>>

function fieldsOf(value: unknown, what: string): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields
  throw new BadReportError(`${what} is no object`)
}

function textIn(fields: Fields, key: string): string {
  const value = fields[key]
  if (typeof value !== 'string') throw new BadReportError(`${key} is no text`)
  return cut(value)
}

function numberIn(fields: Fields, key: string): number {
  const value = fields[key]
  if (typeof value !== 'number' || !Number.isFinite(value)) throw new BadReportError(`${key} is no number`)
  return value
}

function idFrom(value: unknown): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw new BadReportError('an id is no whole number')
  return value as number
}

function listIn<T>(fields: Fields, key: string, most: number, read: (one: unknown) => T): T[] {
  const value = fields[key]
  if (!Array.isArray(value)) throw new BadReportError(`${key} is no list`)
  if (value.length > most) throw new BadReportError(`${key} is longer than ${most}`)
  return value.map((one) => read(one))
}

function optionalIn<T>(fields: Fields, key: string, read: (fields: Fields, key: string) => T): T | undefined {
  return fields[key] === undefined ? undefined : read(fields, key)
}

function oneOf<T extends string>(fields: Fields, key: string, all: readonly T[]): T {
  const value = fields[key] as T
  if (!all.includes(value)) throw new BadReportError(`${key} is none of ${all.join(', ')}`)
  return value
}

function booleanIn(fields: Fields, key: string): boolean {
  const value = fields[key]
  if (typeof value !== 'boolean') throw new BadReportError(`${key} is no boolean`)
  return value
}

function nodeFrom(value: unknown): NodeReport {
  const fields = fieldsOf(value, 'a node')
  return {
    id: idFrom(fields['id']),
    what: oneOf(fields, 'what', ['token', 'scope', 'task']),
    name: optionalIn(fields, 'name', textIn),
    call: optionalIn(fields, 'call', textIn),
    left: optionalIn(fields, 'left', textIn),
    parents: listIn(fields, 'parents', MOST_NODES, idFrom),
    state: oneOf(fields, 'state', ['live', 'waiting', 'cancelled']),
    since: optionalIn(fields, 'since', numberIn),
    startedAt: optionalIn(fields, 'startedAt', textIn),
    isBodyRunning: optionalIn(fields, 'isBodyRunning', booleanIn),
    cancelled: optionalIn(fields, 'cancelled', (all, key) => cancelFrom(all[key])),
  }
}

function cancelFrom(value: unknown): CancelReport {
  const fields = fieldsOf(value, 'a cancellation')
  return {
    at: numberIn(fields, 'at'),
    kind: textIn(fields, 'kind'),
    what: textIn(fields, 'what'),
    reason: optionalIn(fields, 'reason', textIn),
    cancelledAt: optionalIn(fields, 'cancelledAt', textIn),
  }
}

function lateFrom(value: unknown): LateReport {
  const fields = fieldsOf(value, 'a late error')
  return { at: numberIn(fields, 'at'), operation: textIn(fields, 'operation'), message: textIn(fields, 'message') }
}

function snapshotFrom(value: unknown): Snapshot {
  const fields = fieldsOf(value, 'the snapshot')
  return {
    at: numberIn(fields, 'at'),
    nodes: listIn(fields, 'nodes', MOST_NODES, nodeFrom),
    cancels: listIn(fields, 'cancels', MOST_EVENTS, cancelFrom),
    lateErrors: listIn(fields, 'lateErrors', MOST_EVENTS, lateFrom),
    omitted: idFrom(fields['omitted']),
  }
}

function busyFrom(value: unknown): BusyReport {
  const fields = fieldsOf(value, 'busy')
  const readWithin = (all: Fields, key: string) => {
    const within = fieldsOf(all[key], key)
    return {
      what: textIn(within, 'what'),
      since: numberIn(within, 'since'),
      startedAt: optionalIn(within, 'startedAt', textIn),
    }
  }
  return {
    since: numberIn(fields, 'since'),
    within: optionalIn(fields, 'within', readWithin),
    frames: listIn(fields, 'frames', MOST_EVENTS, (one) => textIn({ one }, 'one')),
  }
}

function jsonFrom(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new BadReportError('the answer is no JSON')
  }
}

/** Reads the answer to `'process'` and `'tree'`. Errors: {@link BadReportError} for any other text. */
export function reportFrom(text: string): ProcessReport {
  const fields = fieldsOf(jsonFrom(text), 'the answer')
  return {
    pid: idFrom(fields['pid']),
    command: textIn(fields, 'command'),
    since: numberIn(fields, 'since'),
    runtime: textIn(fields, 'runtime'),
    mayCancel: booleanIn(fields, 'mayCancel'),
    busy: optionalIn(fields, 'busy', (all, key) => busyFrom(all[key])),
    snapshot: optionalIn(fields, 'snapshot', (all, key) => snapshotFrom(all[key])),
  }
}

/** Reads the answer to `'cancel'`. Errors: {@link BadReportError} for any other text. */
export function cancelAnswerFrom(text: string): CancelAnswer {
  const fields = fieldsOf(jsonFrom(text), 'the answer')
  if (fields['refused'] === undefined) {
    return { cancelled: textIn(fields, 'cancelled'), before: booleanIn(fields, 'before') }
  }
  const pathsIn = (all: Fields, key: string) => listIn(all, key, MOST_EVENTS, (one) => textIn({ one }, 'one'))
  return { refused: textIn(fields, 'refused'), paths: optionalIn(fields, 'paths', pathsIn) }
}

/** Reads a question. Returns undefined for any other text. */
export function questionFrom(text: string): Question | undefined {
  try {
    const fields = fieldsOf(jsonFrom(text), 'the question')
    const ask = oneOf(fields, 'ask', ['process', 'tree', 'cancel'])
    if (ask !== 'cancel') return { ask }
    return { ask, path: textIn(fields, 'path'), reason: optionalIn(fields, 'reason', textIn) }
  } catch {
    return undefined
  }
}
