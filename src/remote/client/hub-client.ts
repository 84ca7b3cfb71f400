/**
 * The hub with a connection of its own, over any engine. Its parts: the connection, which is restored when it is lost (connection.ts),
 * the synchronisation of open tokens (registry-sync.ts), undelivered cancels (cancel-outbox.ts) and leases (lease-keeper.ts).
 */
import { now } from '../../core/clock.js'
import type { Cancellation } from '../../core/graph.js'
import { inTime, repeat } from '../contract/deferred.js'
import type { Engine, MarkRecord, Topic, TopicReport } from '../contract/engine.js'
import type { Expiry } from '../contract/expiry.js'
import type { HubEvent, HubState } from '../contract/hub.js'
import { keepProcessAlive } from '../contract/keep-alive.js'
import { thisProcess } from '../contract/mark.js'
import { LeaseToken } from '../contract/remote-token.js'
import type { CancelRequest, LeaseRequest } from './arguments.js'
import { CancelOutbox } from './cancel-outbox.js'
import { Connection } from './connection.js'
import { HubBase } from './hub-base.js'
import { type Leased, LeaseKeeper } from './lease-keeper.js'
import type { Settings } from './options.js'
import type { PendingCancel } from './pending-cancels.js'
import { countHolders, type ReceiptRecord } from './receipts.js'
import type { RegisteredToken, Registration } from './registration.js'
import { RegistrySync } from './registry-sync.js'

/** The identity of a hub, and its source of random numbers. */
export interface ClientEnvironment {
  /** Different for every hub, and cannot be guessed. */
  readonly session: string
  readonly host: string
  readonly pid: number
  /** Returns a number from 0 to 1. */
  readonly random: () => number
}

export class HubClient extends HubBase {
  readonly #environment: ClientEnvironment
  readonly #connection: Connection
  readonly #sync: RegistrySync
  readonly #leases = new Map<Registration, LeaseKeeper>()
  protected readonly cancels: CancelOutbox
  protected readonly engine: string
  /** @internal */
  readonly worker = undefined
  #stopTimers = () => {}

