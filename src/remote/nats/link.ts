/** A link over a bucket: it carries out the requests of a hub with keys. */
import { now } from '../../core/clock.js'
import { LinkBase } from '../adapter/link-base.js'
import type { Opening } from '../adapter/open-link.js'
import {
  type Acquired,
  FORGOTTEN_PER_TOPIC,
  type HolderRecord,
  type HolderReport,
  type Link,
  type MarkRecord,
  type Topic,
  type TopicReport,
  type TopicState,
} from '../contract/engine.js'
import { repeat } from '../contract/deferred.js'
import { HubError } from '../contract/errors.js'
import type { Bucket, Stored } from './bucket.js'
import { HolderLookup } from './holder-lookup.js'
import { TopicCache, type TopicRecords } from './topic-cache.js'
import { Semaphore } from './semaphore.js'
import { holderKey, leaseKey, markKey, parseKey, pathOf, publicId, sessionKey } from './keys.js'
import { Leases, type SeenRevisions } from './leases.js'
import { holderEntryOf, type MarkEntry, markEntryOf, textOfMarkEntry, textOfSession } from './records.js'
import { reportOf, SessionCache } from './sessions.js'
import { Sweeper, SWEEP_EVERY } from './sweeper.js'

/** A holder, as it is stored. */
export interface StoredHolder {
  readonly path: string
  readonly state: number
  readonly seq: number
  /** The link over which it was stored last. */
  readonly over: NatsLink | undefined
}

/** What a process remembers from one link to the next. */
export interface SessionMemory {
  readonly seenRevisions: SeenRevisions
  readonly entered: Map<number, StoredHolder>
  /** Whether there was a link before. */
  isOld: boolean
}

interface Listed {
  readonly topic: Topic
  mark: Stored | undefined
  lease: Stored | undefined
  readonly holders: Promise<HolderReport | undefined>[]
}

export class NatsLink extends LinkBase implements Link {
  /** The id by which other processes know the session. */
  readonly #me: string
  readonly #topics: TopicCache
  readonly #leases: Leases
  readonly #holderLookup: HolderLookup
  readonly #sweeper: Sweeper
  /**
   * Limits the number of lists under way. A list is several requests, one after the other. Without a limit, ten
   * thousand lists would all be slow, and all would fail.
   */
  readonly #lists = new Semaphore(LISTS)
  /** The revision of the session. 0 unless the session is known to be stored. */
  #revision = 0
  /** The requests under way that store holders. */
  readonly #entering = new Set<Promise<unknown>>()
  /** Whether the session has ended by `bye`. */
  hasSaidBye = false
  #stopListening = () => {}
  #stopSweep = () => {}

  constructor(
    opening: Opening,
    private readonly bucket: Bucket,
    private readonly memory: SessionMemory,
  ) {
    super(opening)
    this.#me = publicId(this.session.id)
    this.#topics = new TopicCache(bucket)
    this.#leases = new Leases(bucket, memory.seenRevisions)
    this.#holderLookup = new HolderLookup(bucket)
    this.#sweeper = new Sweeper(bucket)
  }

  /** Listens for changes, and stores the session. */
  async begin(): Promise<void> {
    const subscription = this.bucket.onChange((key, text, seq) => this.#heard(key, text, seq))
    this.#stopListening = () => subscription.unsubscribe()
    await this.ask(async () => {
      await this.#announce()
      await this.#setClock()
      if (this.memory.isOld) await this.#removeStaleHolders()
      this.memory.isOld = true
    })
    this.#stopSweep = repeat(
      () => SWEEP_EVERY,
      () => this.#sweep(),
    )
  }

  protected override ended(): void {
    this.#stopListening()
    this.#stopSweep()
  }

  // ---- The session

