/** The channel `calloff:hub` of `node:diagnostics_channel`. docs/reference/observability.md is the contract. */
import { channel } from 'node:diagnostics_channel'
import type { CancellationKind } from '../../core/errors.js'
import type { MarkRecord, Topic } from '../contract/engine.js'
import type { HubEvent, TokenHub, Who } from '../contract/hub.js'
import { markFrom } from '../contract/mark.js'

/** The hub of a message. */
export interface HubSource {
  readonly hub: TokenHub
  /** The server, as text without secrets: `redis://db:6379`. */
  readonly engine: string
}

/** What happened to a cancel on its way. */
export interface HubCancel {
  /**
   * - `'cancel-sent'`: this hub has taken a cancel, and sends it now, or as soon as there is a connection.
   * - `'cancel-acknowledged'`: the server has stored a cancel of this hub, or the mark of another one that came first.
   * - `'cancel-received'`: a cancel has arrived, and tokens here are about to be cancelled by it.
   */
  readonly type: 'cancel-sent' | 'cancel-acknowledged' | 'cancel-received'
  readonly name: string
  readonly runId: string
  /** Identifies the cancel, on all machines. */
  readonly id: string
  readonly kind: CancellationKind
  /** The reason of the cancel that was sent or received, as far as it could be encoded. */
  readonly reason: unknown
  /** The process that has cancelled. Of `'cancel-acknowledged'`: the one whose mark is stored. */
  readonly who: Who
  /** When, by the wall clock of the canceller. */
  readonly at: Date
  /** Of `'cancel-received'`: how many tokens here it concerns. */
  readonly tokens: number | undefined
}

type Renamed<E> = E extends { readonly type: 'disconnected' } ? Omit<E, 'type'> & { readonly type: 'lost' } : E

/** What `calloff:hub` publishes: the events of all hubs of this thread, with `'lost'` for `'disconnected'`, and cancels that are sent, acknowledged and received. */
export type HubMessage = HubSource & (Renamed<HubEvent> | HubCancel)

const hubs = channel('calloff:hub')

/** Whether there is a subscriber, so that messages must be made. */
export function isHeard(): boolean {
  return hubs.hasSubscribers
}

/** An error that a subscriber throws is an uncaught one. */
export function publish(message: HubMessage): void {
  hubs.publish(message)
}

export function messageOf(event: HubEvent): Renamed<HubEvent> {
  return event.type === 'disconnected' ? { ...event, type: 'lost' } : event
}

/** `mark` is the stored one, `id` that of the cancel. */
export function cancelOf(
  type: HubCancel['type'],
  { name, runId }: Topic,
  mark: MarkRecord,
  id: string,
  tokens?: number,
): HubCancel {
  return { type, name, runId, id, tokens, ...markFrom(mark) }
}
