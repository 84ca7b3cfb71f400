/** The messages between a background hub and its worker: plain data. */
import type { CancelRequest, LeaseRequest } from '../client/arguments.js'
import type { MarkRecord, Topic, TopicReport } from '../contract/engine.js'
import { HubError, type HubErrorCode } from '../contract/errors.js'
import type { Expiry } from '../contract/expiry.js'
import type { Registration } from '../client/registration.js'
import type { HubEvent, HubOptions } from '../contract/hub.js'
import type { ReceiptRecord } from '../client/receipts.js'

/** The first message to the worker. */
export interface WorkerStart {
  readonly url: string
  readonly options: Omit<HubOptions, 'background' | 'worker'>
  /** The same for every worker of a hub. */
  readonly session: string
  /** The port for the events of the worker. */
  readonly port: unknown
  /** See mailbox.ts. */
  readonly bell: Int32Array<SharedArrayBuffer>
}

/** The calls to the worker, and their answers. */
export interface Calls {
  connect: { readonly ask: { readonly lazy: boolean }; readonly answer: undefined }
  cancel: {
    readonly ask: { readonly request: CancelRequest; readonly record: MarkRecord }
    readonly answer: ReceiptRecord
  }
  list: { readonly ask: { readonly prefix: string }; readonly answer: readonly TopicReport[] }
  forget: { readonly ask: { readonly topic: Topic }; readonly answer: undefined }
  lease: {
    readonly ask: { readonly id: number; readonly request: LeaseRequest }
    readonly answer: { readonly fence: number; readonly expiry: Expiry }
  }
  /** Answers with the number of cancels that were not delivered. */
  close: { readonly ask: { readonly timeout: number }; readonly answer: number }
}

type Call = { [K in keyof Calls]: { readonly what: K; readonly ask: Calls[K]['ask'] } }[keyof Calls]

/** A message to the worker. */
export type WorkerRequest =
  | ({ readonly type: 'enter' } & Pick<Registration, 'id' | 'topic' | 'role' | 'onDisconnect'>)
  /** A token has reached `state`. */
  | { readonly type: 'changed'; readonly id: number; readonly state: number }
  | { readonly type: 'leave'; readonly id: number }
  | { readonly type: 'store'; readonly topic: Topic; readonly record: MarkRecord; readonly ttl: number }
  | ({ readonly type: 'call'; readonly call: number } & Call)

/** A request, and when it was sent by the clock of the hub's thread: see clocks in worker.ts. */
export type TimedRequest = WorkerRequest & { readonly at: number }

/** A message of the worker. */
export type WorkerEvent =
  /** The worker runs the right program and has received its first message. */
  | { readonly type: 'started' }
  /** Another process has cancelled these tokens. */
  | { readonly type: 'cancelled'; readonly ids: readonly number[]; readonly mark: MarkRecord }
  /** A token is cancelled, though its name was not. */
  | { readonly type: 'cancelled-here'; readonly id: number; readonly kind: 'disconnect' | 'lease' }
  | { readonly type: 'ready'; readonly id: number; readonly error?: PlainError | undefined }
  /** The cancel with that mark id is stored, or another mark was stored first: `mark`. */
  | { readonly type: 'stored'; readonly topic: Topic; readonly id: string; readonly mark: MarkRecord }
  /** A lease was renewed. */
  | { readonly type: 'extended'; readonly id: number; readonly expiry: Expiry }
  | { readonly type: 'event'; readonly event: PlainEvent }
  | {
      readonly type: 'answer'
      readonly call: number
      readonly value?: unknown
      readonly error?: PlainError | undefined
    }
  /** The worker is about to end. */
  | { readonly type: 'ending'; readonly error: PlainError | undefined }

/** An error as plain data. A structured clone would lose its class and its code. */
export interface PlainError {
  readonly name: string
  readonly message: string
  readonly code?: string | undefined
  readonly cause?: PlainError | undefined
}

/** An event with its error as plain data. */
export type PlainEvent =
  | Exclude<HubEvent, { readonly error: Error }>
  | {
      [E in HubEvent as E['type']]: E extends { readonly error: Error }
        ? Omit<E, 'error'> & { readonly error: PlainError }
        : never
    }['disconnected' | 'refused']

export function plainError(error: unknown, depth = 3): PlainError {
  const { name, message, code, cause } = error as Partial<Error> & { readonly code?: unknown }
  return {
    name: typeof name === 'string' ? name : 'Error',
    message: typeof message === 'string' ? message : String(error),
    code: typeof code === 'string' ? code : undefined,
    cause: cause instanceof Error && depth > 0 ? plainError(cause, depth - 1) : undefined,
  }
}

const classes: Readonly<Record<string, ErrorConstructor>> = { RangeError, TypeError }

export function restoreError({ name, message, code, cause }: PlainError): Error {
  const options = cause && { cause: restoreError(cause) }
  if (name === 'HubError') return new HubError(code as HubErrorCode, message, options)
  const error = new (classes[name] ?? Error)(message, options)
  if (error.name !== name) error.name = name
  return code === undefined ? error : Object.assign(error, { code })
}

export function plainEvent(event: HubEvent): PlainEvent {
  return 'error' in event ? { ...event, error: plainError(event.error) } : event
}

export function restoreEvent(event: PlainEvent): HubEvent {
  return 'error' in event ? { ...event, error: restoreError(event.error) } : event
}