  /** It connects only when `connect` is called. */
  constructor(engine: Engine, settings: Settings, environment: ClientEnvironment) {
    const { session: id, host, pid, random } = environment
    super(settings, environment, id)
    this.#environment = environment
    this.engine = engine.place
    const { timeout, first, most, sessionTtl: ttl } = settings
    const event = (one: HubEvent) => this.tell(one)
    this.#connection = new Connection(
      engine,
      { id, host, pid, ttl },
      { timeout, first, most, random },
      { opened: () => this.#opened(), notice: (state) => this.#sync.onNotice(state), event },
    )
    this.#sync = new RegistrySync(this.#connection, this.tokens, {
      cancel: (registrations, mark) => this.cancelBy(mark, registrations),
      event,
    })
    this.cancels = new CancelOutbox(this.#connection, (pending, mark) => this.#stored(pending, mark), event)
  }

  /** Makes the first connection. */
  async connect(lazy = this.settings.lazy): Promise<this> {
    const opening = this.#connection.open(lazy)
    if (lazy) {
      this.startGiveUp()
      opening.catch(() => {}) // an event reports the failure
    } else await keepProcessAlive(() => opening)
    return this
  }

  get state(): HubState {
    return this.#connection.state
  }

  // ---- Open tokens

  protected entered(registration: Registration): void {
    this.#sync.enter(registration)
    if (this.state === 'disconnected') this.startGiveUp()
  }

  protected advanced(registration: Registration): void {
    // A pending cancel goes first. When it is stored, the state is sent.
    if (!this.cancels.first(registration.topic)) this.#sync.announce(registration)
  }

  protected left(registration: Registration): void {
    const keeper = this.#leases.get(registration)
    this.#leases.delete(registration)
    if (keeper) void keeper.release()
    this.#sync.leave(registration)
  }

  /** Does the same as `left` for a token that only the engine knows. */
  protected leaveId(id: number): void {
    this.#sync.leaveId(id)
  }

  // ---- Cancels

  protected store(
    topic: Topic,
    record: MarkRecord,
    ttl: number,
    cancellation: Cancellation | undefined,
  ): PendingCancel {
    return this.cancels.add(topic, record, ttl, cancellation)
  }

  protected async storeAndCount(
    { topic, ttl, timeout, until }: CancelRequest,
    record: MarkRecord,
    cancellation: Cancellation | undefined,
  ): Promise<ReceiptRecord> {
    const began = now()
    // Sent together with the cancel and before it, so holders are counted before they react, even if this process is slow.
    const listed = this.#connection.call((link) => link.list({ topic })).catch(() => undefined)
    const pending = this.store(topic, record, ttl, cancellation)
    const left = () => (timeout === undefined ? undefined : Math.max(0, timeout - (now() - began)))
    const mark = await inTime(pending.stored.promise, left() ?? Infinity)
    return countHolders({
      topic,
      mark: mark ?? pending.record,
      delivered: mark !== undefined,
      before: mark && (await inTime(listed, left() ?? Infinity)),
      until,
      left: () => left() ?? 0,
      list: () => inTime(this.#listed(topic), left() ?? Infinity),
      isSettled: () => this.#connection.isSettled,
    })
  }

  /** Resolves with undefined if the engine refuses to list: the mark is stored all the same. */
  async #listed(topic: Topic): Promise<readonly TopicReport[] | undefined> {
    try {
      return await this.#connection.ask((link) => link.list({ topic }))
    } catch (error) {
      if (this.isClosed) throw error
      return undefined
    }
  }

  #stored({ topic, record }: PendingCancel, mark: MarkRecord): void {
    // First of all, because a process that awaits the delivery may end then.
    for (const registration of this.tokens.of(topic)) this.#sync.announce(registration)
    this.acknowledged(topic, mark, record.id)
    this.#sync.onMarkStored(topic, mark)
  }

  // ---- Lists, leases and the end

  protected reports(prefix: string): Promise<readonly TopicReport[]> {
    return this.#connection.ask((link) => link.list({ prefix }))
  }

  protected forgetMark(topic: Topic): Promise<void> {
    return this.#connection.ask((link) => link.forget(topic))
  }

  protected takeLease(registration: Registration, request: LeaseRequest): Promise<LeaseToken> {
    return this.keepLease(registration, request, (fence, expiry) => new LeaseToken(registration, fence, expiry))
  }

  /** Takes a lease, and renews it for as long as the token that `make` returns lives. */
  protected async keepLease<T extends RegisteredToken & Leased>(
    registration: Registration,
    { topic, ttl, timeout }: LeaseRequest,
    make: (fence: number, expiry: Expiry) => T,
  ): Promise<T> {
    const owner = `${this.#environment.session}/${registration.id}`
    const keeper = new LeaseKeeper(this.#connection, topic, owner, ttl)
    const { fence, expiry } = await keeper.acquire(timeout)
    const token = make(fence, expiry)
    this.#leases.set(registration, keeper)
    keeper.keep(token)
    this.enter(registration, token)
    await registration.readiness.promise
    return token
  }

  protected async finish(timeout: number): Promise<number> {
    const began = now()
    const left = () => Math.max(0, timeout - (now() - began))
    await inTime(Promise.allSettled(this.cancels.all.map(({ stored }) => stored.promise)), left())
    await inTime(Promise.allSettled(Array.from(this.#leases.values(), (keeper) => keeper.release())), left())
    const bye = this.#connection.call((link) => link.bye())
    await inTime(
      bye.catch(() => {}),
      left(),
    )
    return this.cancels.all.length
  }

  protected disconnect(): void {
    this.#connection.close()
    this.#stopTimers()
    this.#sync.close()
  }

  // ---- The connection

  #opened(): void {
    this.stopGiveUp()
    this.cancels.opened()
    for (const keeper of this.#leases.values()) keeper.opened()
    this.#sync.opened()
    this.#stopTimers()
    const { sessionTtl, reread } = this.settings
    const { random } = this.#environment
    const stops = [
      repeat(
        () => sessionTtl / 3,
        () => void this.#beat().catch(() => {}), // the connection reports a failure
      ),
      repeat(
        () => reread * (0.75 + random() / 2),
        () => this.#sync.readAgain(),
      ),
    ]
    this.#stopTimers = () => {
      for (const stop of stops) stop()
    }
  }

  /** Tells the engine that this process lives. If the engine has removed the session, all holders are entered again. */
  async #beat(): Promise<void> {
    const isKnown = await this.#connection.call((link) => link.beat())
    if (!isKnown) this.#sync.opened()
  }

  protected override tell(event: HubEvent): void {
    if (event.type === 'disconnected') {
      this.#stopTimers()
      this.startGiveUp()
    }
    super.tell(event)
  }
}

/** The environment of a hub in this process. */
export function environmentOf(session: string): ClientEnvironment {
  return { ...thisProcess(), session, random: Math.random }
}
