/**
 * A hub whose connection lives in a thread of its own. Here are the tokens, and what concerns them at once; there is a hub that
 * keeps the promises about connections (H3, H4, H9, H10), with a stand-in for each token here.
 *
 * Invariants
 * B1. What is to end a token here is heard by a poll as well as by the event loop: see mailbox.ts.
 * B2. A cancel is settled here, and kept here until it is stored, so that it outlives the thread.
 * B3. The thread knows of every holder here, or is told of it when it is started again.
 */
import { wrongType } from '../../core/arguments.js'
import { after, keepAlive, now, readWall } from '../../core/clock.js'
import { Cancellation, errorOf, settle } from '../../core/graph.js'
import { type Nested, type Registration, SimpleToken } from '../../core/token.js'
import type { Callee } from '../../core/traces.js'
import { cancelAsked, closeAsked, exposeAsked, leaseAsked, openAsked, runAsked } from '../client/arguments.js'
import { Audience, giveUp } from '../client/event-listeners.js'
import { closed } from '../client/connection.js'
import { HubDesk, type Office } from '../client/token-binding.js'
import type { Engine, MarkRecord, Topic } from '../contract/engine.js'
import { HubError } from '../contract/errors.js'
import { Exposed } from '../client/exposed-token.js'
import { alive } from '../contract/keep-alive.js'
import { here } from '../contract/this-process.js'
import { Holding, type Target } from '../client/registration.js'
import type {
  CancelOptions,
  ExposeOptions,
  Exposure,
  HubEvent,
  HubOptions,
  HubState,
  LeaseOptions,
  Listing,
  OpenOptions,
  Receipt,
  RunOptions,
  TokenHub,
  Who,
} from '../contract/hub.js'
import { Later } from '../contract/deferred.js'
import { cancellationFrom, markIdsOf, recordOf } from '../contract/mark.js'
import { keyOf, prefixOf } from '../contract/topic.js'
import { listingsFrom, receiptFrom } from '../client/receipts.js'
import { LeaseToken, RemoteToken } from '../contract/remote-token.js'
import { type Settings, settingsOf } from '../client/options.js'
import { type Calls, errorFrom, eventFrom, type News } from './messages.js'
import { type Errand, Line } from './worker-connection.js'

/** A cancel that is not stored yet. */
interface UnderWay {
  readonly topic: Topic
  readonly record: MarkRecord
  readonly ttl: number
  readonly found: Cancellation
  readonly later: Later<void>
  /** It keeps the process alive. */
  readonly letGo: () => void
}

type Taken = Calls['lease']['answer']

/** How long the thread may take to answer beyond what it was given, when the hub is closed. */
const LAST_WORD = 1_000

export class BackgroundHub implements TokenHub {
  readonly #settings: Settings
  readonly #line: Line
  readonly #here = here()
  readonly #markId: () => string
  readonly #holdings = new Map<number, Holding>()
  readonly #topics = new Map<string, Set<Holding>>()
  /** By topic, the first first. */
  readonly #underWay = new Map<string, UnderWay[]>()
  readonly #audience = new Audience()
  readonly #collected = new FinalizationRegistry<Holding>((holding) => this.#leave(holding))
  readonly #office: Office
  #state: HubState = 'connecting'
  #ids = 0
  #stopGiveUp: (() => void) | undefined

