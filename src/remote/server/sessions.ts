/** The sessions of a store, and the tokens that they hold. */
import { now } from '../../core/clock.js'
import { type HolderRecord, type HolderReport, type Session, SILENT_FOR, type TopicState } from '../contract/engine.js'
import { HubError } from '../contract/errors.js'
import { keyOf } from '../contract/topic.js'
import { type Capacity, TOKENS, weight, weightOfTopic } from './capacity.js'
import { type Entry, type HeldToken, type SessionState, stateOf, type Topics, type Watcher } from './topics.js'

/** The most sessions without a connection. Beyond it the store drops the one that has been gone longest. It enters again when it returns. */
const MOST_ABSENT = 10_000

export class Sessions {
  readonly #topics: Topics
  readonly #capacity: Capacity
  readonly #mostNames: number
  readonly #sessions = new Map<string, SessionState>()
  /** The sessions without a connection. The one that lost its connection first comes first. */
  readonly #absent = new Set<string>()
  #numbers = 0

  /** @param mostNames the number of holders of one session */
  constructor(topics: Topics, capacity: Capacity, mostNames: number) {
    this.#topics = topics
    this.#capacity = capacity
    this.#mostNames = mostNames
  }

  get size(): number {
    return this.#sessions.size
  }

  /** Attaches a session to a connection. An older connection of the session is dropped. */
  attach(info: Session, link: Watcher): void {
    let known = this.#sessions.get(info.id)
    if (!known) {
      known = { info, number: ++this.#numbers, holders: new Map(), link, heard: now(), watched: new Map() }
      this.#sessions.set(info.id, known)
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
    const known = this.#live(session)
    const seen = new Set<Entry>()
    for (const record of holders) seen.add(this.#enterOne(known, link, record).entry)
    return Array.from(seen, (entry) => stateOf(entry))
  }

  #enterOne(known: SessionState, link: Watcher, record: HolderRecord): HeldToken {
    let held = known.holders.get(record.id)
    if (held && held.entry.key !== keyOf(record.topic)) {
      throw new HubError('ERR_HUB_REFUSED', `holder ${record.id} already holds another token`)
    }
    if (!held) {
      if (known.holders.size >= this.#mostNames) {
        throw new HubError('ERR_HUB_REFUSED', `a connection may open at most ${this.#mostNames} tokens`)
      }
      const ofTopic = this.#topics.has(record.topic) ? 0 : weightOfTopic(record.topic)
      this.#capacity.demand(weight.holder + ofTopic, 0, TOKENS)
      this.#capacity.add(weight.holder)
      held = { record, entry: this.#topics.entry(record.topic), session: known, through: link }
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

  #live(session: string): SessionState {
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
    this.#capacity.add(-weight.holder)
    const counts = session.watched.get(through)
    const left = (counts?.get(entry) ?? 0) - 1
    if (left > 0) counts?.set(entry, left)
    else {
      counts?.delete(entry)
      entry.watchers.delete(through)
    }
    this.#topics.drop(entry)
  }

  /** Drops the sessions that have been silent for so long that they will not come back. */
  sweep(): void {
    for (const [id, { link, heard, info }] of this.#sessions) {
      if (heard + info.ttl + SILENT_FOR < now() && !link) this.bye(id)
    }
  }
}

export function reportOf({ record, session }: HeldToken): HolderReport {
  const { info, number, link, heard } = session
  const { id, state, role, since } = record
  const silent = !link || heard + info.ttl < now()
  return { session: String(number), host: info.host, pid: info.pid, id, state, role, since, silent }
}
