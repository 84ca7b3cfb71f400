/** A link over PostgreSQL: one connection, for requests and notices. */
import { LinkBase } from '../adapter/link-base.js'
import type { Opening } from '../adapter/open-link.js'
import { holderReportOf, markOfText, textOfMark, topicStateOf } from '../adapter/stored-fields.js'
import type {
  Acquired,
  HolderRecord,
  HolderReport,
  Link,
  MarkRecord,
  Topic,
  TopicReport,
  TopicState,
} from '../contract/engine.js'
import { HubError } from '../contract/errors.js'
import { Deferred, repeat } from '../contract/deferred.js'
import { keyOf } from '../contract/topic.js'
import type { Client } from './clients.js'
import { POOLER } from './failures.js'
import type { Statements } from './statements.js'

/** Milliseconds between two removals of expired rows. */
const CLEAN = 60_000
/** The most marks that one statement stores. */
const BATCH = 500
/** The longest duration that is sent to PostgreSQL: three hundred years. */
const LONGEST = 1e13

type Row = readonly (string | null)[]

interface PendingMark {
  readonly topic: Topic
  readonly text: string
  readonly id: string
  readonly ttl: number
  readonly later: Deferred<MarkRecord>
}

export class PostgresLink extends LinkBase implements Link {
  #line: Promise<unknown> = Promise.resolve()
  /** Marks that wait until earlier marks are stored. */
  readonly #marking: PendingMark[] = []
  #isMarking = false
  /** Topics that have changed and must be read. */
  readonly #changed = new Map<string, Topic>()
  #isReading = false
  #stopCleaning = () => {}

  constructor(
    opening: Opening,
    private readonly client: Client,
    private readonly statements: Statements,
    private readonly channel: string,
  ) {
    super(opening)
    client.on('notification', ({ channel: about, payload = '' }) => {
      if (about === channel) this.#onNotification(payload)
    })
  }

  /** Begins the session and checks that notifications arrive. */
  async begin(): Promise<void> {
    await this.#attach()
    await this.beat()
    // A notification to the own connection arrives before the statement ends.
    if (this.isEchoMissing) {
      throw new HubError('ERR_HUB_REFUSED', `${this.place}: LISTEN has no effect here; ${POOLER}`)
    }
    const clean = () => void this.#clean().catch(() => {}) // another client will do it
    this.#stopCleaning = repeat(() => CLEAN, clean)
  }

  protected override ended(): void {
    this.#stopCleaning()
  }

