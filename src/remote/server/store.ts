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
  type HolderReport,
  LEASE_REMEMBERED_FOR,
  type LeaseRecord,
  type MarkRecord,
  ROLES,
  type Session,
  SILENT_FOR,
  type Topic,
  type TopicReport,
  type TopicState,
} from '../contract/engine.js'
import { HubError } from '../contract/errors.js'
import { ForgottenMarks } from './forgotten-marks.js'
import { keyOf } from '../contract/topic.js'

/** A durable change. `until` is a time of the wall clock, the only clock that survives a crash. */
export type Change =
  | { readonly type: 'mark'; readonly topic: Topic; readonly mark: MarkRecord; readonly until: number }
  | { readonly type: 'forget'; readonly topic: Topic }
  /** The rest of a forgotten mark, in a compacted journal. */
  | { readonly type: 'forgotten'; readonly id: string; readonly until: number }
  | {
      readonly type: 'lease'
      readonly topic: Topic
      readonly owner: string
      readonly fence: number
      readonly ttl: number
      /** The state of earlier terms, see `LeaseRecord`. */
      readonly lost: number
    }
  /** A lease has ended: it was lost, or released. */
  | { readonly type: 'over' | 'release'; readonly topic: Topic; readonly fence: number; readonly until: number }

/** The shortest list of changes that leads to the present state. The state may change while it is read. */
export interface Snapshot extends Iterable<Change> {
  /** Ends the snapshot. Returns the later changes of topics that the snapshot had already passed. */
  end(): readonly Change[]
}

/** Stores changes. */
export interface Recorder {
  /** Resolves when the change is durable. Calls resolve in their order. */
  append(change: Change): Promise<void>
}

/** One connection, as the store sees it. */
export interface Watcher {
  notice(state: TopicState): void
  /** Called when another connection has taken over its session. */
  replaced(): void
}

/** The limits of the store. */
export interface StoreLimits {
  /** The number of topics with a mark or a lease. */
  readonly marks: number
  /** The number of holders of one session. */
  readonly names: number
  /** Bytes of memory, as `weight` estimates them. Default: no limit. */
  readonly bytes?: number
}

/** The sizes of records in bytes, a little more than measured, without their texts. */
const weight = {
  topic: 500,
  holder: 450,
  mark: 400,
  lease: 500,
  /** The size of a text. Texts are stored once, and most of them are also keys. */
  character: 2,
}

function weightOfMark({ reason, what, token, host }: MarkRecord): number {
  return weight.mark + weight.character * (reason.length + what.length + token.length + host.length)
}

function weightOfLease(owner: string): number {
  return weight.lease + weight.character * owner.length
}

/** The size of an entry without its holders. */
function weightOf({ mark, lease }: Entry): number {
  return (mark ? weightOfMark(mark) : 0) + (lease ? weightOfLease(lease.owner) : 0)
}

function weightOfTopic({ name, runId }: Topic): number {
  return weight.topic + 2 * weight.character * (name.length + runId.length)
}

interface Lease {
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

interface Entry {
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

interface HeldToken {
  record: HolderRecord
  readonly entry: Entry
  readonly session: SessionState
  /** The connection that entered it last. */
  through: Watcher
}

/** A session that the store knows. */
interface SessionState {
  readonly info: Session
  /** Its public id. The session id itself is a secret. */
  readonly number: number
  readonly holders: Map<number, HeldToken>
  link: Watcher | undefined
  heard: number
  /** The number of holders that each connection has entered, by topic. */
  readonly watched: Map<Watcher, Map<Entry, number>>
}

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
/** Open tokens may take at most this part of the memory, so that room is left for cancels. */
const TOKENS = 3 / 4
/** The most sessions without a connection. Beyond it the store drops the one that has been gone longest. It enters again when it returns. */
const MOST_ABSENT = 10_000

/** The wall clock counts whole milliseconds, so a duration between two readings may be one too short. */
const TICK = 1
/** Milliseconds between two sweeps for expired topics, and the number of topics of one sweep. */
const SWEEP = 1_000
const SWEEP_SIZE = 2_000

export class Store {
  readonly #entries = new Map<string, Entry>()
  readonly #sessions = new Map<string, SessionState>()
  /** The sessions without a connection. The one that lost its connection first comes first. */
  readonly #absent = new Set<string>()
  /** The ids of forgotten marks, so that no forgotten mark comes back (E2). */
  readonly #forgotten: ForgottenMarks
  readonly #recorder: Recorder | undefined
  /** At least as high as any earlier fence: from the journal, or, without a journal, higher than any earlier server can have reached. */
  #fence = readWall()
  #numbers = 0
  #marks = 0
  /** The size of the whole state, in bytes. */
  #bytes = 0
  /** The snapshots in progress. Each of them receives every change. */
  readonly #snapshots = new Set<(entry: Entry, change: Change) => void>()
  #sweep: IterableIterator<Entry> | undefined
  /** Absent while nothing can expire. */
  #stopSweep: (() => void) | undefined

