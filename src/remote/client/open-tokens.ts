/**
 * The open tokens of a hub, by their ids and by their topics. The hub refers to a token weakly, so a token that the program has dropped
 * is garbage. It keeps a token in memory only while the token has listeners, is exposed or is a lease.
 */
import type { Cancellation } from '../../core/graph.js'
import type { Topic } from '../contract/engine.js'
import type { Who } from '../contract/hub.js'
import { keyOf } from '../contract/topic.js'
import type { RegisteredToken, Registration } from './registration.js'

export class OpenTokens {
  readonly #byId = new Map<number, Registration>()
  readonly #byTopic = new Map<string, Set<Registration>>()
  readonly #collected: FinalizationRegistry<Registration>
  #lastId = 0

  /** @param collected is called with the registration of a token that was garbage-collected. */
  constructor(collected: (registration: Registration) => void) {
    this.#collected = new FinalizationRegistry(collected)
  }

  /** Returns an id for a new token: a whole number that fits in 32 bits. */
  nextId(): number {
    this.#lastId = (this.#lastId + 1) >>> 0
    return this.#lastId
  }

  add(registration: Registration, token: RegisteredToken): void {
    registration.refer(token)
    if (registration.role !== 'open') registration.hold(token)
    this.#byId.set(registration.id, registration)
    const key = keyOf(registration.topic)
    const others = this.#byTopic.get(key)
    if (others) others.add(registration)
    else this.#byTopic.set(key, new Set([registration]))
    this.#collected.register(token, registration, registration)
  }

  /** Returns whether the registration was there. */
  remove(registration: Registration): boolean {
    if (!this.has(registration)) return false
    this.#byId.delete(registration.id)
    const key = keyOf(registration.topic)
    const others = this.#byTopic.get(key)
    others?.delete(registration)
    if (others?.size === 0) this.#byTopic.delete(key)
    this.#collected.unregister(registration)
    registration.hold(undefined)
    return true
  }

  has(registration: Registration): boolean {
    return this.#byId.get(registration.id) === registration
  }

  get(id: number): Registration | undefined {
    return this.#byId.get(id)
  }

  /** Returns a copy, because listeners may open and close tokens. */
  get all(): Registration[] {
    return [...this.#byId.values()]
  }

  /** Returns a copy, for the same reason. */
  of(topic: Topic): Registration[] {
    return [...(this.#byTopic.get(keyOf(topic)) ?? [])]
  }

  isOpen(topic: Topic): boolean {
    return this.#byTopic.has(keyOf(topic))
  }

  /** The topics of all tokens, each once. */
  *topics(): Iterable<Topic> {
    for (const [first] of this.#byTopic.values()) if (first) yield first.topic
  }

  /** Cancels the tokens of a topic that was cancelled here. */
  applyCancel(topic: Topic, cancellation: Cancellation, who: Who): void {
    for (const { token } of this.of(topic)) token?.applyCancel(cancellation, who)
  }

  /** Cancels the tokens with `onDisconnect: 'cancel'`. Returns their number. */
  giveUp(): number {
    let count = 0
    for (const { token, onDisconnect } of this.all) {
      if (onDisconnect !== 'cancel' || !token || token.readsCancelled) continue
      token.cancelHere('disconnect')
      count++
    }
    return count
  }
}
