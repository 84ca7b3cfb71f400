/**
 * The common part of every hub, wherever its connection is: it checks arguments, makes tokens, cancels local tokens at once, and settles
 * promises. Everything that needs the connection is in hub-client.ts, which has one, and in background/hub.ts, whose connection is in
 * another thread.
 *
 * Invariants
 * HB1. A cancel has taken effect here, and is among the pending cancels, before the call that makes it returns (H3).
 * HB2. A token that is opened while a cancel of its name is pending has the same cancellation: the same error, the same reason.
 */
import { after, now, readWall } from '../../core/clock.js'
import { Cancellation, errorOf, attribute } from '../../core/graph.js'
import { type TokenOrSignal, type Registration as Listening, SimpleToken } from '../../core/token.js'
import type { Callee } from '../../core/traces.js'
import type { MarkRecord, Topic, TopicReport } from '../contract/engine.js'
import { closed, HubError } from '../contract/errors.js'
import type {
  CancelOptions,
  ExposeOptions,
  Exposure,
  HubEvent,
  HubState,
  LeaseOptions,
  Listing,
  OpenOptions,
  Receipt,
  NameOptions,
  TokenHub,
  Who,
} from '../contract/hub.js'
import { keepProcessAlive } from '../contract/keep-alive.js'
import { cancellationFrom, markIdsOf, recordOf } from '../contract/mark.js'
import { type LeaseToken, RemoteToken } from '../contract/remote-token.js'
import { prefixOf } from '../contract/topic.js'
import {
  type CancelRequest,
  cancelRequest,
  closeTimeout,
  exposeRequest,
  type LeaseRequest,
  leaseRequest,
  openRequest,
  topicRequest,
} from './arguments.js'
import { EventListeners } from './event-listeners.js'
import { ExposedToken } from './exposed-token.js'
import { cancelOf, type HubCancel, isHeard, messageOf, publish } from './hub-channel.js'
import { OpenTokens } from './open-tokens.js'
import type { Settings } from './options.js'
import type { PendingCancel, PendingCancels } from './pending-cancels.js'
import { listingsFrom, receiptFrom, type ReceiptRecord } from './receipts.js'
import { replace } from './replacement.js'
import { type RegisteredToken, Registration, type RegistrationHub, type Role } from './registration.js'

export abstract class HubBase implements TokenHub, RegistrationHub {
  protected readonly settings: Settings
  protected readonly tokens = new OpenTokens((registration) => this.leave(registration))
  protected isClosed = false
  readonly #process: { readonly host: string; readonly pid: number }
  readonly #newMarkId: () => string
  readonly #listeners = new EventListeners()
  /** The tokens that wait until the tokens before them have finished. The engine does not know them yet. */
  readonly #replacing = new Map<Registration, RemoteToken>()
  #stopGiveUp: (() => void) | undefined

  /** @param marks a text that is unique to this hub. The ids of marks are derived from it. */
  constructor(settings: Settings, { host, pid }: { readonly host: string; readonly pid: number }, marks: string) {
    this.settings = settings
    this.#process = { host, pid }
    this.#newMarkId = markIdsOf(marks)
  }

  // ---- What subclasses do over the connection

  abstract readonly state: HubState
  /** The server, as text without secrets. */
  protected abstract readonly engine: string
  /** @internal */
  abstract readonly worker: RegistrationHub['worker']
  protected abstract readonly cancels: PendingCancels

  /** Tells the engine that a token was opened or exposed. */
  protected abstract entered(registration: Registration): void
  /** Tells the engine that the state of a token has changed. */
  protected abstract advanced(registration: Registration): void
  /** Tells the engine that a token is no longer open. */
  protected abstract left(registration: Registration): void
  /** Keeps a cancel until it is stored, and sends it. */
  protected abstract store(topic: Topic, record: MarkRecord, ttl: number, cancellation: Cancellation): PendingCancel
  /** Does the same as `store`, and counts the holders. */
  protected abstract storeAndCount(
    request: CancelRequest,
    record: MarkRecord,
    cancellation: Cancellation,
  ): Promise<ReceiptRecord>
  protected abstract reports(prefix: string): Promise<readonly TopicReport[]>
  protected abstract forgetMark(topic: Topic): Promise<void>
  /** Takes a lease, and registers its token. */
  protected abstract takeLease(registration: Registration, request: LeaseRequest): Promise<LeaseToken>
  /**
   * Delivers pending cancels, releases leases and ends the session, for at most `timeout` milliseconds. Resolves with the number of
   * cancels that were not delivered.
   */
  protected abstract finish(timeout: number): Promise<number>
  /** Closes the connection. Nothing is sent afterwards. */
  protected abstract disconnect(): Promise<void> | void

  // ---- Methods for callers