  constructor(
    private readonly limits: StoreLimits,
    recorder?: Recorder,
    changes: Iterable<Change> = [],
  ) {
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
    for (const entry of this.#entries.values()) {
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

  /** Attaches a session to a connection. An older connection of the session is dropped. */
  attach(info: Session, link: Watcher): void {
    let known = this.#sessions.get(info.id)
    if (!known) {
      known = { info, number: ++this.#numbers, holders: new Map(), link, heard: now(), watched: new Map() }
      this.#sessions.set(info.id, known)
      this.#cleanLater()
    }
    const before = known.link
    known.link = link
    this.#absent.delete(info.id)
    known.heard = now()
    known.watched.set(link, new Map())
    if (before && before !== link) {
      this.detach(info.id, before)
      before.replaced()
    }
  }

  /** A connection is lost. Its session may come back over another connection. */
  detach(session: string, link: Watcher): void {
    const known = this.#sessions.get(session)
    if (!known) return
    for (const entry of known.watched.get(link)?.keys() ?? []) entry.watchers.delete(link)
    known.watched.delete(link)
    if (known.link !== link) return
    known.link = undefined
    known.heard = now()
    this.#absent.delete(session)
    this.#absent.add(session)
    if (this.#absent.size > MOST_ABSENT) this.bye(this.#absent.values().next().value as string)
  }

  enter(session: string, link: Watcher, holders: readonly HolderRecord[]): TopicState[] {
    const known = this.#session(session)
    const seen = new Set<Entry>()
    for (const record of holders) seen.add(this.#enterOne(known, link, record).entry)
    return Array.from(seen, (entry) => this.#stateOf(entry))
  }

  #enterOne(known: SessionState, link: Watcher, record: HolderRecord): HeldToken {
    let held = known.holders.get(record.id)
    if (held && held.entry.key !== keyOf(record.topic)) {
      throw new HubError('ERR_HUB_REFUSED', `holder ${record.id} already holds another token`)
    }
    if (!held) {
      if (known.holders.size >= this.limits.names) {
        throw new HubError('ERR_HUB_REFUSED', `a connection may open at most ${this.limits.names} tokens`)
      }
      const ofTopic = this.#entries.has(keyOf(record.topic)) ? 0 : weightOfTopic(record.topic)
      this.#makeRoom(weight.holder + ofTopic, 0, TOKENS)
      this.#bytes += weight.holder
      held = { record, entry: this.#entry(record.topic), session: known, through: link }
      known.holders.set(record.id, held)
      held.entry.holders.add(held)
      this.#watch(held)
    } else {
      // A state only goes up (E9).
      if (record.state > held.record.state) held.record = record
      if (held.through !== link) {
        held.through = link
        this.#watch(held)
      }
    }
    return held
  }

  leave(session: string, ids: readonly number[]): void {
    const known = this.#sessions.get(session)
    if (!known) return
    for (const id of ids) {
      const held = known.holders.get(id)
      if (held) this.#remove(held)
    }
  }

  /** Returns false if the session is unknown. */
  beat(session: string): boolean {
    const known = this.#sessions.get(session)
    if (known) known.heard = now()
    return known !== undefined
  }

  bye(session: string): void {
    const known = this.#sessions.get(session)
    if (!known) return
    for (const held of known.holders.values()) this.#remove(held)
    this.#sessions.delete(session)
    this.#absent.delete(session)
  }

  #session(session: string): SessionState {
    const known = this.#sessions.get(session)
    if (!known) throw new HubError('ERR_HUB_REFUSED', 'the session has ended')
    known.heard = now()
    return known
  }

  #watch({ entry, session, through }: HeldToken): void {
    const counts = session.watched.get(through)
    if (!counts) return
    counts.set(entry, (counts.get(entry) ?? 0) + 1)
    entry.watchers.add(through)
  }

  #remove(held: HeldToken): void {
    const { entry, session, through, record } = held
    session.holders.delete(record.id)
    entry.holders.delete(held)
    this.#bytes -= weight.holder
    const counts = session.watched.get(through)
    const left = (counts?.get(entry) ?? 0) - 1
    if (left > 0) counts?.set(entry, left)
    else {
      counts?.delete(entry)
      entry.watchers.delete(through)
    }
    this.#drop(entry)
  }

  // ---- Marks

  read(topics: readonly Topic[]): TopicState[] {
    return topics.map((topic) => {
      const entry = this.#known(topic)
      return entry ? this.#stateOf(entry) : { topic, mark: undefined, lease: undefined }
    })
  }

  mark(topic: Topic, mark: MarkRecord, ttl: number): MarkRecord | Promise<MarkRecord> {
    const standing = this.#known(topic)?.mark
    if (standing) return standing
    if (this.#forgotten.has(mark.id)) return mark
    this.#makeRoom(weightOfMark(mark) + weightOfTopic(topic), 1)
    const entry = this.#entry(topic)
    return this.#commit(entry, { type: 'mark', topic, mark, until: readWall() + ttl + TICK }, () => {
      const stands = entry.mark ?? mark
      this.#drop(entry)
      return stands
    })
  }

  /** Errors: `ERR_HUB_REFUSED` if that part of the memory has no room for `bytes`, or if there are too many marks and leases. */
  #makeRoom(bytes: number, marks: number, part = 1): void {
    const { bytes: all = Infinity, marks: mostMarks } = this.limits
    const mostBytes = all * part
    if (this.#marks + marks > mostMarks) {
      throw new HubError('ERR_HUB_REFUSED', `the server has reached its limit of ${mostMarks} marks and leases`)
    }
    if (this.#bytes + bytes > mostBytes) {
      const most = Math.floor(mostBytes / 1_048_576)
      throw new HubError('ERR_HUB_REFUSED', `the server has reached its limit of ${most} MiB of stored data`)
    }
  }

  forget(topic: Topic): void | Promise<void> {
    const entry = this.#known(topic)
    if (entry) return this.#commit(entry, { type: 'forget', topic }, () => this.#drop(entry))
  }

  list(what: ListFilter): TopicReport[] {
    return Array.from(this.listing(what)).filter((report) => report !== undefined)
  }

  /**
   * Yields the same, one topic at a time, and undefined for each topic that was not asked for. It may be read in slices: each topic is
   * reported as it is when it is read. A topic that exists from the beginning to the end is never left out.
   */
  *listing({ prefix, topic }: ListFilter): Generator<TopicReport | undefined, undefined> {
    for (const entry of topic ? [this.#known(topic)] : this.#entries.values()) {
      const isWanted = entry && (prefix === undefined || entry.topic.name.startsWith(prefix))
      yield isWanted ? this.#reportOn(entry) : undefined
    }
  }

  #reportOn(entry: Entry): TopicReport | undefined {
    this.#refresh(entry)
    const holders = Array.from(entry.holders, (held) => this.#reportOf(held))
    const { mark, lease } = this.#stateOf(entry)
    return mark || lease || holders.length > 0 ? { topic: entry.topic, mark, lease, holders } : undefined
  }

  #reportOf({ record, session }: HeldToken): HolderReport {
    const { info, number, link, heard } = session
    const { id, state, role, since } = record
    const silent = !link || heard + info.ttl < now()
    return { session: String(number), host: info.host, pid: info.pid, id, state, role, since, silent }
  }

  // ---- Leases

  acquire(topic: Topic, owner: string, ttl: number): Acquired | Promise<Acquired> {
    const known = this.#known(topic)
    if (!known?.lease) this.#makeRoom(weightOfLease(owner) + weightOfTopic(topic), known?.mark ? 0 : 1)
    const entry = known ?? this.#entry(topic)
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
    const entry = this.#known(topic)
    const lease = entry?.lease
    if (!entry || !lease || lease.fence !== fence || lease.until === undefined || lease.until <= now()) return false
    this.#extend(entry, lease)
    return true
  }

  release(topic: Topic, fence: number): void | Promise<void> {
    const entry = this.#known(topic)
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
    const ended = this.#commit(entry, change, () => this.#drop(entry))
    // A failing journal closes the server, and the server reports the failure.
    if (ended) ended.catch(() => {})
    return ended
  }

  // ---- Changes

  /** Writes a change to the journal, applies it and notifies the watchers (ST2). Then returns `outcome`. */
  #commit<T>(entry: Entry, change: Change, outcome: () => T): T | Promise<T> {
    const go = (): T => {
      if (this.#apply(change)) {
        const state = this.#stateOf(entry)
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
        this.#drop(entry)
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
    const entry = this.#entry(change.topic)
    for (const keep of this.#snapshots) keep(entry, change)
    this.#count(entry, -1)
    const differs = this.#change(entry, change)
    this.#count(entry, 1)
    return differs
  }

  /** Adds the size of an entry to the total, or subtracts it. */
  #count(entry: Entry, times: 1 | -1): void {
    if (!entry.mark && !entry.lease) return
    this.#marks += times
    this.#bytes += times * weightOf(entry)
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

  // ---- Topics

  #known(topic: Topic): Entry | undefined {
    const entry = this.#entries.get(keyOf(topic))
    if (entry) this.#refresh(entry)
    return entry
  }

  #entry(topic: Topic): Entry {
    const known = this.#known(topic)
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
    this.#cleanLater()
    this.#bytes += weightOfTopic(topic)
    return entry
  }

  #stateOf({ topic, mark, lease }: Entry): TopicState {
    const record: LeaseRecord | undefined = lease && {
      fence: lease.fence,
      lost: lease.lost,
      left: lease.until === undefined ? 0 : Math.max(0.001, lease.until - now()),
    }
    return { topic, mark, lease: record }
  }

