/**
 * A hub whose connection lives in a background thread, the worker. The tokens live in this thread, and local effects happen here at once.
 * The worker has a hub that keeps the promises about connections (H3, H4, H9, H10), with a proxy for each token here.
 *
 * Invariants
 * BH1. A poll and the event loop both receive the events that cancel a token here: see mailbox.ts.
 * BH2. A cancel is kept here until it is stored, so it outlives the worker.
 * BH3. The worker has a proxy for every token here, under the same id. A new worker receives all tokens again.
 */
import { wrongType } from '../../core/arguments.js'
import type { Cancellation } from '../../core/graph.js'
import type { CancelRequest, LeaseRequest } from '../client/arguments.js'
import { HubBase } from '../client/hub-base.js'
import { credentialsOf, type Settings, settingsOf } from '../client/options.js'
import { type PendingCancel, PendingCancels } from '../client/pending-cancels.js'
import type { ReceiptRecord } from '../client/receipts.js'
import type { Registration } from '../client/registration.js'
import { inTime } from '../contract/deferred.js'
import { type Engine, type MarkRecord, OPEN, type Topic, type TopicReport } from '../contract/engine.js'
import type { HubEvent, HubOptions, HubState } from '../contract/hub.js'
import { keepProcessAlive } from '../contract/keep-alive.js'
import { thisProcess } from '../contract/mark.js'
import { LeaseToken } from '../contract/remote-token.js'
import { placeOf } from '../registry/place.js'
import { restoreError, restoreEvent, type WorkerEvent } from './messages.js'
import { WorkerConnection, type WorkerTarget } from './worker-connection.js'

/** Milliseconds that the worker may take to answer `close`, beyond the limit of the caller. */
const LAST_ANSWER = 1_000

export class BackgroundHub extends HubBase {
  /** @internal */
  readonly worker: WorkerConnection
  /** The outbox of the worker decides whether a cancel gets a mark of its own (CO2). */
  protected readonly cancels = new PendingCancels()
  protected readonly engine: string
  /** The ids of tokens that were closed while there was no worker. */
  readonly #left = new Set<number>()
  #state: HubState = 'connecting'

  /** Errors: those of `connectHub`; `TypeError` for options that cannot be sent to another thread. */
  static async connect(
    url: string | URL | Engine,
    options: HubOptions,
    session: string,
    program: string | URL | undefined,
  ): Promise<BackgroundHub> {
    if (typeof url === 'object' && !(url instanceof URL)) {
      throw wrongType('url', 'a string or a URL, because `background` cannot move an engine to another thread', url)
    }
    const settings = settingsOf(options)
    credentialsOf(options) // Checked here. The engine is made in the thread.
    const hub = new BackgroundHub(settings, { url: String(url), options, session }, program)
    try {
      await keepProcessAlive(() => hub.worker.open(settings.lazy))
    } catch (error) {
      await hub.shut()
      throw error
    }
    return hub
  }

  private constructor(settings: Settings, target: WorkerTarget, program: string | URL | undefined) {
    // The hub in the worker has the same session and different mark ids.
    super(settings, thisProcess(), `${target.session} in the background`)
    // A URL that is not valid is refused by the worker.
    this.engine = URL.canParse(target.url) ? placeOf(new URL(target.url)) : ''
    this.worker = new WorkerConnection(target, settings, program, {
      event: (event) => this.#hear(event),
      lost: (error, retryIn) => {
        this.tell({ type: 'disconnected', error, retryIn })
        // While there is a worker, the worker does that.
        this.startGiveUp()
      },
      restarted: () => this.#repeat(),
    })
  }

  get state(): HubState {
    this.worker.poll()
    return this.#state
  }

  protected entered({ id, topic, role, onDisconnect }: Registration): void {
    this.worker.post({ type: 'enter', id, topic, role, onDisconnect })
  }

  protected advanced({ id, state }: Registration): void {
    this.worker.post({ type: 'changed', id, state })
  }

  protected left({ id }: Registration): void {
    if (!this.worker.post({ type: 'leave', id })) this.#left.add(id)
  }

  protected store(topic: Topic, record: MarkRecord, ttl: number, cancellation: Cancellation): PendingCancel {
    this.worker.post({ type: 'store', topic, record, ttl })
    return this.cancels.add(topic, record, ttl, cancellation)
  }

  protected storeAndCount(
    request: CancelRequest,
    record: MarkRecord,
    cancellation: Cancellation,
  ): Promise<ReceiptRecord> {
    this.cancels.add(request.topic, record, request.ttl, cancellation)
    return this.worker.call('cancel', { request, record })
  }

  protected reports(prefix: string): Promise<readonly TopicReport[]> {
    return this.worker.call('list', { prefix })
  }

  protected async forgetMark(topic: Topic): Promise<void> {
    await this.worker.call('forget', { topic })
  }

  protected takeLease(registration: Registration, request: LeaseRequest): Promise<LeaseToken> {
    return this.worker.call('lease', { id: registration.id, request }, ({ fence, expiry }) => {
      const token = new LeaseToken(registration, fence, expiry)
      this.tokens.add(registration, token)
      registration.readiness.settle()
      return token
    })
  }

  protected async finish(timeout: number): Promise<number> {
    const answered = this.worker.call('close', { timeout }).catch(() => undefined)
    // If the worker does not answer or has ended, all cancels that are kept here are undelivered.
    return (await inTime(answered, timeout + LAST_ANSWER)) ?? this.cancels.all.length
  }

  protected disconnect(): Promise<void> {
    this.#state = 'closed'
    return this.worker.close()
  }

  protected override tell(event: HubEvent): void {
    if (event.type === 'connected') this.stopGiveUp()
    if (event.type === 'connected' || event.type === 'disconnected') this.#state = event.type
    super.tell(event)
  }

  // ---- The worker

  #hear(event: WorkerEvent): void {
    switch (event.type) {
      case 'cancelled': {
        const registrations = event.ids.flatMap((id) => this.tokens.get(id) ?? [])
        for (const { delivery } of registrations) delivery.settle()
        return this.cancelBy(event.mark, registrations)
      }
      case 'cancelled-here':
        return this.tokens.get(event.id)?.token?.cancelHere(event.kind)
      case 'ready':
        return this.tokens.get(event.id)?.readiness.settle(event.error && restoreError(event.error))
      case 'stored':
        return this.#stored(event.topic, event.id, event.mark)
      case 'extended': {
        const token = this.tokens.get(event.id)?.token
        if (token instanceof LeaseToken) token.extend(event.expiry)
        return undefined
      }
      case 'event':
        // This thread reports that the hub is closed.
        if (event.event.type !== 'closed') this.tell(restoreEvent(event.event))
        return undefined
      default:
        return undefined
    }
  }

  #stored(topic: Topic, id: string, mark: MarkRecord): void {
    const pending = this.cancels.of(topic).find(({ record }) => record.id === id)
    if (!pending) return
    this.cancels.remove(pending)
    pending.stored.resolve(mark)
    for (const { delivery } of this.tokens.of(topic)) delivery.settle()
    this.acknowledged(topic, mark, id)
  }

  /** Sends a new worker the whole state of the last one (BH3). A lease is not taken again: its token is cancelled at its deadline. */
  #repeat(): void {
    for (const id of this.#left) this.worker.post({ type: 'leave', id })
    this.#left.clear()
    for (const registration of this.tokens.all) {
      if (registration.role === 'lease') continue
      this.entered(registration)
      if (registration.state > OPEN) this.advanced(registration)
    }
    for (const { topic, record, ttl } of this.cancels.all) this.worker.post({ type: 'store', topic, record, ttl })
  }
}
