/** What a background hub and its thread say to each other: plain data. */
import type { CancellationKind } from '../../core/errors.js'
import type { Asked, AskedLease } from '../client/arguments.js'
import type { MarkRecord, Topic, TopicReport } from '../contract/engine.js'
import { HubError, type HubErrorCode } from '../contract/errors.js'
import type { Expiry } from '../contract/expiry.js'
import type { Holding } from '../client/registration.js'
import type { HubEvent, HubOptions } from '../contract/hub.js'
import type { Tallied } from '../client/receipts.js'

/** What the thread is started with. */
export interface Order {
  readonly url: string
  readonly options: Omit<HubOptions, 'background' | 'worker'>
  /** As the hub is known to the others, also after the thread was started again. */
  readonly session: string
  /** Where news go; rung by {@link Order.bell}. */
  readonly port: unknown
  /** See mailbox.ts. */
  readonly bell: Int32Array<SharedArrayBuffer>
}

/** What can be asked, and what comes back. */
export interface Calls {
  connect: { readonly ask: { readonly lazy: boolean }; readonly answer: undefined }
  cancel: { readonly ask: { readonly asked: Asked; readonly record: MarkRecord }; readonly answer: Tallied }
  list: { readonly ask: { readonly prefix: string }; readonly answer: readonly TopicReport[] }
  forget: { readonly ask: { readonly topic: Topic }; readonly answer: undefined }
  lease: {
    readonly ask: { readonly id: number; readonly asked: AskedLease }
    readonly answer: { readonly fence: number; readonly expiry: Expiry }
  }
  close: { readonly ask: { readonly within: number }; readonly answer: undefined }
}

type Call = { [K in keyof Calls]: { readonly what: K; readonly ask: Calls[K]['ask'] } }[keyof Calls]

/** What the thread is told. */
export type Request =
  | {
      readonly type: 'enter'
      readonly id: number
      readonly topic: Topic
      readonly role: Holding['role']
      readonly onDisconnect: 'keep' | 'cancel'
    }
  /** How a holder stands, once its listeners have run. */
  | { readonly type: 'changed'; readonly id: number; readonly state: number; readonly endsAlone: boolean }
  | { readonly type: 'leave'; readonly id: number }
  | { readonly type: 'send'; readonly topic: Topic; readonly record: MarkRecord; readonly ttl: number }
  | ({ readonly type: 'call'; readonly call: number } & Call)

/** A request, and when it was sent, by the clock of the hub's thread: see clocks in worker.ts. */
export type Sent = Request & { readonly at: number }

/** What the thread tells. */
export type News =
  /** It is the program that it should be, and has the order. */
  | { readonly type: 'started' }
  | { readonly type: 'over'; readonly id: number; readonly record: MarkRecord }
  | { readonly type: 'fell'; readonly id: number; readonly kind: CancellationKind }
  | { readonly type: 'ready'; readonly id: number; readonly error?: PlainError | undefined }
  /** A cancel is stored: by the mark of that id, or by one that stands for it. */
  | { readonly type: 'stored'; readonly topic: Topic; readonly id: string }
  /** A lease was renewed, and may be believed in until then. */
  | { readonly type: 'extended'; readonly id: number; readonly expiry: Expiry }
  | { readonly type: 'event'; readonly event: PlainEvent }
  | {
      readonly type: 'answer'
      readonly call: number
      readonly value?: unknown
      readonly error?: PlainError | undefined
    }
  /** The thread comes to its end. */
  | { readonly type: 'ending'; readonly error: PlainError | undefined }

/** An error as plain data: a clone would lose its class and code. */
export interface PlainError {
  readonly name: string
  readonly message: string
  readonly code?: string | undefined
  readonly cause?: PlainError | undefined
}

/** An event, its error as plain data. */
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

export function errorFrom({ name, message, code, cause }: PlainError): Error {
  const options = cause && { cause: errorFrom(cause) }
  if (name === 'HubError') return new HubError(code as HubErrorCode, message, options)
  const error = new (classes[name] ?? Error)(message, options)
  if (error.name !== name) error.name = name
  return code === undefined ? error : Object.assign(error, { code })
}

export function plainEvent(event: HubEvent): PlainEvent {
  return 'error' in event ? { ...event, error: plainError(event.error) } : event
}

export function eventFrom(event: PlainEvent): HubEvent {
  return 'error' in event ? { ...event, error: errorFrom(event.error) } : event
}
