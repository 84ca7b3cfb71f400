/** The registration of a token: what its hub knows of it, and what the token can call. */
import type { SharedWord } from '../../core/clock.js'
import type { Cancellation } from '../../core/graph.js'
import type { Callee } from '../../core/traces.js'
import { Milestone } from '../contract/deferred.js'
import { type HolderRecord, OPEN, ROLES, type Topic } from '../contract/engine.js'
import type { Who } from '../contract/hub.js'
import type { RemoteToken, TokenBinding } from '../contract/remote-token.js'

export type Role = (typeof ROLES)[number]
export type DisconnectPolicy = 'keep' | 'cancel'

/** What is registered: a `RemoteToken`, a local token that was exposed, or the proxy of a token in another thread. */
export interface RegisteredToken {
  /** Applies a cancel of its name by another process, or by another token of this process. */
  applyCancel(cancellation: Cancellation, who: Who): void
  /** Cancels this token only, though its name was not cancelled. */
  cancelHere(kind: 'disconnect' | 'lease'): void
  /** The hub or the token is closed. */
  close(): void
  /** Whether it is cancelled, by a read. */
  readonly readsCancelled: boolean
}

/** The hub as a registration sees it. */
export interface RegistrationHub {
  /** The background thread, if that has the connection. */
  readonly worker: { poll(): void; readonly word: SharedWord | undefined } | undefined
  whoOf(topic: Topic): Who
  deliver(topic: Topic, cancellation: Cancellation, callee: Callee | undefined): void
  changed(registration: Registration, isLocal: boolean): void
  leave(registration: Registration): void
}

export class Registration implements TokenBinding {
  readonly id: number
  readonly topic: Topic
  readonly role: Role
  readonly since: number
  readonly onDisconnect: DisconnectPolicy
  readonly readiness = new Milestone()
  readonly delivery = new Milestone()
  /** When it became ready, if that matters: see registry-sync.ts. */
  readyAt = 0
  /** The state that the token has reported, and the state to send to the engine. */
  state = OPEN
  announced = OPEN
  /** The fence of the lease that cancels the token when it is lost; undefined if there is none. */
  term: number | undefined
  /** Does not keep the token in memory: a token that the program has dropped is garbage. */
  #weak: WeakRef<RegisteredToken> | undefined
  #strong: RegisteredToken | undefined

  constructor(
    private readonly hub: RegistrationHub,
    id: number,
    topic: Topic,
    role: Role,
    since: number,
    onDisconnect: DisconnectPolicy,
  ) {
    this.id = id
    this.topic = topic
    this.role = role
    this.since = since
    this.onDisconnect = onDisconnect
  }

  // ---- For the hub

  get record(): HolderRecord {
    const { id, topic, state, role, since } = this
    return { id, topic, state, role: ROLES.indexOf(role), since }
  }

  get token(): RegisteredToken | undefined {
    return this.#strong ?? this.#weak?.deref()
  }

  /** Refers to the token weakly. */
  refer(token: RegisteredToken): void {
    this.#weak = new WeakRef(token)
  }

  /** Keeps the token in memory, or with undefined stops keeping it. */
  hold(token: RegisteredToken | undefined): void {
    this.#strong = token
  }

  // ---- For the token

  get who(): Who {
    return this.hub.whoOf(this.topic)
  }

  get word(): SharedWord | undefined {
    return this.hub.worker?.word
  }

  poll(): void {
    this.hub.worker?.poll()
  }

  deliver(cancellation: Cancellation, callee?: Callee): void {
    this.hub.deliver(this.topic, cancellation, callee)
  }

  changed(state: number, isLocal: boolean): void {
    if (state <= this.state) return
    this.state = state
    this.hub.changed(this, isLocal)
  }

  keep(token: RemoteToken | undefined): void {
    if (this.role === 'open') this.#strong = token
  }

  close(): void {
    this.hub.leave(this)
  }
}