  /** Sends statements one after the other. */
  #query(text: string, ...values: unknown[]): Promise<readonly Row[]> {
    return this.ask(() => {
      const turn = this.#line.then(() => this.#send(text, values))
      this.#line = turn.catch(() => {})
      return turn
    })
  }

  async #send(text: string, values: unknown[]): Promise<readonly Row[]> {
    if (this.over) throw this.over
    // A named statement is parsed and planned once for each connection.
    const { rows } = await this.client.query<(string | null)[]>({ name: nameOf(text), text, values, rowMode: 'array' })
    return rows
  }

  // ---- Notices

  #onNotification(payload: string): void {
    if (this.over) return
    if (payload === '') return this.echoed()
    const topic = topicFrom(payload)
    if (!topic) return // A notification of another program: no hub has sent it.
    this.#changed.set(keyOf(topic), topic)
    if (!this.#isReading) void this.#readChanged()
  }

  /** Topics that change during a read are read together afterwards. */
  async #readChanged(): Promise<void> {
    this.#isReading = true
    try {
      while (this.#changed.size > 0) {
        const topics = [...this.#changed.values()]
        this.#changed.clear()
        for (const state of await this.read(topics)) this.notice(state)
      }
    } catch {
      // Over the next link everything is read again. If this link goes on, the next full reading makes up for it.
    } finally {
      this.#isReading = false
    }
  }

  // ---- Sessions and holders

  async #attach(): Promise<void> {
    const { id, host, pid, ttl } = this.session
    await this.#query(this.statements.attach, id, this.channel, host, pid, ttl)
  }

  async beat(): Promise<boolean> {
    const { id } = this.session
    this.expectEcho()
    const lives = await this.#query(this.statements.beat, id)
    if (lives.length > 0) return true
    await this.#attach()
    return false
  }

  async enter(holders: readonly HolderRecord[]): Promise<readonly TopicState[]> {
    // Each holder once, with its highest state: a statement cannot change a row twice.
    const last = new Map<number, HolderRecord>()
    for (const holder of holders) {
      const before = last.get(holder.id)
      if (!before || before.state <= holder.state) last.set(holder.id, holder)
    }
    const all = [...last.values()]
    const [answer] = await this.#query(
      this.statements.enter,
      this.session.id,
      all.map(({ id }) => id),
      all.map(({ topic }) => topic.name),
      all.map(({ topic }) => topic.runId),
      all.map(({ state }) => state),
      all.map(({ role }) => role),
      all.map(({ since }) => since),
    )
    const [lives, entered] = (answer ?? []).map(Number)
    if (lives !== 1) {
      // The session was silent for too long and has expired. Over the next link everything is entered again.
      throw this.gone('the session has expired')
    }
    if (entered !== all.length) {
      throw new HubError('ERR_HUB_REFUSED', `${this.place}: a holder already holds another token`)
    }
    // A separate statement, which sees what was stored meanwhile (PG1).
    return this.read(all.map(({ topic }) => topic))
  }

  async leave(ids: readonly number[]): Promise<void> {
    await this.#query(this.statements.leave, this.session.id, ids)
  }

  async bye(): Promise<void> {
    const { id } = this.session
    for (const statement of this.statements.bye) await this.#query(statement, id)
  }

  // ---- Topics

  async read(topics: readonly Topic[]): Promise<readonly TopicState[]> {
    const found = new Map<string, TopicState>()
    for (const row of await this.#query(this.statements.read, ...columnsOf(topics))) {
      const state = stateOf(row)
      found.set(keyOf(state.topic), state)
    }
    const asked = new Map(topics.map((topic) => [keyOf(topic), topic]))
    return Array.from(asked, ([key, topic]) => found.get(key) ?? { topic, mark: undefined, lease: undefined })
  }

  mark(topic: Topic, mark: MarkRecord, ttl: number): Promise<MarkRecord> {
    const later = new Deferred<MarkRecord>()
    this.#marking.push({ topic, text: textOfMark(mark), id: mark.id, ttl: Math.min(ttl, LONGEST), later })
    if (!this.#isMarking) void this.#markAll()
    return later.promise
  }

  /** Marks that arrive while others are stored are stored together afterwards, with one write to the disk. */
  async #markAll(): Promise<void> {
    this.#isMarking = true
    while (this.#marking.length > 0) {
      // Marks of one turn of the event loop are stored together.
      await Promise.resolve()
      const some = this.#marking.splice(0, BATCH)
      try {
        await this.#markSome(some)
      } catch (error) {
        for (const { later } of some) later.reject(error as Error)
      }
    }
    this.#isMarking = false
  }

  async #markSome(some: readonly PendingMark[]): Promise<void> {
    const first = new Map<string, PendingMark>()
    for (const one of some) if (!first.has(keyOf(one.topic))) first.set(keyOf(one.topic), one)
    const all = [...first.values()]
    const columns = columnsOf(all.map(({ topic }) => topic))
    const texts = all.map(({ text }) => text)
    const ids = all.map(({ id }) => id)
    const ttls = all.map(({ ttl }) => ttl)
    const mine = await this.#query(this.statements.mark, ...columns, texts, ids, ttls)
    const standing = new Map(all.map(({ topic, text }) => [keyOf(topic), markOfText(text)]))
    if (mine.length < all.length) {
      const topics = all.map(({ topic }) => topic)
      for (const { topic, mark } of await this.read(topics)) if (mark) standing.set(keyOf(topic), mark)
    }
    // Also marks that were already stored: the client that stored them may have failed before it notified (PG1, E11).
    await this.#announce(columns)
    for (const { topic, later } of some) later.resolve(standing.get(keyOf(topic)) as MarkRecord)
  }

  async #announce(columns: readonly [string[], string[]]): Promise<void> {
    await this.#query(this.statements.announce, ...columns)
  }

  async list(what: { readonly prefix: string } | { readonly topic: Topic }): Promise<readonly TopicReport[]> {
    const { read, reportHolders, listTopics, listHolders } = this.statements
    let states: readonly Row[]
    let holders: readonly Row[]
    if ('topic' in what) {
      states = await this.#query(read, ...columnsOf([what.topic]))
      holders = await this.#query(reportHolders, what.topic.name, what.topic.runId)
    } else {
      const range = [what.prefix, below(what.prefix)]
      states = await this.#query(listTopics, ...range)
      holders = await this.#query(listHolders, ...range)
    }
    const reports = new Map<string, TopicReport & { readonly holders: HolderReport[] }>()
    for (const row of states) {
      const state = stateOf(row)
      if (state.mark || state.lease) reports.set(keyOf(state.topic), { ...state, holders: [] })
    }
    for (const [name, runId, ...row] of holders) {
      const topic = { name: name ?? '', runId: runId ?? '' }
      const report = reports.get(keyOf(topic)) ?? { topic, mark: undefined, lease: undefined, holders: [] }
      report.holders.push(holderReportOf(row))
      reports.set(keyOf(topic), report)
    }
    return [...reports.values()]
  }

  async forget({ name, runId }: Topic): Promise<void> {
    await this.#query(this.statements.forget, name, runId)
  }

  // ---- Leases

  async acquire(topic: Topic, owner: string, ttl: number): Promise<Acquired> {
    const { name, runId } = topic
    const [taken] = await this.#query(this.statements.acquire, name, runId, owner, Math.min(ttl, LONGEST))
    if (taken) {
      await this.#announce(columnsOf([topic]))
      return { held: true, fence: Number(taken[0]) }
    }
    const [state] = await this.read([topic])
    return { held: false, left: state?.lease?.left ?? 0 }
  }

  async renew({ name, runId }: Topic, fence: number, ttl: number): Promise<boolean> {
    const accepted = await this.#query(this.statements.renew, name, runId, fence, Math.min(ttl, LONGEST))
    return accepted.length > 0
  }

  async release(topic: Topic, fence: number): Promise<void> {
    const { name, runId } = topic
    const released = await this.#query(this.statements.release, name, runId, fence)
    if (released.length > 0) await this.#announce(columnsOf([topic]))
  }

  /** Removes expired rows, which otherwise take room. */
  async #clean(): Promise<void> {
    for (const statement of this.statements.clean) await this.#query(statement)
  }
}

const names = new Map<string, string>()

function nameOf(statement: string): string {
  let name = names.get(statement)
  if (name === undefined) names.set(statement, (name = `calloff_${names.size}`))
  return name
}

function columnsOf(topics: readonly Topic[]): [names: string[], runs: string[]] {
  return [topics.map(({ name }) => name), topics.map(({ runId }) => runId)]
}

function topicFrom(payload: string): Topic | undefined {
  try {
    const [name, runId] = JSON.parse(payload) as unknown[]
    return typeof name === 'string' && typeof runId === 'string' ? { name, runId } : undefined
  } catch {
    return undefined
  }
}

function stateOf([name, runId, ...fields]: Row): TopicState {
  return topicStateOf({ name: name ?? '', runId: runId ?? '' }, fields)
}

/** Returns the first text after all texts with a prefix, compared byte by byte; null if there is none. */
export function below(prefix: string): string | null {
  const points = Array.from(prefix, (character) => character.codePointAt(0) as number)
  while (points.length > 0) {
    const last = points.pop() as number
    if (last === 0x10ffff) continue
    return String.fromCodePoint(...points, last === 0xd7ff ? 0xe000 : last + 1)
  }
  return null
}
