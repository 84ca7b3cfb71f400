/**
 * All tokens that a hub has open, and the one conversation about them: who is here, who has gone, how things stand.
 *
 * Invariants
 * R1. A holder is entered before the state of its topic is read (E5), and is ready only once that state was applied.
 * R2. Marks only ever add up: one that comes twice or out of order does no harm. Leases do not, so what a notice says of one is
 *     only a hint to read it. Answers come one after the other, since there is one conversation, and those count.
 * R3. Over every new link all are entered again, as if nothing had been said before.
 *     What is said of a topic may be older than a holder, and speak of a mark that was forgotten before that was entered. So of an
 *     answer only those hear that were ready when it was asked for, or that it answers; and a notice is only a hint to read for
 *     those that are not ready, and, where the engine cannot say that it is newer (`inOrder`), not for long.
 * R4. A target is held weakly, unless somebody listens to it, or it is kept for another reason.
 */
import { after, now, soon } from '../../core/clock.js'
import type { Cancellation } from '../../core/graph.js'
import { closed, type Connection } from './connection.js'
import type { LeaseRecord, MarkRecord, Topic, TopicState } from '../contract/engine.js'
import { errorFrom } from '../contract/errors.js'
import type { Holding } from './registration.js'
import type { HubEvent, Who } from '../contract/hub.js'
import { cancellationFrom } from '../contract/mark.js'
import { keyOf } from '../contract/topic.js'

/** So many holders or topics are spoken of at a time. */
const BATCH = 1_000
/** No notice is later than so many milliseconds. */
const LATEST_NOTICE = 2_000
/** What the engine refuses is said again after so many milliseconds. */
const REFUSED = 1_000

export class Roll {
  readonly #connection: Connection
  readonly #tell: (event: HubEvent) => void
  readonly #holdings = new Map<number, Holding>()
  readonly #topics = new Map<string, Set<Holding>>()
  // What is to be said next.
  readonly #toEnter = new Set<Holding>()
  readonly #toLeave = new Set<number>()
  readonly #toRead = new Map<string, Topic>()
  #isTalking = false
  #stopPause: (() => void) | undefined
  /** When a leased topic is to be read again, since perhaps nobody says that the lease is over. */
  readonly #leaseTimers = new Map<string, () => void>()
  readonly #collected = new FinalizationRegistry<Holding>((holding) => this.remove(holding))

  constructor(connection: Connection, tell: (event: HubEvent) => void) {
    this.#connection = connection
    this.#tell = tell
  }

  /** Takes a holding in. It is entered with the others of this turn of the event loop. */
  add(holding: Holding, target: object): void {
    this.#holdings.set(holding.id, holding)
    const key = keyOf(holding.topic)
    const others = this.#topics.get(key)
    if (others) others.add(holding)
    else this.#topics.set(key, new Set([holding]))
    this.#collected.register(target, holding, holding)
    this.#toEnter.add(holding)
    this.#talk()
  }