  /** Errors: as `connectHub`; `TypeError` for what cannot go to another thread. */
  static async connect(
    url: string | URL | Engine,
    options: HubOptions,
    session: string,
    program: string | URL | undefined,
  ): Promise<BackgroundHub> {
    if (typeof url === 'object' && !(url instanceof URL)) {
      throw wrongType('url', 'a string or a URL: with `background` an engine cannot go along to the other thread', url)
    }
    const settings = settingsOf(options)
    const hub = new BackgroundHub(settings, { url: String(url), options, session }, program)
    try {
      await alive(() => hub.#line.open(settings.lazy))
    } catch (error) {
      await hub.#shut()
      throw error
    }
    return hub
  }

  private constructor(settings: Settings, errand: Errand, program: string | URL | undefined) {
    this.#settings = settings
    // Not those of the client in the thread, which has the same session.
    this.#markId = markIdsOf(`${errand.session} in the background`)
    this.#line = new Line(errand, settings, program, {
      news: (news) => this.#hear(news),
      broken: (error, retryIn) => {
        this.#tell({ type: 'disconnected', error, retryIn })
        this.#lostTouch()
      },
      again: () => this.#repeat(),
    })
    this.#office = {
      whoOf: ({ topic }) => this.#whoOf(topic),
      deliver: ({ topic }, cancellation, callee) => this.#deliver(topic, cancellation, callee),
      changed: (holding) => this.#changed(holding),
      leave: (holding) => this.#leave(holding),
      line: this.#line,
    }
  }

  get state(): HubState {
    this.#line.poll()
    return this.#state
  }

  get #isClosed(): boolean {
    return this.#state === 'closed'
  }

  // ---- What people call

  open(name: string, options?: OpenOptions): RemoteToken {
    const { topic, onDisconnect } = openAsked(name, options)
    const holding = this.#hold(topic, 'open', onDisconnect)
    const token = new RemoteToken(new HubDesk(holding, this.#office))
    this.#seat(holding, token)
    const underWay = this.#underWayOf(topic)
    if (underWay) token.arrive(underWay.found, this.#whoOf(topic))
    return token
  }

  async cancel(name: string, reason?: unknown, options?: CancelOptions): Promise<Receipt> {
    const asked = cancelAsked(name, options, this.#settings.ttl)
    if (this.#isClosed) throw closed()
    const { topic, ttl } = asked
    const origin = new SimpleToken({ name: topic.name })
    const cancellation = new Cancellation(origin, 'manual', reason, now())
    settle(origin, cancellation)
    // Here at once, whatever becomes of the thread.
    const { record } = this.#keep(topic, cancellation, ttl)
    const answer = this.#line.call('cancel', { asked, record })
    errorOf(cancellation, cancel)
    this.#arrive(topic, cancellation)
    return receiptFrom(await alive(() => answer))
  }

  expose(name: string, token: Nested, options?: ExposeOptions): Exposure {
    const { topic, source, cancellable } = exposeAsked(name, token, options)
    const holding = this.#hold(topic, 'exposed', 'keep')
    const exposed = new Exposed(new HubDesk(holding, this.#office), source, cancellable)
    this.#seat(holding, exposed)
    exposed.begin()
    return exposed
  }

  async list(prefix = ''): Promise<readonly Listing[]> {
    const ask = { prefix: prefixOf(prefix) }
    return listingsFrom(await alive(() => this.#line.call('list', ask)))
  }

  async forget(name: string, options?: RunOptions): Promise<void> {
    const ask = { topic: runAsked(name, options) }
    await alive(() => this.#line.call('forget', ask))
  }

  async lease(name: string, options: LeaseOptions): Promise<LeaseToken> {
    const asked = leaseAsked(name, options)
    const holding = this.#hold(asked.topic, 'lease', 'keep')
    const take = ({ fence, expiry }: Taken) => {
      const token = new LeaseToken(new HubDesk(holding, this.#office), fence, expiry)
      this.#seat(holding, token)
      holding.ready.settle()
      return token
    }
    return alive(() => this.#line.call('lease', { id: holding.id, asked }, take))
  }

  onEvent(listener: (event: HubEvent) => void): Registration {
    return this.#audience.add(listener)
  }

  async close(options?: { readonly within?: number | undefined }): Promise<void> {
    const within = closeAsked(options)
    if (this.#isClosed) return
    try {
      await alive(() => this.#inTime(this.#line.call('close', { within }), within + LAST_WORD))
    } finally {
      await this.#shut()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** A thread that does not answer, or is no more, has left undelivered what is kept here. */
  async #inTime(answer: Promise<unknown>, ms: number): Promise<void> {
    const late = new Later<undefined>()
    const stop = after(ms, () => late.resolve(undefined), false)
    try {
      await Promise.race([answer, late.promise])
    } finally {
      stop()
    }
    const left = this.#allUnderWay.length
    if (left > 0) {
      throw new HubError('ERR_HUB_UNREACHABLE', `${left} cancels were not delivered before the hub was closed`)
    }
  }

  async #shut(): Promise<void> {
    if (this.#isClosed) return
    this.#state = 'closed'
    this.#stopGiveUp?.()
    const ended = this.#line.close()
    for (const { later, letGo } of this.#allUnderWay) {
      letGo()
      later.reject(closed())
    }
    for (const holding of Array.from(this.#holdings.values())) {
      holding.target?.close()
      this.#leave(holding)
    }
    this.#underWay.clear()
    this.#tell({ type: 'closed' })
    await ended
  }

  // ---- Tokens and their places

  #hold(topic: Topic, role: Holding['role'], onDisconnect: 'keep' | 'cancel' | undefined): Holding {
    if (this.#isClosed) throw closed()
    this.#ids = (this.#ids + 1) >>> 0
    return new Holding(this.#ids, topic, role, Math.max(0, readWall()), onDisconnect ?? this.#settings.onDisconnect)
  }

  #seat(holding: Holding, target: Target): void {
    holding.give(target)
    if (holding.role !== 'open') holding.keep(target)
    this.#holdings.set(holding.id, holding)
    const key = keyOf(holding.topic)
    const others = this.#topics.get(key)
    if (others) others.add(holding)
    else this.#topics.set(key, new Set([holding]))
    this.#collected.register(target, holding, holding)
    if (holding.role !== 'lease') this.#enter(holding)
  }

  #enter({ id, topic, role, onDisconnect }: Holding): void {
    this.#line.say({ type: 'enter', id, topic, role, onDisconnect })
  }

  #deliver(topic: Topic, cancellation: Cancellation, callee: Callee | undefined): void {
    const { record, ttl } = this.#keep(topic, cancellation, this.#settings.ttl)
    this.#line.say({ type: 'send', topic, record, ttl })
    if (callee) errorOf(cancellation, callee)
    this.#arrive(topic, cancellation)
  }

  #whoOf({ name }: Topic): Who {
    return { ...this.#here, token: name }
  }

  #changed(holding: Holding): void {
    const { id, target, delivered, topic } = holding
    if (!target || !this.#holdings.has(id) || !holding.look()) return
    // What ends here alone is never delivered.
    if (target.endsAlone && !this.#underWayOf(topic)) delivered.settle(closed())
    this.#line.say({ type: 'changed', id, state: holding.state, endsAlone: target.endsAlone })
  }

  #leave(holding: Holding): void {
    const { id, topic, delivered, ready } = holding
    const underWay = this.#underWayOf(topic)
    if (underWay) {
      underWay.later.promise.then(
        () => delivered.settle(),
        (error: unknown) => delivered.settle(error as Error),
      )
    } else delivered.settle(closed())
    if (!this.#holdings.delete(id)) return
    const key = keyOf(topic)
    const others = this.#topics.get(key)
    others?.delete(holding)
    if (others?.size === 0) this.#topics.delete(key)
    this.#collected.unregister(holding)
    holding.keep(undefined)
    ready.settle(closed())
    this.#line.say({ type: 'leave', id })
  }

  #of(topic: Topic): Holding[] {
    return [...(this.#topics.get(keyOf(topic)) ?? [])]
  }

  // ---- Cancels

  /** Keeps a cancel until it is stored (B2). Whether it has a mark of its own is for the thread to say (D2). */
  #keep(topic: Topic, found: Cancellation, ttl: number): UnderWay {
    const record = recordOf(found, this.#markId(), this.#whoOf(topic))
    const underWay = { topic, record, ttl, found, later: new Later<void>(), letGo: keepAlive() }
    const key = keyOf(topic)
    const others = this.#underWay.get(key)
    if (others) others.push(underWay)
    else this.#underWay.set(key, [underWay])
    return underWay
  }

  #underWayOf(topic: Topic): UnderWay | undefined {
    return this.#underWay.get(keyOf(topic))?.[0]
  }

  get #allUnderWay(): UnderWay[] {
    return [...this.#underWay.values()].flat()
  }

  #arrive(topic: Topic, found: Cancellation): void {
    const who = this.#whoOf(topic)
    for (const { target } of this.#of(topic)) target?.arrive(found, who)
  }

  #stored(topic: Topic, id: string): void {
    const key = keyOf(topic)
    const all = this.#underWay.get(key) ?? []
    const others = all.filter(({ record }) => record.id !== id)
    if (others.length > 0) this.#underWay.set(key, others)
    else this.#underWay.delete(key)
    for (const { record, letGo, later } of all) {
      if (record.id !== id) continue
      letGo()
      later.resolve()
    }
    for (const { delivered } of this.#of(topic)) delivered.settle()
  }

  // ---- The thread

  #hear(news: News): void {
    switch (news.type) {
      case 'over': {
        const holding = this.#holdings.get(news.id)
        holding?.delivered.settle()
        const { found, who } = cancellationFrom(news.record)
        return holding?.target?.arrive(found, who)
      }
      case 'fell':
        return this.#holdings.get(news.id)?.target?.fall(news.kind as 'disconnect' | 'lease')
      case 'ready':
        return this.#holdings.get(news.id)?.ready.settle(news.error && errorFrom(news.error))
      case 'stored':
        return this.#stored(news.topic, news.id)
      case 'extended': {
        const target = this.#holdings.get(news.id)?.target
        if (target instanceof LeaseToken) target.extend(news.expiry)
        return undefined
      }
      case 'event':
        // That it is closed is told here.
        if (news.event.type !== 'closed') this.#tell(eventFrom(news.event))
        return undefined
      default:
        return undefined
    }
  }

  /** A new thread is told all that the last one knew (B3). A lease is not taken again: its token ends by its deadline. */
  #repeat(): void {
    for (const holding of this.#holdings.values()) {
      if (holding.role === 'lease') continue
      this.#enter(holding)
      const { id, target, state } = holding
      if (target?.isOver) this.#line.say({ type: 'changed', id, state, endsAlone: target.endsAlone })
    }
    for (const { topic, record, ttl } of this.#allUnderWay) this.#line.say({ type: 'send', topic, record, ttl })
  }

  #tell(event: HubEvent): void {
    if (event.type === 'connected') {
      this.#state = 'connected'
      this.#stopGiveUp?.()
      this.#stopGiveUp = undefined
    } else if (event.type === 'disconnected') this.#state = 'disconnected'
    this.#audience.tell(event)
  }

  /** The thread has ended. What is to be called off for that is, after a while; while there is a thread it sees to that. */
  #lostTouch(): void {
    const ring = () => {
      this.#stopGiveUp = undefined
      const tokens = giveUp(this.#holdings.values())
      if (tokens > 0) this.#tell({ type: 'gave-up', tokens })
    }
    this.#stopGiveUp ??= after(this.#settings.disconnectAfter, ring, false)
  }
}

// With this an error's stack begins with the caller of the method.
// oxlint-disable-next-line typescript/unbound-method -- only told to the engine, never called
const { cancel } = BackgroundHub.prototype
