/**
 * The conversation with the engine about all open tokens: which there are, which have gone, how they stand, and what is to be read again.
 *
 * Invariants
 * RS1. A registration is entered before the state of its topic is read (E5), and is ready only when that state was applied.
 * RS2. Marks add up, so a mark that comes twice or out of order does no harm. Leases do not, so what a notice says of a lease is only a hint
 *      to read it. There is one conversation, so answers come one after the other, and answers count.
 * RS3. Over a new link all registrations are entered again, as if nothing had been said before.
 * RS4. What is said of a topic may be older than a registration, and may speak of a mark that was forgotten before that was entered. So an
 *      answer is applied only to registrations that were ready when it was asked for, or that it answers. For others a notice is only
 *      a hint to read. Where the engine does not promise that notices are newer (`inOrder`), that holds for a while after they are ready, too.
 */
import { after, now, soon } from '../../core/clock.js'
import type { LeaseRecord, MarkRecord, Topic, TopicState } from '../contract/engine.js'
import { errorFrom } from '../contract/errors.js'
import type { HubEvent } from '../contract/hub.js'
import { keyOf } from '../contract/topic.js'
import type { Connection } from './connection.js'
import type { OpenTokens } from './open-tokens.js'
import type { Registration } from './registration.js'

/** The most registrations or topics of one request. */
const BATCH = 1_000
/** Milliseconds after which no notice is still under way. */
const LATEST_NOTICE = 2_000
/** Milliseconds until what the engine has refused is said again. */
const REFUSED = 1_000

export interface SyncEvents {
  /** These tokens live, and the mark cancels them. */
  cancel(registrations: readonly Registration[], mark: MarkRecord): void
  event(event: HubEvent): void
}

export class RegistrySync {
  readonly #connection: Connection
  readonly #tokens: OpenTokens
  readonly #events: SyncEvents
  // What is to be said next.
  readonly #toEnter = new Set<Registration>()
  readonly #toLeave = new Set<number>()
  readonly #toRead = new Map<string, Topic>()
  #isTalking = false
  #stopPause: (() => void) | undefined
  /** By topic: when it is read again, since no notice may come when its lease ends. */
  readonly #leaseTimers = new Map<string, () => void>()

  constructor(connection: Connection, tokens: OpenTokens, events: SyncEvents) {
    this.#connection = connection
    this.#tokens = tokens
    this.#events = events
  }

  /** Enters a registration, together with the others of this turn of the event loop. */
  enter(registration: Registration): void {
    this.#toEnter.add(registration)
    this.#talk()
  }

  /** Tells the engine how far a token has got, if it does not know yet. */
  announce(registration: Registration): void {
    if (registration.state <= registration.announced) return
    registration.announced = registration.state
    this.enter(registration)
  }

