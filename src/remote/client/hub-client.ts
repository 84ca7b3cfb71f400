/**
 * The hub, above whatever engine carries it: the face, and how the parts beside it work together. A connection that comes
 * back (connection.ts), the tokens that are open (registry-sync.ts), cancels on their way (cancel-outbox.ts), leases (lease-keeper.ts).
 *
 * A cancel is on its way, and settled here, before the call that makes it returns (H3).
 */
import { after, now, readWall } from '../../core/clock.js'
import { Cancellation, errorOf, settle } from '../../core/graph.js'
import { type Nested, type Registration, SimpleToken } from '../../core/token.js'
import type { Callee } from '../../core/traces.js'
import {
  type Asked,
  type AskedLease,
  cancelAsked,
  closeAsked,
  exposeAsked,
  leaseAsked,
  openAsked,
  runAsked,
} from './arguments.js'
import { Audience, giveUp } from './event-listeners.js'
import { closed, Connection } from './connection.js'
import { Deliveries, type Delivery } from './cancel-outbox.js'
import { HubDesk, type Office } from './token-binding.js'
import type { Engine, MarkRecord, Topic, TopicReport } from '../contract/engine.js'
import { HubError } from '../contract/errors.js'
import type { Expiry } from '../contract/expiry.js'
import { Exposed } from './exposed-token.js'
import { alive } from '../contract/keep-alive.js'
import { Holding, type Target } from './registration.js'
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
  RunOptions,
  TokenHub,
  Who,
} from '../contract/hub.js'
import { inTime } from '../contract/deferred.js'
import { type Leased, LeaseKeeper } from './lease-keeper.js'
import { cancellationFrom, markIdsOf, recordOf } from '../contract/mark.js'
import { prefixOf } from '../contract/topic.js'
import { listingsFrom, receiptFrom, tally, type Tallied } from './receipts.js'
import { type Desk, LeaseToken, RemoteToken } from '../contract/remote-token.js'
import { Roll } from './registry-sync.js'
import type { Settings } from './options.js'
import { here } from '../contract/this-process.js'

/** Where chance comes from, and who this is. */
export interface Surroundings {
  /** Nobody else's, and unguessable. */
  readonly session: string
  readonly host: string
  readonly pid: number
  /** From 0 to 1. */
  readonly random: () => number
}

