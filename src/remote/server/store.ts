/**
 * What an embedded server knows, and what it does about it: no sockets, no files.
 *
 * Invariants
 * ST1. What has to survive (marks, leases) is changed by `apply` alone, one {@link Change} at a time, and depends on nothing but
 *     the changes before it and what of them has expired. So whoever replays the changes gets to the same state.
 * ST2. A change is written to the journal, if there is one, before it is applied; and nobody is told of it before that.
 * ST3. A topic is known exactly while there is something to know: a mark, a lease, a holder, or a change under way.
 * ST4. Sessions and holders are not written down: who is alive enters again by itself after a restart.
 * ST5. A snapshot holds each topic as it was at one moment, and every change of it after that moment, in order.
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
import { Forgotten } from './forgotten-marks.js'
import { keyOf } from '../contract/topic.js'

/** What survives a crash. `until` is by the wall clock, the only one that does. */
export type Change =
  | { readonly type: 'mark'; readonly topic: Topic; readonly mark: MarkRecord; readonly until: number }
  | { readonly type: 'forget'; readonly topic: Topic }
  /** What is left of a mark that was forgotten, when a journal is written anew. */
  | { readonly type: 'forgotten'; readonly id: string; readonly until: number }
  | {
      readonly type: 'lease'
      readonly topic: Topic
      readonly owner: string
      readonly fence: number
      readonly ttl: number
      /** What is known of earlier terms, see `LeaseRecord`. */
      readonly lost: number
    }
  | { readonly type: 'over'; readonly topic: Topic; readonly fence: number; readonly until: number }
  | { readonly type: 'release'; readonly topic: Topic; readonly fence: number; readonly until: number }

/** The fewest changes that lead to the present state, while that goes on changing. */
export interface Snapshot extends Iterable<Change> {
  /** Ends it. Returns the changes of topics that were given before they changed. */
  end(): readonly Change[]
}

/** Where changes are written down. */
export interface Recorder {
  /** Resolves once it will survive a crash, in the order of the calls. */
  append(change: Change): Promise<void>
}

/** One connection, as the store sees it. */
export interface Watcher {
  notice(state: TopicState): void
  /** Another connection has taken over its session. */
  replaced(): void
}

/** How much the store takes in. */
export interface StoreLimits {
  /** Topics with a mark or a lease. */
  readonly marks: number
  /** Holders of one session. */
  readonly names: number
  /** Of memory, as `weight` estimates it. Default: no limit. */
  readonly bytes?: number
}

/** What things take, in bytes: a little more than was measured. Texts come on top. */
const weight = {
  topic: 500,
  holder: 450,
  mark: 400,
  lease: 500,
  /** Of a text. Texts are stored once, and most of them as keys too. */
  character: 2,
}

function weightOfMark({ reason, what, token, host }: MarkRecord): number {
  return weight.mark + weight.character * (reason.length + what.length + token.length + host.length)
}

function weightOfLease(owner: string): number {
  return weight.lease + weight.character * owner.length
}

/** What an entry takes besides its holders. */
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
  /** When it ends, by `now()`; undefined once it is over. */
  until: number | undefined
  /** When it is forgotten that one was lost, by `now()`. */
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
  readonly holders: Set<Held>
  readonly watchers: Set<Watcher>
  /** Changes that are being written down. */
  pending: number
}

interface Held {
  record: HolderRecord
  readonly entry: Entry
  readonly session: Guest
  /** The connection it was entered through last. */
  through: Watcher
}

/** A session that the store knows. */
interface Guest {
  readonly info: Session
  /** What others know it by: the id itself is its secret. */
  readonly number: number
  readonly holders: Map<number, Held>
  link: Watcher | undefined
  heard: number
  /** How many holders were entered through a connection, by topic. */
  readonly watched: Map<Watcher, Map<Entry, number>>
}

/** What is to be listed: one topic, or all whose names begin alike. */
export interface Wanted {
  readonly prefix?: string | undefined
  readonly topic?: Topic | undefined
}

/** What a snapshot has given. */
interface Taken {
  readonly keys: Set<string>
  /** Every topic that there was; one that comes now is behind them all. */
  isAll: boolean
}

/** What a forgotten id takes, in bytes: it has 64 characters at the most. */
const FORGOTTEN_BYTES = 200
/** Open tokens take this part of the memory at the most, so that there is room left to cancel. */
const TOKENS = 3 / 4
/** Sessions that are not connected: of more than so many, those that left first are dropped. Each enters again when it comes back. */
const MOST_ABSENT = 10_000

/** The wall clock counts in whole milliseconds, so two readings may make a time look shorter by one. */
const TICK = 1
/** Milliseconds between two looks at what is over, and how many topics each looks at. */
const SWEEP = 1_000
const SWEPT = 2_000

