/**
 * The state of an embedded server and its rules. It uses no sockets and no files.
 *
 * Invariants
 * ST1. Only `apply` changes the durable state (marks, leases), one {@link Change} at a time. The durable state depends only on the
 *     changes before and on which of them have expired. So a replay of the changes leads to the same state.
 * ST2. A change is written to the journal, if there is one, before it is applied. No client learns of it before that.
 * ST3. The store has an entry for a topic exactly while the topic has a mark, a lease, a holder or a pending change.
 * ST4. Sessions and holders are not written to the journal: after a restart each living client enters its holders again.
 * ST5. A snapshot contains each topic as it was at one moment, and every later change of the topic, in order.
 */
import { after, now, readWall } from '../../core/clock.js'
import {
  type Acquired,
  type HolderRecord,
  LEASE_REMEMBERED_FOR,
  type MarkRecord,
  ROLES,
  type Session,
  type Topic,
  type TopicReport,
  type TopicState,
} from '../contract/engine.js'
import { Capacity, type StoreLimits, weightOfLease, weightOfMark, weightOfTopic } from './capacity.js'
import type { Change, Recorder, Snapshot } from './changes.js'
import { ForgottenMarks } from './forgotten-marks.js'
import { reportOf, Sessions } from './sessions.js'
import { type Entry, type Lease, stateOf, Topics, type Watcher } from './topics.js'

/** The topics to list: one topic, or all topics whose names begin with a prefix. */
export interface ListFilter {
  readonly prefix?: string | undefined
  readonly topic?: Topic | undefined
}

/** The progress of a snapshot. */
interface SnapshotProgress {
  readonly keys: Set<string>
  /** The snapshot has passed every topic that existed. A topic that appears now comes behind them. */
  isAll: boolean
}

/** The size of a forgotten id in bytes. An id has at most 64 characters. */
const FORGOTTEN_BYTES = 200
/** The wall clock counts whole milliseconds, so a duration between two readings may be one too short. */
const TICK = 1
/** Milliseconds between two sweeps for expired topics, and the number of topics of one sweep. */
const SWEEP = 1_000
const SWEEP_SIZE = 2_000

export class Store {
  readonly #capacity: Capacity
  readonly #topics: Topics
  readonly #sessions: Sessions
  /** The ids of forgotten marks, so that no forgotten mark comes back (E2). */
  readonly #forgotten: ForgottenMarks
  readonly #recorder: Recorder | undefined
  /** At least as high as any earlier fence: from the journal, or, without a journal, higher than any earlier server can have reached. */
  #fence = readWall()
  /** The snapshots in progress. Each of them receives every change. */
  readonly #snapshots = new Set<(entry: Entry, change: Change) => void>()
  /** Absent while nothing can expire. */
  #stopSweep: (() => void) | undefined