  /** Its token may have come to its end. */
  changed(holding: Holding): void {
    if (!this.#holdings.has(holding.id) || !holding.look()) return
    this.#toEnter.add(holding)
    this.#talk()
  }

  remove(holding: Holding): void {
    if (!this.#holdings.delete(holding.id)) return
    const key = keyOf(holding.topic)
    const others = this.#topics.get(key)
    others?.delete(holding)
    if (others?.size === 0) {
      this.#topics.delete(key)
      this.#watchLease(key, holding.topic, undefined)
    }
    this.#collected.unregister(holding)
    holding.keep(undefined)
    holding.ready.settle(closed())
    this.#toEnter.delete(holding)
    this.#toLeave.add(holding.id)
    this.#talk()
  }

  get all(): Holding[] {
    return [...this.#holdings.values()]
  }

  of(topic: Topic): Holding[] {
    return [...(this.#topics.get(keyOf(topic)) ?? [])]
  }

  /** There is a new link (R3). Who has left, and perhaps was not heard, is said again too. */
  opened(): void {
    for (const holding of this.#holdings.values()) this.#toEnter.add(holding)
    this.#talk()
  }

  /** Reads everything again, as a net under what gets lost. */
  readAgain(): void {
    for (const [key, holdings] of this.#topics) {
      const [first] = holdings
      if (first) this.#toRead.set(key, first.topic)
    }
    this.#talk()
  }

  /** The engine says how a topic stands now; or did, a while ago. */
  heard({ topic, mark, lease }: TopicState): void {
    const key = keyOf(topic)
    const holdings = this.#topics.get(key)
    if (!holdings) return
    let hint = false
    if (mark) {
      const sure: Holding[] = []
      for (const holding of holdings) {
        if (this.#isNewer(holding)) sure.push(holding)
        else hint ||= holding.target?.isOver === false
      }
      this.#mark(sure, mark)
    }
    for (const { term, role } of holdings) hint ||= role === 'open' && (term !== lease?.fence || lease?.left === 0)
    if (!hint) return
    this.#toRead.set(key, topic)
    this.#talk()
  }

  /** A mark is stored: the tokens of its topic end, those that live, and what they had to deliver is delivered. */
  marked(topic: Topic, record: MarkRecord): void {
    this.#mark(this.of(topic), record)
  }

  #mark(holdings: readonly Holding[], record: MarkRecord): void {
    let arrived: ReturnType<typeof cancellationFrom> | undefined
    for (const holding of holdings) {
      holding.delivered.settle()
      const { target } = holding
      if (!target || target.isOver) continue
      arrived ??= cancellationFrom(record)
      target.arrive(arrived.found, arrived.who, record)
    }
  }

  /** Whether what a notice says is said of this holder, too (R3). */
  #isNewer({ ready, readyAt }: Holding): boolean {
    return ready.isReached && (this.#connection.isInOrder || now() - readyAt > LATEST_NOTICE)
  }

  /** A topic is cancelled here: so are the tokens of it that are open here. */
  arrive(topic: Topic, found: Cancellation, who: Who): void {
    for (const { target } of this.of(topic)) target?.arrive(found, who)
  }

  close(): void {
    this.#stopPause?.()
    for (const stop of this.#leaseTimers.values()) stop()
    this.#leaseTimers.clear()
  }

  // ---- The conversation

  #talk(): void {
    if (this.#isTalking || this.#stopPause || !this.#connection.link) return
    if (this.#toEnter.size === 0 && this.#toLeave.size === 0 && this.#toRead.size === 0) return
    this.#isTalking = true
    // What is opened in this turn goes together.
    soon(() => {
      const { link } = this.#connection
      const said = () => {
        this.#isTalking = false
        this.#talk()
      }
      this.#say().then(said, (error: unknown) => {
        // Over a new link all is said again anyway.
        if (link && link === this.#connection.link) this.#pause(errorFrom(error))
        said()
      })
    })
  }

  async #say(): Promise<void> {
    const entering = take(this.#toEnter, BATCH)
    const leaving = take(this.#toLeave, BATCH)
    const reading = take(this.#toRead.values(), BATCH)
    for (const one of entering) this.#toEnter.delete(one)
    for (const one of reading) this.#toRead.delete(keyOf(one))
    try {
      const [entered, read] = await Promise.all([
        entering.length > 0 ? this.#connection.call((link) => link.enter(entering.map(({ record }) => record))) : [],
        reading.length > 0 ? this.#connection.call((link) => link.read(reading)) : [],
        leaving.length > 0 ? this.#connection.call((link) => link.leave(leaving)) : undefined,
      ])
      for (const id of leaving) this.#toLeave.delete(id)
      const answered = new Set(entering)
      for (const state of read) this.#stands(state, ({ ready }) => ready.isReached)
      for (const state of entered) this.#stands(state, (one) => one.ready.isReached || answered.has(one))
    } catch (error) {
      for (const one of entering) if (this.#holdings.has(one.id)) this.#toEnter.add(one)
      for (const one of reading) this.#toRead.set(keyOf(one), one)
      throw error
    }
    const readyAt = this.#connection.isInOrder ? 0 : now()
    for (const one of entering) {
      if (!one.ready.isReached) one.readyAt = readyAt
      one.ready.settle()
    }
  }

  /** The engine does not want to hear it: that is told, and said again later. */
  #pause(error: Error): void {
    const [first] = this.#toEnter
    this.#stopPause = after(
      REFUSED,
      () => {
        this.#stopPause = undefined
        this.#talk()
      },
      false,
    )
    this.#tell({ type: 'refused', name: first?.topic.name ?? '', error })
  }

  /** An answer (R2): how a topic stands, for those whom it concerns. */
  #stands({ topic, mark, lease }: TopicState, concerns: (holding: Holding) => boolean): void {
    const holdings = this.of(topic).filter(concerns)
    if (mark) this.#mark(holdings, mark)
    let isFollowed = false
    for (const holding of holdings) {
      if (holding.role !== 'open') continue
      const { term, target } = holding
      if (!lease) holding.term = undefined
      else if (lease.lost >= (term ?? lease.fence)) target?.fall('lease')
      else {
        holding.term = lease.left > 0 ? lease.fence : undefined
        isFollowed ||= target?.isOver === false
      }
    }
    this.#watchLease(keyOf(topic), topic, isFollowed && lease?.left ? lease : undefined)
  }

  /** What is left by the engine's clock when it answers is less than what is left when the answer has come (H10). */
  #watchLease(key: string, topic: Topic, lease: LeaseRecord | undefined): void {
    this.#leaseTimers.get(key)?.()
    if (!lease) {
      this.#leaseTimers.delete(key)
      return
    }
    const look = () => {
      this.#toRead.set(key, topic)
      this.#talk()
    }
    this.#leaseTimers.set(key, after(lease.left + 1, look, false))
  }
}

/** The first few. */
function take<T>(from: Iterable<T>, most: number): T[] {
  const taken: T[] = []
  for (const one of from) {
    if (taken.length === most) break
    taken.push(one)
  }
  return taken
}