export class Store {
  readonly #entries = new Map<string, Entry>()
  readonly #guests = new Map<string, Guest>()
  /** The sessions without a connection, in the order in which they lost it. */
  readonly #absent = new Set<string>()
  /** What of the marks that were forgotten is remembered, so that none comes back (E2). */
  readonly #forgotten: Forgotten
  readonly #recorder: Recorder | undefined
  readonly #limits: StoreLimits
  /** Higher than any fence before: what was replayed, or, where nothing is written down, what any earlier server can have given. */
  #fence = readWall()
  #numbers = 0
  #marks = 0
  /** What all of it takes. */
  #bytes = 0
  /** Told of each change: the snapshots that are being taken. */
  readonly #snapshots = new Set<(entry: Entry, change: Change) => void>()
  #sweep: IterableIterator<Entry> | undefined
  /** Absent while there is nothing that could be over. */
  #stopSweep: (() => void) | undefined

  constructor(limits: StoreLimits, recorder?: Recorder, changes: Iterable<Change> = []) {
    this.#limits = limits
    // Of ids that are forgotten an eighth of the memory is the most.
    this.#forgotten = new Forgotten(Math.min(limits.marks, Math.ceil((limits.bytes ?? Infinity) / 8 / FORGOTTEN_BYTES)))
    for (const change of changes) this.#apply(change)
    this.#recorder = recorder
  }