  open(name: string, options?: OpenOptions): RemoteToken {
    const { topic, onDisconnect, replaceIn } = openRequest(name, options)
    const registration = this.register(topic, 'open', onDisconnect)
    const token = new RemoteToken(registration)
    if (replaceIn === undefined) this.#enterOpen(registration, token)
    else {
      this.#replacing.set(registration, token)
      void this.#replace(registration, token, replaceIn)
    }
    return token
  }

  #enterOpen(registration: Registration, token: RemoteToken): void {
    const { topic } = registration
    this.enter(registration, token)
    const cancellation = this.cancels.first(topic)?.cancellation
    if (cancellation) token.applyCancel(cancellation, this.whoOf(topic))
  }

  async #replace(registration: Registration, token: RemoteToken, timeout: number): Promise<void> {
    const { topic, readiness, delivery } = registration
    try {
      await replace(topic, timeout, {
        isOver: () => token.readsCancelled,
        lease: (name, options) => this.lease(name, options),
        cancel: (within) =>
          this.#cancel({ topic, until: 'finished', timeout: within, ttl: this.settings.ttl }, 'superseded', undefined),
        forget: () => keepProcessAlive(() => this.forgetMark(topic)),
        enter: async () => {
          // If the token was closed meanwhile, there is nothing to enter.
          if (!this.#replacing.delete(registration)) return
          this.#enterOpen(registration, token)
          await readiness.promise
        },
      })
    } catch (error) {
      readiness.settle(error as Error)
      delivery.settle(error as Error)
      token.close()
    }
  }

  async cancel(name: string, reason?: unknown, options?: CancelOptions): Promise<Receipt> {
    return this.#cancel(cancelRequest(name, options, this.settings.ttl), 'manual', reason)
  }

  async #cancel(request: CancelRequest, kind: 'manual' | 'superseded', reason: unknown): Promise<Receipt> {
    if (this.isClosed) throw closed()
    const { topic } = request
    const origin = new SimpleToken({ name: topic.name })
    const cancellation = new Cancellation(origin, kind, reason, now())
    attribute(origin, cancellation)
    const record = this.#record(topic, cancellation)
    const counted = this.storeAndCount(request, record, cancellation)
    this.#sent(topic, record)
    errorOf(cancellation, cancel)
    this.tokens.applyCancel(topic, cancellation, this.whoOf(topic))
    return receiptFrom(await keepProcessAlive(() => counted))
  }

  expose(name: string, token: TokenOrSignal, options?: ExposeOptions): Exposure {
    const { topic, source, cancellable } = exposeRequest(name, token, options)
    const registration = this.register(topic, 'exposed', 'keep')
    const exposed = new ExposedToken(registration, source, cancellable)
    this.enter(registration, exposed)
    exposed.begin()
    return exposed
  }

  async list(prefix = ''): Promise<readonly Listing[]> {
    const checked = prefixOf(prefix)
    return listingsFrom(await keepProcessAlive(() => this.reports(checked)))
  }

  async forget(name: string, options?: NameOptions): Promise<void> {
    const topic = topicRequest(name, options)
    await keepProcessAlive(() => this.forgetMark(topic))
  }

  async lease(name: string, options: LeaseOptions): Promise<LeaseToken> {
    const request = leaseRequest(name, options)
    const registration = this.register(request.topic, 'lease', 'keep')
    return keepProcessAlive(() => this.takeLease(registration, request))
  }

  onEvent(listener: (event: HubEvent) => void): Listening {
    return this.#listeners.add(listener)
  }

  async close(options?: { readonly timeout?: number | undefined }): Promise<void> {
    const timeout = closeTimeout(options)
    if (this.isClosed) return
    const undelivered = await keepProcessAlive(() => this.finish(timeout))
    await this.shut()
    if (undelivered > 0) {
      throw new HubError('ERR_HUB_UNREACHABLE', `${undelivered} cancels were not delivered before the hub was closed`)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  // ---- Methods for tokens

  /** @internal */
  whoOf({ name }: Topic): Who {
    // Without a spread, which is slower: every cancel passes here.
    const { host, pid } = this.#process
    return { host, pid, token: name }
  }

  /** @internal */
  deliver(topic: Topic, cancellation: Cancellation, callee: Callee | undefined): void {
    const record = this.#record(topic, cancellation)
    this.store(topic, record, this.settings.ttl, cancellation)
    this.#sent(topic, record)
    if (callee) errorOf(cancellation, callee)
    this.tokens.applyCancel(topic, cancellation, this.whoOf(topic))
  }

  /** @internal */
  changed(registration: Registration, isLocal: boolean): void {
    if (!this.tokens.has(registration)) return
    const { topic, delivery } = registration
    // A token that is cancelled in this process only has nothing to deliver.
    if (isLocal && !this.cancels.first(topic)) delivery.settle(closed())
    this.advanced(registration)
  }

  /** @internal */
  leave(registration: Registration): void {
    const { topic, readiness, delivery } = registration
    const isReplacing = this.#replacing.delete(registration)
    if (isReplacing || this.tokens.has(registration)) readiness.settle(closed())
    if (isReplacing) delivery.settle(closed())
    if (!this.tokens.remove(registration)) return
    const pending = this.cancels.first(topic)
    if (pending) {
      pending.stored.promise.then(
        () => delivery.settle(),
        (error: unknown) => delivery.settle(error as Error),
      )
    } else delivery.settle(closed())
    this.left(registration)
  }

  // ---- Methods for both kinds of hub

  /** Must be called before the token is made, and `enter` or `tokens.add` afterwards. */
  protected register(
    topic: Topic,
    role: Role,
    onDisconnect = this.settings.onDisconnect,
    id = this.tokens.nextId(),
  ): Registration {
    if (this.isClosed) throw closed()
    return new Registration(this, id, topic, role, Math.max(0, readWall()), onDisconnect)
  }

  protected enter(registration: Registration, token: RegisteredToken): void {
    this.tokens.add(registration, token)
    this.entered(registration)
  }

  /** Cancels tokens here by the mark of another process. All of them share one error. They have the same topic. */
  protected cancelBy(mark: MarkRecord, registrations: readonly Registration[]): void {
    const [first] = registrations
    if (!first) return
    // A mark of this hub may come back before the cancel that has made it has returned (HB2).
    const own = this.cancels.of(first.topic).find(({ record }) => record.id === mark.id)?.cancellation
    if (own) return this.tokens.applyCancel(first.topic, own, this.whoOf(first.topic))
    const { found, who } = cancellationFrom(mark)
    if (isHeard()) this.#received(mark, registrations)
    for (const { token } of registrations) token?.applyCancel(found, who)
  }

  protected tell(event: HubEvent): void {
    if (isHeard()) this.publish(messageOf(event))
    this.#listeners.tell(event)
  }

  /** Publishes on `calloff:hub`. It must be heard. */
  protected publish(message: ReturnType<typeof messageOf> | HubCancel): void {
    publish({ hub: this, engine: this.engine, ...message })
  }

  protected publishCancel(...[type, topic, mark, id, tokens]: Parameters<typeof cancelOf>): void {
    if (isHeard()) this.publish(cancelOf(type, topic, mark, id, tokens))
  }

  /** A cancel of its own was stored. `mark` is the mark that is stored, `id` that of the cancel. */
  protected acknowledged(topic: Topic, mark: MarkRecord, id: string): void {
    this.publishCancel('cancel-acknowledged', topic, mark, id)
  }

  /** The connection is lost. Tokens with `onDisconnect: 'cancel'` are cancelled after `disconnectAfter`, unless `stopGiveUp` is called first. */
  protected startGiveUp(): void {
    const ring = () => {
      this.#stopGiveUp = undefined
      const tokens = this.tokens.giveUp()
      if (tokens > 0) this.tell({ type: 'gave-up', tokens })
    }
    this.#stopGiveUp ??= after(this.settings.disconnectAfter, ring, false)
  }

  protected stopGiveUp(): void {
    this.#stopGiveUp?.()
    this.#stopGiveUp = undefined
  }

  protected async shut(): Promise<void> {
    if (this.isClosed) return
    this.isClosed = true
    this.stopGiveUp()
    const disconnected = this.disconnect()
    this.cancels.close()
    for (const token of this.#replacing.values()) token.close()
    for (const registration of this.tokens.all) {
      registration.token?.close()
      this.leave(registration)
    }
    this.tell({ type: 'closed' })
    await disconnected
  }

  #received(mark: MarkRecord, registrations: readonly Registration[]): void {
    const live = registrations.filter(({ token }) => token?.readsCancelled === false)
    const [first] = live
    if (first) this.publishCancel('cancel-received', first.topic, mark, mark.id, live.length)
  }

  /** A cancel that another one stands for (CO2) is not sent. */
  #sent(topic: Topic, record: MarkRecord): void {
    if (!isHeard() || !this.cancels.of(topic).some((pending) => pending.record === record)) return
    this.publishCancel('cancel-sent', topic, record, record.id)
  }

  #record(topic: Topic, cancellation: Cancellation): MarkRecord {
    return recordOf(cancellation, this.#newMarkId(), this.whoOf(topic))
  }
}

// The stack of an error begins with the caller of this method.
// oxlint-disable-next-line typescript/unbound-method -- only passed to the JavaScript engine, never called
const { cancel } = HubBase.prototype
