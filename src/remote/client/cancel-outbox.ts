/**
 * Cancels on their way: each is kept, and offered over every new link, until the engine has said that it is stored.
 *
 * Invariants
 * D1. Of one topic one cancel at a time is offered. The next one waits until the answer has come.
 * D2. A cancel stands for a later one of its topic only if it has not been offered yet. Once it has, it may be stored already, and be
 *     forgotten by the time of the later one, which therefore needs a mark of its own.
 */
import { after, keepAlive } from '../../core/clock.js'
import { closed, type Connection } from './connection.js'
import type { Link, MarkRecord, Topic } from '../contract/engine.js'
import { errorFrom } from '../contract/errors.js'
import type { HubEvent } from '../contract/hub.js'
import { Later } from '../contract/deferred.js'
import { keyOf } from '../contract/topic.js'

export interface Delivery {
  readonly topic: Topic
  readonly record: MarkRecord
  readonly ttl: number
  /** Settles with the mark that stands. */
  readonly later: Later<MarkRecord>
  /** Over which it was offered last. */
  over: Link | undefined
  /** See D2. */
  wasOffered: boolean
  stopPause: () => void
  /** It keeps the process alive. */
  letGo: () => void
}

/** What the engine refuses is offered again after so many milliseconds. */
const REFUSED = 1_000

export class Deliveries {
  readonly #connection: Connection
  readonly #stored: (topic: Topic, mark: MarkRecord) => void
  readonly #tell: (event: HubEvent) => void
  /** By topic. */
  readonly #first = new Map<string, Delivery>()
  readonly #next = new Map<string, Delivery>()

  constructor(
    connection: Connection,
    stored: (topic: Topic, mark: MarkRecord) => void,
    tell: (event: HubEvent) => void,
  ) {
    this.#connection = connection
    this.#stored = stored
    this.#tell = tell
  }

  get all(): Delivery[] {
    return [...this.#first.values(), ...this.#next.values()]
  }

  of(topic: Topic): Delivery | undefined {
    return this.#first.get(keyOf(topic))
  }

  /** Sends a cancel on its way, or gives the one that stands for it (D2). */
  add(topic: Topic, record: MarkRecord, ttl: number): Delivery {
    const key = keyOf(topic)
    const first = this.#first.get(key)
    if (first?.wasOffered === false) return first
    const waiting = this.#next.get(key)
    if (waiting) return waiting
    const delivery: Delivery = {
      topic,
      record,
      ttl,
      later: new Later(),
      over: undefined,
      wasOffered: false,
      stopPause: () => {},
      letGo: () => {},
    }
    if (first) this.#next.set(key, delivery)
    else this.#begin(key, delivery)
    // Behind the cancel, which others wait for: it may take a timer.
    delivery.letGo = keepAlive()
    return delivery
  }

  /** There is a new link. */
  opened(): void {
    for (const delivery of this.#first.values()) this.#offer(delivery)
  }

  close(): void {
    for (const { later, letGo, stopPause } of this.all) {
      stopPause()
      later.reject(closed())
      letGo()
    }
    this.#first.clear()
    this.#next.clear()
  }

  #begin(key: string, delivery: Delivery): void {
    this.#first.set(key, delivery)
    this.#offer(delivery)
  }

  #offer(delivery: Delivery): void {
    const { link } = this.#connection
    delivery.stopPause()
    delivery.over = link
    if (!link) return
    delivery.wasOffered = true
    void this.#send(delivery, link)
  }

  async #send(delivery: Delivery, over: Link): Promise<void> {
    const { topic, record, ttl, later } = delivery
    const key = keyOf(topic)
    try {
      const mark = await this.#connection.call((link) => link.mark(topic, record, ttl))
      if (this.#first.get(key) !== delivery) return
      this.#first.delete(key)
      delivery.letGo()
      const next = this.#next.get(key)
      this.#next.delete(key)
      if (next) this.#begin(key, next)
      this.#stored(topic, mark)
      later.resolve(mark)
    } catch (error) {
      // Over the next link it is offered again anyway.
      if (delivery.over !== over || this.#connection.link !== over || this.#first.get(key) !== delivery) return
      delivery.stopPause = after(REFUSED, () => this.#offer(delivery), false)
      this.#tell({ type: 'refused', name: topic.name, error: errorFrom(error) })
    }
  }
}