  constructor(limits: StoreLimits, recorder?: Recorder, changes: Iterable<Change> = []) {
    this.#capacity = new Capacity(limits)
    this.#topics = new Topics(this.#capacity, () => this.#cleanLater())
    this.#sessions = new Sessions(this.#topics, this.#capacity, limits.names)
    // Ids of forgotten marks may take an eighth of the memory.
    this.#forgotten = new ForgottenMarks(
      Math.min(limits.marks, Math.ceil((limits.bytes ?? Infinity) / 8 / FORGOTTEN_BYTES)),
    )
    for (const change of changes) this.#apply(change)
    this.#recorder = recorder
  }

  /**
   * Returns the shortest list of changes that leads to the present state. A compacted journal begins with it. The list may be read in
   * slices. If a topic changes after the list has passed it, `end` returns the change; otherwise the list itself contains it (ST5).
   */
  changes(): Snapshot {
    const late: Change[] = []
    // By key, because a topic may be dropped and come back during the snapshot. Its new changes then follow the old ones.
    const taken: SnapshotProgress = { keys: new Set(), isAll: false }
    const all = this.#changes(taken)
    const keep = (entry: Entry, change: Change) => {
      if (taken.isAll || taken.keys.has(entry.key)) late.push(change)
    }
    this.#snapshots.add(keep)
    return {
      [Symbol.iterator]: () => all,
      end: () => {
        this.#snapshots.delete(keep)
        return late
      },
    }
  }

  /** The forgotten marks come last, including marks that are forgotten during the snapshot. */
  *#changes(taken: SnapshotProgress): Generator<Change, undefined> {
    const lag = readWall() - now()
    for (const entry of this.#topics) {
      const { key, topic, mark, markUntil, lease } = entry
      if (taken.keys.has(key)) continue
      taken.keys.add(key)
      // All changes of the topic at once, before it can change again.
      const changes: Change[] = mark ? [{ type: 'mark', topic, mark, until: markUntil + lag }] : []
      if (lease) {
        const { owner, fence, ttl, lost, until, forgotten } = lease
        changes.push({ type: 'lease', topic, owner, fence, ttl, lost })
        if (until === undefined) {
          changes.push({ type: lost === fence ? 'over' : 'release', topic, fence, until: forgotten + lag })
        }
      }
      yield* changes
    }
    taken.isAll = true
    for (const [id, until] of this.#forgotten) yield { type: 'forgotten', id, until: until + lag }
  }

  // ---- Sessions and holders

  attach(info: Session, link: Watcher): void {
    this.#sessions.attach(info, link)
    this.#cleanLater()
  }

  detach(session: string, link: Watcher): void {
    this.#sessions.detach(session, link)
  }

  enter(session: string, link: Watcher, holders: readonly HolderRecord[]): TopicState[] {
    return this.#sessions.enter(session, link, holders)
  }

  leave(session: string, ids: readonly number[]): void {
    this.#sessions.leave(session, ids)
  }

  /** Returns false if the session is unknown. */
  beat(session: string): boolean {
    return this.#sessions.beat(session)
  }

  bye(session: string): void {
    this.#sessions.bye(session)
  }

  // ---- Marks

  read(topics: readonly Topic[]): TopicState[] {
    return topics.map((topic) => {
      const entry = this.#topics.known(topic)
      return entry ? stateOf(entry) : { topic, mark: undefined, lease: undefined }
    })
  }

  mark(topic: Topic, mark: MarkRecord, ttl: number): MarkRecord | Promise<MarkRecord> {
    const standing = this.#topics.known(topic)?.mark
    if (standing) return standing
    if (this.#forgotten.has(mark.id)) return mark
    this.#capacity.demand(weightOfMark(mark) + weightOfTopic(topic), 1)
    const entry = this.#topics.entry(topic)
    return this.#commit(entry, { type: 'mark', topic, mark, until: readWall() + ttl + TICK }, () => {
      const stands = entry.mark ?? mark
      this.#topics.drop(entry)
      return stands
    })
  }

  forget(topic: Topic): void | Promise<void> {
    const entry = this.#topics.known(topic)
    if (entry) return this.#commit(entry, { type: 'forget', topic }, () => this.#topics.drop(entry))
  }

  list(what: ListFilter): TopicReport[] {
    return Array.from(this.listing(what)).filter((report) => report !== undefined)
  }

  /**
   * Yields the same, one topic at a time, and undefined for each topic that was not asked for. It may be read in slices: each topic is
   * reported as it is when it is read. A topic that exists from the beginning to the end is never left out.
   */
  *listing({ prefix, topic }: ListFilter): Generator<TopicReport | undefined, undefined> {
    for (const entry of topic ? [this.#topics.known(topic)] : this.#topics) {
      const isWanted = entry && (prefix === undefined || entry.topic.name.startsWith(prefix))
      yield isWanted ? this.#reportOn(entry) : undefined
    }
  }

  #reportOn(entry: Entry): TopicReport | undefined {
    this.#topics.refresh(entry)
    const holders = Array.from(entry.holders, reportOf)
    const { mark, lease } = stateOf(entry)
    return mark || lease || holders.length > 0 ? { topic: entry.topic, mark, lease, holders } : undefined
  }

  // ---- Leases

  acquire(topic: Topic, owner: string, ttl: number): Acquired | Promise<Acquired> {
    const known = this.#topics.known(topic)
    if (!known?.lease) this.#capacity.demand(weightOfLease(owner) + weightOfTopic(topic), known?.mark ? 0 : 1)
    const entry = known ?? this.#topics.entry(topic)
    const { lease } = entry
    if (lease?.until !== undefined && lease.until > now()) {
      if (lease.owner !== owner) return { held: false, left: lease.until - now() }
      this.#extend(entry, lease)
      return { held: true, fence: lease.fence }
    }
    const outcome = (): Acquired => {
      const { lease } = entry
      if (lease?.until === undefined) return { held: false, left: 0 }
      return lease.owner === owner
        ? { held: true, fence: lease.fence }
        : { held: false, left: Math.max(0, lease.until - now()) }
    }
    const take = () => {
      const fence = ++this.#fence
      return this.#commit(entry, { type: 'lease', topic, owner, fence, ttl, lost: entry.lease?.lost ?? 0 }, outcome)
    }
    if (lease?.until === undefined) return take()
    // The lease has ended, and its timer is late.
    const ended = this.#end(entry, lease, 'over')
    return ended ? ended.then(take) : take()
  }

  renew(topic: Topic, fence: number): boolean {
    const entry = this.#topics.known(topic)
    const lease = entry?.lease
    if (!entry || !lease || lease.fence !== fence || lease.until === undefined || lease.until <= now()) return false
    this.#extend(entry, lease)
    return true
  }

  release(topic: Topic, fence: number): void | Promise<void> {
    const entry = this.#topics.known(topic)
    if (entry?.lease?.fence === fence) return this.#end(entry, entry.lease, 'release')
  }

  #extend(entry: Entry, lease: Lease): void {
    lease.stop()
    lease.until = now() + lease.ttl
    lease.stop = after(lease.ttl, () => void this.#end(entry, lease, 'over'), false)
  }

  #end(entry: Entry, lease: Lease, type: 'over' | 'release'): void | Promise<void> {
    if (entry.lease !== lease || lease.until === undefined) return
    const { topic } = entry
    const change: Change = { type, topic, fence: lease.fence, until: readWall() + LEASE_REMEMBERED_FOR }
    const ended = this.#commit(entry, change, () => this.#topics.drop(entry))
    // A failing journal closes the server, and the server reports the failure.
    if (ended) ended.catch(() => {})
    return ended
  }

  // ---- Changes

  /** Writes a change to the journal, applies it and notifies the watchers (ST2). Then returns `outcome`. */
  #commit<T>(entry: Entry, change: Change, outcome: () => T): T | Promise<T> {
    const go = (): T => {
      if (this.#apply(change)) {
        const state = stateOf(entry)
        for (const watcher of entry.watchers) watcher.notice(state)
      }
      return outcome()
    }
    if (!this.#recorder) return go()
    entry.pending++
    return this.#recorder.append(change).then(
      () => {
        entry.pending--
        return go()
      },
      (error: unknown) => {
        entry.pending--
        this.#topics.drop(entry)
        throw error
      },
    )
  }

  /** Applies a change (ST1). Returns true if the state changed. */
  #apply(change: Change): boolean {
    if (change.type === 'forgotten') {
      this.#forgotten.add(change.id, now() + Math.max(0, change.until - readWall()))
      this.#cleanLater()
      return false
    }
    const entry = this.#topics.entry(change.topic)
    for (const keep of this.#snapshots) keep(entry, change)
    this.#topics.count(entry, -1)
    const differs = this.#change(entry, change)
    this.#topics.count(entry, 1)
    return differs
  }

  #change(entry: Entry, change: Exclude<Change, { readonly type: 'forgotten' }>): boolean {
    const { lease } = entry
    switch (change.type) {
      case 'mark':
        // The mark was offered again while its first copy was still being written, and was forgotten in between.
        if (entry.mark || this.#forgotten.has(change.mark.id)) return false
        entry.mark = change.mark
        entry.markUntil = now() + Math.max(0, change.until - readWall())
        return true
      case 'forget':
        if (entry.mark) this.#forgotten.add(entry.mark.id, entry.markUntil)
        entry.mark = undefined
        if (lease && lease.until === undefined) entry.lease = undefined
        return false
      case 'lease': {
        this.#fence = Math.max(this.#fence, change.fence)
        if (lease && lease.until !== undefined) return false
        const { owner, fence, ttl, lost } = change
        const taken: Lease = { owner, fence, ttl, lost, until: 0, forgotten: Infinity, stop: () => {} }
        entry.lease = taken
        // After a restart the time that is left is unknown. A full ttl is safe (E10).
        this.#extend(entry, taken)
        return true
      }
      case 'over':
      case 'release':
    }
    if (lease?.fence !== change.fence || lease.until === undefined) return false
    lease.stop()
    lease.until = undefined
    lease.forgotten = now() + Math.max(0, change.until - readWall())
    if (change.type === 'over') lease.lost = lease.fence
    else if (lease.lost === 0) entry.lease = undefined
    return true
  }

  // ---- Tidying up

  #cleanLater(): void {
    this.#stopSweep ??= after(SWEEP, () => this.#clean(), false)
  }

  #clean(): void {
    this.#stopSweep = undefined
    this.#topics.sweep(SWEEP_SIZE)
    this.#forgotten.sweep(SWEEP_SIZE)
    this.#sessions.sweep()
    if (this.#topics.size + this.#sessions.size + this.#forgotten.size > 0) this.#cleanLater()
  }

  /** Stops all timers. */
  close(): void {
    this.#stopSweep?.()
    for (const { lease } of this.#topics) lease?.stop()
  }
}

/** Whether the state and the role of a record from the wire are known. */
export function isHolder({ state, role }: HolderRecord): boolean {
  return state <= 2 && role < ROLES.length
}