  /** Must be called when the registration is no longer among the open tokens. */
  leave(registration: Registration): void {
    const { id, topic } = registration
    if (!this.#tokens.isOpen(topic)) this.#watchLease(topic, undefined)
    this.#toEnter.delete(registration)
    this.leaveId(id)
  }

  /** Tells the engine that the token with this id is no longer open. */
  leaveId(id: number): void {
    this.#toLeave.add(id)
    this.#talk()
  }

  /** There is a new link (RS3). Tokens that have gone are named again, too. */
  opened(): void {
    for (const registration of this.#tokens.all) this.#toEnter.add(registration)
    this.#talk()
  }

  /** Reads everything again, in case that notices were lost. */
  readAgain(): void {
    for (const topic of this.#tokens.topics()) this.#toRead.set(keyOf(topic), topic)
    this.#talk()
  }

  /** The engine gives notice of how a topic stands, or stood a while ago. */
  heard({ topic, mark, lease }: TopicState): void {
    const registrations = this.#tokens.of(topic)
    let isToRead = false
    if (mark) {
      const concerned: Registration[] = []
      for (const one of registrations) {
        if (this.#isOlderThanNotices(one)) concerned.push(one)
        else isToRead ||= one.token?.readsCancelled === false
      }
      this.#mark(concerned, mark)
    }
    for (const { term, role } of registrations) {
      isToRead ||= role === 'open' && (term !== lease?.fence || lease?.left === 0)
    }
    if (!isToRead) return
    this.#toRead.set(keyOf(topic), topic)
    this.#talk()
  }

  /** A mark of this hub is stored. It cancels tokens of its topic that were opened since, and is delivered for all of them. */
  marked(topic: Topic, mark: MarkRecord): void {
    this.#mark(this.#tokens.of(topic), mark)
  }

  close(): void {
    this.#stopPause?.()
    for (const stop of this.#leaseTimers.values()) stop()
    this.#leaseTimers.clear()
  }

  #mark(registrations: readonly Registration[], mark: MarkRecord): void {
    for (const { delivery } of registrations) delivery.settle()
    const live = registrations.filter(({ token }) => token?.readsCancelled === false)
    if (live.length > 0) this.#events.cancel(live, mark)
  }

  /** Whether a notice that comes now is newer than the registration (RS4). */
  #isOlderThanNotices({ readiness, readyAt }: Registration): boolean {
    return readiness.isReached && (this.#connection.isInOrder || now() - readyAt > LATEST_NOTICE)
  }

  // ---- The conversation

  #talk(): void {
    if (this.#isTalking || this.#stopPause || !this.#connection.link) return
    if (this.#toEnter.size === 0 && this.#toLeave.size === 0 && this.#toRead.size === 0) return
    this.#isTalking = true
    // What is opened in this turn of the event loop goes together.
    soon(() => {
      const { link } = this.#connection
      const said = () => {
        this.#isTalking = false
        this.#talk()
      }
      this.#say().then(said, (error: unknown) => {
        // Over a later link everything is said again anyway.
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
      for (const state of read) this.#apply(state, ({ readiness }) => readiness.isReached)
      for (const state of entered) this.#apply(state, (one) => one.readiness.isReached || answered.has(one))
    } catch (error) {
      for (const one of entering) if (this.#tokens.has(one)) this.#toEnter.add(one)
      for (const one of reading) this.#toRead.set(keyOf(one), one)
      throw error
    }
    const readyAt = this.#connection.isInOrder ? 0 : now()
    for (const one of entering) {
      if (!one.readiness.isReached) one.readyAt = readyAt
      one.readiness.settle()
    }
  }

  /** The engine has refused something. The hub's listeners are told, and it is said again later. */
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
    this.#events.event({ type: 'refused', name: first?.topic.name ?? '', error })
  }

  /** Applies an answer to the registrations that it concerns (RS2, RS4). */
  #apply({ topic, mark, lease }: TopicState, concerns: (registration: Registration) => boolean): void {
    const registrations = this.#tokens.of(topic).filter(concerns)
    if (mark) this.#mark(registrations, mark)
    let isFollowed = false
    for (const registration of registrations) {
      if (registration.role !== 'open') continue
      const { term, token } = registration
      if (!lease) registration.term = undefined
      else if (lease.lost >= (term ?? lease.fence)) token?.fall('lease')
      else {
        registration.term = lease.left > 0 ? lease.fence : undefined
        isFollowed ||= token?.readsCancelled === false
      }
    }
    this.#watchLease(topic, isFollowed && lease?.left ? lease : undefined)
  }

  /** Reads the topic again when its lease may have ended. The engine counted `left` before its answer came, so it is not too early (H10). */
  #watchLease(topic: Topic, lease: LeaseRecord | undefined): void {
    const key = keyOf(topic)
    this.#leaseTimers.get(key)?.()
    if (!lease) {
      this.#leaseTimers.delete(key)
      return
    }
    const read = () => {
      this.#toRead.set(key, topic)
      this.#talk()
    }
    this.#leaseTimers.set(key, after(lease.left + 1, read, false))
  }
}

/** The first values of an iterable, `most` at most. */
function take<T>(from: Iterable<T>, most: number): T[] {
  const taken: T[] = []
  for (const one of from) {
    if (taken.length === most) break
    taken.push(one)
  }
  return taken
}