export class HubClient implements TokenHub {
  readonly #settings: Settings
  readonly #surroundings: Surroundings
  readonly #connection: Connection
  readonly #roll: Roll
  readonly #deliveries: Deliveries
  readonly #markId: () => string
  readonly #leases = new Map<Holding, LeaseKeeper>()
  readonly #office: Office = {
    whoOf: ({ topic }) => this.#whoOf(topic),
    deliver: ({ topic }, cancellation, callee) => void this.#deliver(topic, cancellation, this.#settings.ttl, callee),
    changed: (holding) => this.#changed(holding),
    leave: (holding) => this.#leave(holding),
  }
  readonly #audience = new Audience()
  #ids = 0
  #stopBeat = () => {}
  #stopReread = () => {}
  #stopGiveUp: (() => void) | undefined

  constructor(engine: Engine, settings: Settings, surroundings: Surroundings) {
    this.#settings = settings
    this.#surroundings = surroundings
    const { session: id, host, pid, random } = surroundings
    this.#markId = markIdsOf(id)
    const { patience, first, most, sessionTtl: ttl } = settings
    const tell = (event: HubEvent) => this.#tell(event)
    this.#connection = new Connection(
      engine,
      { id, host, pid, ttl },
      { patience, first, most, random },
      { opened: () => this.#opened(), notice: (state) => this.#roll.heard(state), event: tell },
    )
    this.#roll = new Roll(this.#connection, tell)
    this.#deliveries = new Deliveries(this.#connection, (topic, mark) => this.#stored(topic, mark), tell)
  }

  /** Makes the first connection. */
  async connect(lazy = this.#settings.lazy): Promise<this> {
    const opening = this.#connection.open(lazy)
    if (lazy) {
      this.#lostTouch()
      opening.catch(() => {}) // which is told as an event
    } else await alive(() => opening)
    return this
  }

  get state(): HubState {
    return this.#connection.state
  }

  get #isClosed(): boolean {
    return this.#connection.state === 'closed'
  }

  // ---- What people call

  open(name: string, options?: OpenOptions): RemoteToken {
    const { topic, onDisconnect } = openAsked(name, options)
    const { target: token } = this.enter(topic, 'open', onDisconnect, (desk) => new RemoteToken(desk))
    // Somebody here has cancelled it, and the engine may not know yet.
    const underWay = this.#deliveries.of(topic)
    if (underWay) {
      const { found, who } = cancellationFrom(underWay.record)
      token.arrive(found, who)
    }
    return token
  }

  async cancel(name: string, reason?: unknown, options?: CancelOptions): Promise<Receipt> {
    const asked = cancelAsked(name, options, this.#settings.ttl)
    if (this.#isClosed) throw closed()
    const began = now()
    return receiptFrom(await this.follow(() => this.#cancelHere(asked.topic, reason, asked.ttl), asked, began))
  }

  /** Sends a cancel, and says what becomes of it. */
  follow(send: () => Delivery, { topic, within, until }: Asked, began: number): Promise<Tallied> {
    // Sent together, and this first, so that who holds it is known from before they react: they may be quick, and this process slow.
    const listed = this.#connection.call((link) => link.list({ topic })).catch(() => undefined)
    const delivery = send()
    const left = () => (within === undefined ? undefined : Math.max(0, within - (now() - began)))
    return alive(async () => {
      const mark = await inTime(delivery.later.promise, left() ?? Infinity)
      return tally({
        topic,
        mark: mark ?? delivery.record,
        delivered: mark !== undefined,
        before: mark && (await inTime(listed, left() ?? Infinity)),
        until,
        left: () => left() ?? 0,
        list: () => inTime(this.#listed(topic), left() ?? Infinity),
        isSettled: () => this.#connection.isSettled,
      })
    })
  }

  /** Resolves with undefined where the engine refuses: the mark is stored all the same. */
  async #listed(topic: Topic): Promise<readonly TopicReport[] | undefined> {
    try {
      return await this.#connection.ask((link) => link.list({ topic }))
    } catch (error) {
      if (this.#isClosed) throw error
      return undefined
    }
  }

  expose(name: string, token: Nested, options?: ExposeOptions): Exposure {
    const { topic, source, cancellable } = exposeAsked(name, token, options)
    const make = (desk: Desk) => new Exposed(desk, source, cancellable)
    const { target: exposed } = this.enter(topic, 'exposed', 'keep', make)
    exposed.begin()
    return exposed
  }

  async list(prefix = ''): Promise<readonly Listing[]> {
    return listingsFrom(await this.reports(prefixOf(prefix)))
  }

  reports(prefix: string): Promise<readonly TopicReport[]> {
    return alive(() => this.#connection.ask((link) => link.list({ prefix })))
  }

  async forget(name: string, options?: RunOptions): Promise<void> {
    const topic = runAsked(name, options)
    await alive(() => this.#connection.ask((link) => link.forget(topic)))
  }

  async lease(name: string, options: LeaseOptions): Promise<LeaseToken> {
    return this.take(leaseAsked(name, options), makeLease)
  }

  /** Takes a lease, for whatever stands and falls with it. */
  async take<T extends Target & Leased>(
    { topic, ttl, within }: AskedLease,
    make: (desk: Desk, fence: number, expiry: Expiry) => T,
  ): Promise<T> {
    const holding = this.#hold(topic, 'lease', 'keep')
    const keeper = new LeaseKeeper(this.#connection, topic, `${this.#surroundings.session}/${holding.id}`, ttl)
    return alive(async () => {
      const { fence, expiry } = await keeper.acquire(within)
      const token = make(new HubDesk(holding, this.#office), fence, expiry)
      this.#leases.set(holding, keeper)
      keeper.keep(token)
      this.#seat(holding, token)
      await holding.ready.promise
      return token
    })
  }

  onEvent(listener: (event: HubEvent) => void): Registration {
    return this.#audience.add(listener)
  }

  async close(options?: { readonly within?: number | undefined }): Promise<void> {
    const within = closeAsked(options)
    if (this.#isClosed) return
    const began = now()
    const left = () => Math.max(0, within - (now() - began))
    await alive(async () => {
      await inTime(Promise.allSettled(this.#deliveries.all.map(({ later }) => later.promise)), left())
      await inTime(Promise.allSettled(Array.from(this.#leases.values(), (keeper) => keeper.release())), left())
      await inTime(
        this.#connection.call((link) => link.bye()).catch(() => {}),
        left(),
      )
    })
    const undelivered = this.#deliveries.all.length
    this.#shut()
    if (undelivered > 0) {
      throw new HubError('ERR_HUB_UNREACHABLE', `${undelivered} cancels were not delivered before the hub was closed`)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #shut(): void {
    if (this.#isClosed) return
    this.#connection.close()
    this.#stopTimers()
    this.#stopGiveUp?.()
    this.#deliveries.close()
    for (const holding of this.#roll.all) {
      holding.target?.close()
      this.#leave(holding)
    }
    this.#roll.close()
    this.#tell({ type: 'closed' })
  }

  // ---- Tokens and their places

  /** Takes in whatever stands for a topic here: a token, or, where that is in another thread, its stand-in. */
  enter<T extends Target>(
    topic: Topic,
    role: Holding['role'],
    onDisconnect: 'keep' | 'cancel' | undefined,
    make: (desk: Desk) => T,
  ): { readonly target: T; readonly holding: Holding } {
    const holding = this.#hold(topic, role, onDisconnect)
    const target = make(new HubDesk(holding, this.#office))
    this.#seat(holding, target)
    if (this.state === 'disconnected') this.#lostTouch()
    return { target, holding }
  }

  #seat(holding: Holding, target: Target): void {
    holding.give(target)
    // One that is opened is garbage if nobody listens to it.
    if (holding.role !== 'open') holding.keep(target)
    this.#roll.add(holding, target)
  }

  #hold(topic: Topic, role: Holding['role'], onDisconnect: 'keep' | 'cancel' | undefined): Holding {
    if (this.#isClosed) throw closed()
    this.#ids = (this.#ids + 1) >>> 0
    return new Holding(this.#ids, topic, role, Math.max(0, readWall()), onDisconnect ?? this.#settings.onDisconnect)
  }

  #changed(holding: Holding): void {
    const { target, topic, delivered } = holding
    // That it is over here is told when the cancel is stored: until then nothing is to be in its way.
    if (this.#deliveries.of(topic)) return
    // What ends here alone is never delivered.
    if (target?.isOver && target.endsAlone) delivered.settle(closed())
    this.#roll.changed(holding)
  }

  #stored(topic: Topic, mark: MarkRecord): void {
    // First, for who awaits that it is delivered may end the process then.
    for (const holding of this.#roll.of(topic)) this.#roll.changed(holding)
    this.#roll.marked(topic, mark)
  }

  #whoOf({ name }: Topic): Who {
    const { host, pid } = this.#surroundings
    return { host, pid, token: name }
  }

  #leave(holding: Holding): void {
    const { delivered } = holding
    const underWay = this.#deliveries.of(holding.topic)
    if (underWay)
      underWay.later.promise.then(
        () => delivered.settle(),
        (error: unknown) => delivered.settle(error as Error),
      )
    else delivered.settle(closed())
    const keeper = this.#leases.get(holding)
    this.#leases.delete(holding)
    if (keeper) void keeper.release()
    this.#roll.remove(holding)
  }

  // ---- Cancels

  /** Sends a cancel on its way. */
  send(topic: Topic, record: MarkRecord, ttl: number): Delivery {
    return this.#deliveries.add(topic, record, ttl)
  }

  #deliver(topic: Topic, cancellation: Cancellation, ttl: number, callee: Callee | undefined): Delivery {
    const who = this.#whoOf(topic)
    const delivery = this.send(topic, recordOf(cancellation, this.#markId(), who), ttl)
    if (callee) errorOf(cancellation, callee)
    this.#roll.arrive(topic, cancellation, who)
    return delivery
  }

  /** By name, without a token of its own. */
  #cancelHere(topic: Topic, reason: unknown, ttl: number): Delivery {
    const origin = new SimpleToken({ name: topic.name })
    const cancellation = new Cancellation(origin, 'manual', reason, now())
    settle(origin, cancellation)
    return this.#deliver(topic, cancellation, ttl, cancel)
  }

  // ---- The connection

  #opened(): void {
    this.#stopGiveUp?.()
    this.#stopGiveUp = undefined
    this.#deliveries.opened()
    for (const keeper of this.#leases.values()) keeper.opened()
    this.#roll.opened()
    this.#stopTimers()
    this.#beat()
    this.#reread()
  }

  #stopTimers(): void {
    this.#stopBeat()
    this.#stopReread()
  }

  /** Says that this process lives. An engine that has forgotten it is told everything again. */
  #beat(): void {
    const beat = async () => {
      this.#beat()
      const known = await this.#connection.call((link) => link.beat())
      if (!known) this.#roll.opened()
    }
    // Where that fails the connection tells.
    const ring = () => void beat().catch(() => {})
    this.#stopBeat = after(this.#settings.sessionTtl / 3, ring, false)
  }

  #reread(): void {
    const again = () => {
      this.#reread()
      this.#roll.readAgain()
    }
    const { reread } = this.#settings
    this.#stopReread = after(reread * (0.75 + this.#surroundings.random() / 2), again, false)
  }

  #tell(event: HubEvent): void {
    if (event.type === 'disconnected') {
      this.#stopTimers()
      this.#lostTouch()
    }
    this.#audience.tell(event)
  }

  /** From now on there is no connection; tokens that are to be called off for that are, after a while. */
  #lostTouch(): void {
    const ring = () => {
      this.#stopGiveUp = undefined
      const tokens = giveUp(this.#roll.all)
      if (tokens > 0) this.#tell({ type: 'gave-up', tokens })
    }
    this.#stopGiveUp ??= after(this.#settings.disconnectAfter, ring, false)
  }
}

function makeLease(desk: Desk, fence: number, expiry: Expiry): LeaseToken {
  return new LeaseToken(desk, fence, expiry)
}

// With this an error's stack begins with the caller of the method.
// oxlint-disable-next-line typescript/unbound-method -- only told to the engine, never called
const { cancel } = HubClient.prototype

/** A hub over an engine that has not connected yet. */
export function hubClientOf(engine: Engine, settings: Settings, session: string): HubClient {
  return new HubClient(engine, settings, { ...here(), session, random: Math.random })
}
