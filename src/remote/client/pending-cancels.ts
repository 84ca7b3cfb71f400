/** Cancels that are not known to be stored. Any such cancel keeps the process alive. */
import { keepAlive } from '../../core/clock.js'
import type { Cancellation } from '../../core/graph.js'
import { Deferred } from '../contract/deferred.js'
import type { MarkRecord, Topic } from '../contract/engine.js'
import { closed } from '../contract/errors.js'
import { keyOf } from '../contract/topic.js'

export interface PendingCancel {
  readonly topic: Topic
  /** The key of the topic, see `keyOf`. */
  readonly key: string
  readonly record: MarkRecord
  readonly ttl: number
  /** The cancellation of the tokens here; undefined if they live in another thread. */
  readonly cancellation: Cancellation | undefined
  /** Settles with the mark that is stored. */
  readonly stored: Deferred<MarkRecord>
  /** Whether it was offered to an engine: see cancel-outbox.ts. */
  isOffered: boolean
}

export class PendingCancels {
  /** The oldest cancel of a topic comes first. */
  readonly #byTopic = new Map<string, PendingCancel[]>()
  #release: (() => void) | undefined

  get all(): PendingCancel[] {
    return [...this.#byTopic.values()].flat()
  }

  of(topic: Topic): readonly PendingCancel[] {
    return (this.#byTopic.size > 0 && this.#byTopic.get(keyOf(topic))) || []
  }

  /** Returns the oldest cancel of a topic: the cancel that cancelled its tokens here. */
  first(topic: Topic): PendingCancel | undefined {
    return this.of(topic)[0]
  }

  add(topic: Topic, record: MarkRecord, ttl: number, cancellation: Cancellation | undefined): PendingCancel {
    const key = keyOf(topic)
    const stored = new Deferred<MarkRecord>()
    const pending = { topic, key, record, ttl, cancellation, stored, isOffered: false }
    const others = this.#byTopic.get(key)
    if (others) others.push(pending)
    else this.#byTopic.set(key, [pending])
    this.added(pending)
    // Last, because it may start a timer, and the holders wait for the cancel.
    this.#release ??= keepAlive()
    return pending
  }

  protected added(_pending: PendingCancel): void {}

  isFirst(pending: PendingCancel): boolean {
    return this.#byTopic.get(pending.key)?.[0] === pending
  }

  /** Removes a pending cancel and returns the oldest remaining cancel of its topic. The caller settles the promise of the removed one. */
  remove(pending: PendingCancel): PendingCancel | undefined {
    const others = this.#byTopic.get(pending.key)?.filter((one) => one !== pending) ?? []
    if (others.length > 0) this.#byTopic.set(pending.key, others)
    else this.#byTopic.delete(pending.key)
    if (this.#byTopic.size === 0) this.#letGo()
    return others[0]
  }

  close(): void {
    for (const { stored } of this.all) stored.reject(closed())
    this.#byTopic.clear()
    this.#letGo()
  }

  #letGo(): void {
    this.#release?.()
    this.#release = undefined
  }
}