  /** Removes the mark and the lease if they have expired. */
  #refresh(entry: Entry): void {
    const { mark, lease } = entry
    const isMarkOver = mark !== undefined && entry.markUntil <= now()
    const isLeaseOver = lease !== undefined && lease.until === undefined && lease.forgotten <= now()
    if (!isMarkOver && !isLeaseOver) return
    this.#count(entry, -1)
    if (isMarkOver) entry.mark = undefined
    if (isLeaseOver) entry.lease = undefined
    this.#count(entry, 1)
  }

  /** Drops an entry that holds nothing (ST3). */
  #drop(entry: Entry): void {
    this.#refresh(entry)
    const { mark, lease, holders, pending } = entry
    if (mark || lease || holders.size > 0 || pending > 0 || this.#entries.get(entry.key) !== entry) return
    this.#entries.delete(entry.key)
    this.#bytes -= weightOfTopic(entry.topic)
  }

  #cleanLater(): void {
    this.#stopSweep ??= after(SWEEP, () => this.#clean(), false)
  }

  /** Sweeps a few topics at a time, so that a million topics never block a request. */
  #clean(): void {
    this.#stopSweep = undefined
    for (let i = 0; i < SWEEP_SIZE; i++) {
      this.#sweep ??= this.#entries.values()
      const { value, done } = this.#sweep.next()
      if (done === true) {
        this.#sweep = undefined
        break
      }
      this.#drop(value)
    }
    this.#forgotten.sweep(SWEEP_SIZE)
    for (const [id, { link, heard, info }] of this.#sessions) {
      if (heard + info.ttl + SILENT_FOR < now() && !link) this.bye(id)
    }
    if (this.#entries.size + this.#sessions.size + this.#forgotten.size > 0) this.#cleanLater()
  }

  /** Stops all timers. */
  close(): void {
    this.#stopSweep?.()
    for (const { lease } of this.#entries.values()) lease?.stop()
  }
}

/** Whether the state and the role of a record from the wire are known. */
export function isHolder({ state, role }: HolderRecord): boolean {
  return state <= 2 && role < ROLES.length
}
