/** Cancels on their way: each is kept, and offered over every new link, until the engine has said that it is stored. */
import { after, keepAlive } from '../core/clock.js'
import { closed, type Connection } from './connection.js'
import type { Link, MarkRecord, Topic } from './engine.js'
import { errorFrom } from './errors.js'
import type { HubEvent } from './hub.js'
import { Later } from './later.js'
import { keyOf } from './names.js'

export interface Delivery {
  readonly topic: Topic
  readonly record: MarkRecord
  readonly ttl: number
  /** Settles with the mark that stands. */
  readonly later: Later<MarkRecord>
  /** Over which it was offered last. */
  over: Link | undefined
  stopPause: () => void
  /** It keeps the process alive. */
  readonly letGo: () => void
}

/** What the engine refuses is offered again after so many milliseconds. */
const REFUSED = 1_000

export class Deliveries {
  readonly #connection: Connection
  readonly #stored: (topic: Topic, mark: MarkRecord) => void
  readonly #tell: (event: HubEvent) => void
  readonly #all = new Map<string, Delivery>()

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
    return [...this.#all.values()]
  }

  of(topic: Topic): Delivery | undefined {
    return this.#all.get(keyOf(topic))
  }

  /** Sends a cancel on its way; where one of that topic is on its way already, that one stands. */
  add(topic: Topic, record: MarkRecord, ttl: number): Delivery {
    const key = keyOf(topic)
    const underWay = this.#all.get(key)
    if (underWay) return underWay
    const delivery: Delivery = {
      topic,
      record,
      ttl,
      later: new Later(),
      over: undefined,
      stopPause: () => {},
      letGo: keepAlive(),
    }
    this.#all.set(key, delivery)
    this.#offer(delivery)
    return delivery
  }

  /** There is a new link. */
  opened(): void {
    for (const delivery of this.all) this.#offer(delivery)
  }

  close(): void {
    for (const { later, letGo, stopPause } of this.#all.values()) {
      stopPause()
      later.reject(closed())
      letGo()
    }
    this.#all.clear()
  }

  #offer(delivery: Delivery): void {
    const { link } = this.#connection
    delivery.stopPause()
    delivery.over = link
    if (link) void this.#send(delivery, link)
  }

  async #send(delivery: Delivery, over: Link): Promise<void> {
    const { topic, record, ttl, later, letGo } = delivery
    const key = keyOf(topic)
    try {
      const mark = await this.#connection.call((link) => link.mark(topic, record, ttl))
      if (!this.#all.delete(key)) return
      letGo()
      this.#stored(topic, mark)
      later.resolve(mark)
    } catch (error) {
      // Over the next link it is offered again anyway.
      if (delivery.over !== over || this.#connection.link !== over || !this.#all.has(key)) return
      delivery.stopPause = after(REFUSED, () => this.#offer(delivery), false)
      this.#tell({ type: 'refused', name: topic.name, error: errorFrom(error) })
    }
  }
}