  /**
   * The fewest changes that lead to the present state: what a compacted journal begins with. They may be taken in slices: what
   * changes meanwhile of a topic whose changes were taken is given by `end`, and of any other when its turn comes (ST5).
   */
  changes(): Snapshot {
    const late: Change[] = []
    // By key: a topic that is dropped and comes back while the snapshot is taken has its changes behind those of before.
    const taken: Taken = { keys: new Set(), isAll: false }
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

  /** The forgotten marks come last, with those that were forgotten meanwhile. */
  *#changes(taken: Taken): Generator<Change, undefined> {
    const lag = readWall() - now()
    for (const entry of this.#entries.values()) {
      const { key, topic, mark, markUntil, lease } = entry
      if (taken.keys.has(key)) continue
      taken.keys.add(key)
      // All at once, before anything else can happen to the topic.
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

  /** A session comes in over a connection; one that it has left behind is dropped. */
  attach(info: Session, link: Watcher): void {
    let guest = this.#guests.get(info.id)
    if (!guest) {
      guest = { info, number: ++this.#numbers, holders: new Map(), link, heard: now(), watched: new Map() }
      this.#guests.set(info.id, guest)
      this.#cleanLater()
    }
    const before = guest.link
    guest.link = link
    this.#absent.delete(info.id)
    guest.heard = now()
    guest.watched.set(link, new Map())
    if (before && before !== link) {
      this.detach(info.id, before)
      before.replaced()
    }
  }

  /** A connection is gone. Its session may come back over another one. */
  detach(session: string, link: Watcher): void {
    const guest = this.#guests.get(session)
    if (!guest) return
    for (const entry of guest.watched.get(link)?.keys() ?? []) entry.watchers.delete(link)
    guest.watched.delete(link)
    if (guest.link !== link) return
    guest.link = undefined
    guest.heard = now()
    this.#absent.delete(session)
    this.#absent.add(session)
    if (this.#absent.size > MOST_ABSENT) this.bye(this.#absent.values().next().value as string)
  }

  enter(session: string, link: Watcher, holders: readonly HolderRecord[]): TopicState[] {
    const guest = this.#guest(session)
    const seen = new Set<Entry>()
    for (const record of holders) seen.add(this.#enterOne(guest, link, record).entry)
    return Array.from(seen, (entry) => this.#stateOf(entry))
  }

  #enterOne(guest: Guest, link: Watcher, record: HolderRecord): Held {
    let held = guest.holders.get(record.id)
    if (held && held.entry.key !== keyOf(record.topic)) {
      throw new HubError('ERR_HUB_REFUSED', `holder ${record.id} already holds another token`)
    }
    if (!held) {
      if (guest.holders.size >= this.#limits.names) {
        throw new HubError('ERR_HUB_REFUSED', `a connection may open at most ${this.#limits.names} tokens`)
      }
      const ofTopic = this.#entries.has(keyOf(record.topic)) ? 0 : weightOfTopic(record.topic)
      this.#makeRoom(weight.holder + ofTopic, 0, TOKENS)
      this.#bytes += weight.holder
      held = { record, entry: this.#entry(record.topic), session: guest, through: link }
      guest.holders.set(record.id, held)
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
    const guest = this.#guests.get(session)
    if (!guest) return
    for (const id of ids) {
      const held = guest.holders.get(id)
      if (held) this.#remove(held)
    }
  }

  /** False if the session is not known any more. */
  beat(session: string): boolean {
    const guest = this.#guests.get(session)
    if (guest) guest.heard = now()
    return guest !== undefined
  }

  bye(session: string): void {
    const guest = this.#guests.get(session)
    if (!guest) return
    for (const held of guest.holders.values()) this.#remove(held)
    this.#guests.delete(session)
    this.#absent.delete(session)
  }

  #guest(session: string): Guest {
    const guest = this.#guests.get(session)
    if (!guest) throw new HubError('ERR_HUB_REFUSED', 'the session has ended')
    guest.heard = now()
    return guest
  }

  #watch({ entry, session, through }: Held): void {
    const counts = session.watched.get(through)
    if (!counts) return
    counts.set(entry, (counts.get(entry) ?? 0) + 1)
    entry.watchers.add(through)
  }

  #remove(held: Held): void {
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

  /** Errors: `ERR_HUB_REFUSED` if there is no room for so many bytes, in that part of the memory, and marks or leases, more. */
  #makeRoom(bytes: number, marks: number, part = 1): void {
    const { bytes: all = Infinity, marks: mostMarks } = this.#limits
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

  list(what: Wanted): TopicReport[] {
    return Array.from(this.listing(what)).filter((report) => report !== undefined)
  }

  /**
   * The same, one topic after the other, with undefined for each that is not wanted. It may be taken in slices: each topic is as it stands
   * when it is taken, and none that is there from the beginning to the end is left out.
   */
  *listing({ prefix, topic }: Wanted): Generator<TopicReport | undefined, undefined> {
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

  #reportOf({ record, session }: Held): HolderReport {
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
    // Its time is up, and its timer late.
    const ended = this.#end(entry, lease)
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
    if (entry?.lease?.fence !== fence || entry.lease.until === undefined) return
    const change: Change = { type: 'release', topic, fence, until: readWall() + LEASE_REMEMBERED_FOR }
    return this.#commit(entry, change, () => this.#drop(entry))
  }

  #extend(entry: Entry, lease: Lease): void {
    lease.stop()
    lease.until = now() + lease.ttl
    lease.stop = after(lease.ttl, () => void this.#end(entry, lease), false)
  }

  #end(entry: Entry, lease: Lease): void | Promise<void> {
    if (entry.lease !== lease || lease.until === undefined) return
    const change: Change = {
      type: 'over',
      topic: entry.topic,
      fence: lease.fence,
      until: readWall() + LEASE_REMEMBERED_FOR,
    }
    const ended = this.#commit(entry, change, () => {})
    // A journal that fails ends the server, which is where that is told.
    if (ended) ended.catch(() => {})
    return ended
  }

  // ---- Changes

  /** Writes a change down, applies it, and tells those who watch (ST2); then gives `outcome`. */
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

  /** ST1. True if it made a difference. */
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

  /** Adds what an entry has to what there is, or takes it away. */
  #count(entry: Entry, times: 1 | -1): void {
    if (!entry.mark && !entry.lease) return
    this.#marks += times
    this.#bytes += times * weightOf(entry)
  }

  #change(entry: Entry, change: Exclude<Change, { readonly type: 'forgotten' }>): boolean {
    const { lease } = entry
    switch (change.type) {
      case 'mark':
        // Offered again while the first one was still being written, and forgotten in between.
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
        // After a restart nobody knows how much of it is left: all of it, to be safe (E10).
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

  /** Takes away what has lived its time. */
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

  /** ST3. */
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

  /** Some topics at a time, so that a million of them never stand in anybody's way. */
  #clean(): void {
    this.#stopSweep = undefined
    for (let i = 0; i < SWEPT; i++) {
      this.#sweep ??= this.#entries.values()
      const { value, done } = this.#sweep.next()
      if (done === true) {
        this.#sweep = undefined
        break
      }
      this.#drop(value)
    }
    this.#forgotten.sweep(SWEPT)
    for (const [id, { link, heard, info }] of this.#guests) {
      if (heard + info.ttl + SILENT_FOR < now() && !link) this.bye(id)
    }
    if (this.#entries.size + this.#guests.size + this.#forgotten.size > 0) this.#cleanLater()
  }

  /** Stops all timers. */
  close(): void {
    this.#stopSweep?.()
    for (const { lease } of this.#entries.values()) lease?.stop()
  }
}

/** Whether the numbers in a record that came over the wire mean something. */
export function isHolder({ state, role }: HolderRecord): boolean {
  return state <= 2 && role < ROLES.length
}
