/** What a store knows of each topic: its mark, its lease, its holders. */
import { now } from '../../core/clock.js'
import type { HolderRecord, LeaseRecord, MarkRecord, Session, Topic, TopicState } from '../contract/engine.js'
import { keyOf } from '../contract/topic.js'
import { type Capacity, weightOf, weightOfTopic } from './capacity.js'

/** One connection, as the store sees it. */
export interface Watcher {
  notice(state: TopicState): void
  /** Called when another connection has taken over its session. */
  replaced(): void
}

export interface Lease {
  readonly owner: string
  readonly fence: number
  readonly ttl: number
  lost: number
  /** When the lease ends, by `now()`; undefined when it has ended. */
  until: number | undefined
  /** When the loss of a lease is forgotten, by `now()`. */
  forgotten: number
  stop: () => void
}

export interface Entry {
  readonly key: string
  readonly topic: Topic
  mark: MarkRecord | undefined
  /** When the mark is forgotten, by `now()`. */
  markUntil: number
  lease: Lease | undefined
  readonly holders: Set<HeldToken>
  readonly watchers: Set<Watcher>
  /** The number of changes that are being written to the journal. */
  pending: number
}

export interface HeldToken {
  record: HolderRecord
  readonly entry: Entry
  readonly session: SessionState
  /** The connection that entered it last. */
  through: Watcher
}

/** A session that the store knows. */
export interface SessionState {
  readonly info: Session
  /** Its public id. The session id itself is a secret. */
  readonly number: number
  readonly holders: Map<number, HeldToken>
  link: Watcher | undefined
  heard: number
  /** The number of holders that each connection has entered, by topic. */
  readonly watched: Map<Watcher, Map<Entry, number>>
}

/**
 * The entries of a store. There is one for a topic exactly while the topic has a mark, a lease, a holder or a pending change (ST3 of
 * store.ts).
 */
export class Topics {
  readonly #entries = new Map<string, Entry>()
  readonly #capacity: Capacity
  readonly #onNew: () => void
  /** The sweep in progress. */
  #sweep: IterableIterator<Entry> | undefined

  /** @param onNew is called when there is an entry more */
  constructor(capacity: Capacity, onNew: () => void) {
    this.#capacity = capacity
    this.#onNew = onNew
  }

  get size(): number {
    return this.#entries.size
  }

  has(topic: Topic): boolean {
    return this.#entries.has(keyOf(topic))
  }

  [Symbol.iterator](): IterableIterator<Entry> {
    return this.#entries.values()
  }

  /** Returns the entry of the topic as it is now, if there is one. */
  known(topic: Topic): Entry | undefined {
    const entry = this.#entries.get(keyOf(topic))
    if (entry) this.refresh(entry)
    return entry
  }

  /** Returns the entry of the topic, or makes one. */
  entry(topic: Topic): Entry {
    const known = this.known(topic)
    if (known) return known
    const key = keyOf(topic)
    const { name, runId } = topic
    const entry: Entry = {
      key,
      topic: { name, runId },
      mark: undefined,
      markUntil: Infinity,
      lease: undefined,
      holders: new Set(),
      watchers: new Set(),
      pending: 0,
    }
    this.#entries.set(key, entry)
    this.#onNew()
    this.#capacity.add(weightOfTopic(topic))
    return entry
  }

  /** Removes the mark and the lease if they have expired. */
  refresh(entry: Entry): void {
    const { mark, lease } = entry
    const isMarkOver = mark !== undefined && entry.markUntil <= now()
    const isLeaseOver = lease !== undefined && lease.until === undefined && lease.forgotten <= now()
    if (!isMarkOver && !isLeaseOver) return
    this.count(entry, -1)
    if (isMarkOver) entry.mark = undefined
    if (isLeaseOver) entry.lease = undefined
    this.count(entry, 1)
  }

  /** Drops an entry that holds nothing (ST3). */
  drop(entry: Entry): void {
    this.refresh(entry)
    const { mark, lease, holders, pending } = entry
    if (mark || lease || holders.size > 0 || pending > 0 || this.#entries.get(entry.key) !== entry) return
    this.#entries.delete(entry.key)
    this.#capacity.add(-weightOfTopic(entry.topic))
  }

  /** Adds the mark and the lease of an entry to what the store holds, or takes them away. */
  count(entry: Entry, times: 1 | -1): void {
    if (entry.mark || entry.lease) this.#capacity.add(times * weightOf(entry), times)
  }

  /** Drops what has expired among the next `most` topics. So a million topics never block a request. */
  sweep(most: number): void {
    for (let i = 0; i < most; i++) {
      this.#sweep ??= this.#entries.values()
      const { value, done } = this.#sweep.next()
      if (done === true) {
        this.#sweep = undefined
        break
      }
      this.drop(value)
    }
  }
}

export function stateOf({ topic, mark, lease }: Entry): TopicState {
  const record: LeaseRecord | undefined = lease && {
    fence: lease.fence,
    lost: lease.lost,
    left: lease.until === undefined ? 0 : Math.max(0.001, lease.until - now()),
  }
  return { topic, mark, lease: record }
}