  /** Stores the session, whether or not there is one. */
  async #announce(): Promise<void> {
    this.#revision = (await this.bucket.put(sessionKey(this.#me), textOfSession(this.session))) ?? 0
  }

  /** Sets the clock of the bucket by the time of the record that was just stored. */
  async #setClock(): Promise<Stored | undefined> {
    const stored = now()
    const mine = await this.bucket.get(sessionKey(this.#me))
    if (mine && mine.seq === this.#revision) this.bucket.setClock(mine, stored)
    return mine
  }

  /**
   * Removes holders that have left. A server that was killed may have forgotten that a record was removed just before.
   * So holders of this session that have left would come back, and no process would ever remove them again.
   */
  async #removeStaleHolders(): Promise<void> {
    const keys = await this.bucket.keys(`holder.*.*.${this.#me}.*`)
    const stale = keys.filter((key) => {
      const parsed = parseKey(key)
      return parsed?.kind === 'holder' && this.memory.entered.get(parsed.id)?.path !== parsed.path
    })
    await Promise.all(stale.map((key) => this.bucket.purge(key)))
  }

  beat(): Promise<boolean> {
    return this.ask(async () => {
      for (;;) {
        const key = sessionKey(this.#me)
        const seq = this.#revision && (await this.bucket.put(key, textOfSession(this.session), this.#revision))
        if (seq) {
          this.#revision = seq
          await this.#setClock()
          return true
        }
        const found = await this.bucket.get(key)
        if (!found) break
        // Another link of this same session has stored it.
        this.#revision = found.seq
      }
      this.#revision = 0
      for (const [id, entered] of this.memory.entered) this.memory.entered.set(id, { ...entered, over: undefined })
      return false
    })
  }

  bye(): Promise<void> {
    return this.ask(async () => {
      // A hub that is closed just after it has connected again may still be storing holders.
      do {
        await Promise.allSettled(this.#entering)
        await this.bucket.purge(`holder.*.*.${this.#me}.*`)
      } while (this.#entering.size > 0)
      await this.bucket.purge(sessionKey(this.#me))
      for (const [id, { path }] of this.memory.entered) this.#topics.remove(path, id)
      this.memory.entered.clear()
      this.#revision = 0
      this.hasSaidBye = true
    })
  }

  // ---- Holders

  enter(holders: readonly HolderRecord[]): Promise<readonly TopicState[]> {
    return this.ask(async () => {
      const topics = new Map<string, Topic>()
      for (const { topic } of holders) topics.set(pathOf(topic), topic)
      // First the holders are stored (E5). Changes that happen meanwhile are already reported.
      const entering = this.#enterAll(holders)
      this.#entering.add(entering)
      await entering.finally(() => this.#entering.delete(entering))
      return this.#read([...topics.values()])
    })
  }

  async #enterAll(holders: readonly HolderRecord[]): Promise<void> {
    if (!this.#revision) await this.#announce()
    await Promise.all(holders.map((record) => this.#enterOne(record)))
  }

  async #enterOne({ id, topic, state: given, role, since }: HolderRecord): Promise<void> {
    const path = pathOf(topic)
    const { entered } = this.memory
    const before = entered.get(id)
    if (before && before.path !== path) {
      throw new HubError('ERR_HUB_REFUSED', `holder ${id} already holds another token`)
    }
    this.#topics.add(topic, id)
    if (before && before.over === this && before.state >= given) return
    const key = holderKey(path, this.#me, id)
    let [state, expected] = [Math.max(given, before?.state ?? 0), before?.seq ?? 0]
    for (;;) {
      const seq = await this.bucket.put(key, JSON.stringify({ state, role, since }), expected)
      if (seq !== undefined) {
        entered.set(id, { path, state, seq, over: this })
        return
      }
      const found = await this.bucket.get(key)
      // A state only increases (E9).
      if (found?.text !== undefined) state = Math.max(state, holderEntryOf(found.text)?.state ?? 0)
      expected = found?.seq ?? 0
    }
  }

  leave(ids: readonly number[]): Promise<void> {
    return this.ask(async () => {
      await Promise.all(ids.map((id) => this.#leaveOne(id)))
    })
  }

  async #leaveOne(id: number): Promise<void> {
    const { entered } = this.memory
    const known = entered.get(id)
    if (known) this.#topics.remove(known.path, id)
    // If the place of the holder is unknown, all places are searched.
    await this.bucket.purge(known ? holderKey(known.path, this.#me, id) : `holder.*.*.${this.#me}.${id}`)
    entered.delete(id)
  }

  // ---- The states of topics

  read(topics: readonly Topic[]): Promise<readonly TopicState[]> {
    return this.ask(() => this.#read(topics))
  }

  async #read(topics: readonly Topic[]): Promise<TopicState[]> {
    const found = await this.#topics.readAll(topics.map(pathOf))
    return Promise.all(topics.map((topic, i) => this.#stateOf(topic, found[i] as TopicRecords)))
  }

  async #stateOf({ name, runId }: Topic, { mark, lease }: TopicRecords): Promise<TopicState> {
    const topic = { name, runId }
    const { stored, record } = await this.#leases.look(pathOf(topic), lease)
    if (stored && stored !== lease) this.#topics.learn(stored)
    return { topic, mark: this.#markOf(mark), lease: record }
  }

  /** Returns the mark if there is one and it has not expired. */
  #markOf(stored: Stored | undefined): MarkRecord | undefined {
    if (stored?.text === undefined) return undefined
    const { mark, ttl } = markEntryOf(stored.text)
    return isOver(this.bucket.age(stored), ttl) ? undefined : mark
  }

  /** Returns the marks of the topic that were forgotten, and how long they must still be remembered (E2). */
  #forgottenIn(stored: Stored | undefined): Pick<MarkEntry, 'forgotten' | 'remembered'> {
    if (stored?.text === undefined) return { forgotten: [], remembered: 0 }
    const { forgotten, remembered } = markEntryOf(stored.text)
    const left = remembered - this.bucket.age(stored)
    return left > 0 ? { forgotten, remembered: left } : { forgotten: [], remembered: 0 }
  }

  #heard(key: string, text: string | undefined, seq: number): void {
    if (this.over) return
    const parsed = parseKey(key)
    if (parsed?.kind !== 'mark' && parsed?.kind !== 'lease') return
    const followed = this.#topics.of(parsed.path)
    if (!followed) return
    // The message for a lease says only that it has changed.
    if (parsed.kind === 'mark') this.#topics.learn({ key, seq, at: this.bucket.time, text })
    this.ask(async () => {
      const found = parsed.kind === 'mark' ? followed : await this.#topics.read(parsed.path)
      this.notice(await this.#stateOf(followed.topic, found))
    }).catch(() => {}) // The link is lost, or another notice or read makes up for it.
  }

  // ---- Marks

  mark(topic: Topic, mark: MarkRecord, ttl: number): Promise<MarkRecord> {
    return this.ask(async () => {
      const key = markKey(pathOf(topic))
      for (let found: Stored | undefined; ;) {
        const before = this.#forgottenIn(found)
        const text = textOfMarkEntry({ mark, ttl, ...before })
        if ((await this.bucket.replace(key, text, found?.seq ?? 0)) !== undefined) return mark
        found = await this.bucket.final(key)
        const standing = this.#markOf(found)
        if (standing) return standing
        if (this.#forgottenIn(found).forgotten.includes(mark.id)) return mark
      }
    })
  }

  forget(topic: Topic): Promise<void> {
    return this.ask(async () => {
      const path = pathOf(topic)
      const key = markKey(path)
      for (;;) {
        const found = await this.bucket.get(key)
        const mark = this.#markOf(found)
        if (!found || !mark) break
        // The id of the mark stays, so that the mark does not come back when it is offered once more (E2).
        const before = this.#forgottenIn(found)
        const ttl = markEntryOf(found.text as string).ttl - this.bucket.age(found)
        const forgotten = [mark.id, ...before.forgotten].slice(0, FORGOTTEN_PER_TOPIC)
        const remembered = Math.max(0, ttl, before.remembered)
        const text = textOfMarkEntry({ mark: undefined, ttl: 0, forgotten, remembered })
        if ((await this.bucket.replace(key, text, found.seq)) !== undefined) break
      }
      await this.#leases.forget(path)
    })
  }

  // ---- Leases

  acquire(topic: Topic, owner: string, ttl: number): Promise<Acquired> {
    return this.ask(() => this.#leases.acquire(pathOf(topic), owner, ttl))
  }

  renew(topic: Topic, fence: number, ttl: number): Promise<boolean> {
    return this.ask(() => this.#leases.renew(pathOf(topic), fence, ttl))
  }

  release(topic: Topic, fence: number): Promise<void> {
    return this.ask(() => this.#leases.release(pathOf(topic), fence))
  }

  // ---- Lists

  list(what: { readonly prefix: string } | { readonly topic: Topic }): Promise<readonly TopicReport[]> {
    const list = async () => {
      if (this.over) throw this.over
      const found = 'topic' in what ? await this.#listTopic(what.topic) : await this.#listTopics(what.prefix)
      const all = await Promise.all(
        found.map(async ({ topic, mark, lease, holders }): Promise<TopicReport> => {
          const [state, shown] = await Promise.all([this.#stateOf(topic, { mark, lease }), Promise.all(holders)])
          return Object.assign(state, { holders: shown.filter((one) => one !== undefined) })
        }),
      )
      return all.filter(({ mark, lease, holders }) => mark || lease || holders.length > 0)
    }
    return this.ask(() => this.#lists.run(false, list))
  }

  /** Reads one topic as it is when its holders are counted. A holder that leaves because of a mark is still counted. */
  async #listTopic(topic: Topic): Promise<readonly Listed[]> {
    const path = pathOf(topic)
    const [mark, lease, keys] = await Promise.all([
      this.bucket.get(markKey(path)),
      this.bucket.get(leaseKey(path)),
      this.#holderLookup.of(path),
    ])
    const sessions = new SessionCache(this.bucket)
    const report = async (key: string) => reportOf(key, await this.bucket.get(key), sessions)
    return [{ topic, mark, lease, holders: keys.map(report) }]
  }

  /**
   * Reads all topics whose names begin with the prefix. Names in a bucket have no order, so all keys are listed, and
   * the matching ones are read.
   */
  async #listTopics(prefix: string): Promise<readonly Listed[]> {
    const sessions = new SessionCache(this.bucket)
    const byPath = new Map<string, Listed>()
    const keys = await this.bucket.keys('>')
    await Promise.all(
      keys.map(async (key) => {
        const parsed = parseKey(key)
        if (!parsed || parsed.kind === 'session' || !parsed.topic.name.startsWith(prefix)) return
        const { kind, path, topic } = parsed
        let listed = byPath.get(path)
        if (!listed) byPath.set(path, (listed = { topic, mark: undefined, lease: undefined, holders: [] }))
        const stored = await this.bucket.get(key)
        if (kind === 'holder') listed.holders.push(reportOf(key, stored, sessions))
        else listed[kind] = stored
      }),
    )
    return [...byPath.values()]
  }

  // ---- Tidying up

  #sweep(): void {
    this.memory.seenRevisions.forgetBefore(now() - REMEMBERED)
    this.ask(() => this.#sweeper.sweep()).catch(() => {}) // Another process will sweep.
  }
}

/** The most lists under way. High enough that one scan of all keys can serve many of them (holder-lookup.ts). */
const LISTS = 500

/**
 * How long this process remembers a lease that is neither renewed nor read, in milliseconds. Longer than any sensible
 * `ttl`.
 */
const REMEMBERED = 24 * 3_600_000

/** Whether a record has expired. Timestamps are cut to whole milliseconds on their way. */
function isOver(age: number, ttl: number): boolean {
  return age > ttl + 1
}
