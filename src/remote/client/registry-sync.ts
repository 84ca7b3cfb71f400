/**
 * Synchronises all open tokens with the engine: it enters new ones, removes closed ones, sends their states, and reads topics again.
 *
 * Invariants
 * RS1. A registration is entered before the state of its topic is read (E5). It is ready only when that state was applied.
 * RS2. A mark that comes twice or out of order does no harm. A lease that comes out of order does, so a notice about a lease only triggers
 *      a read. Requests are sent one after the other, so their answers are in order, and the answers are applied.
 * RS3. Over a new link all registrations are entered again, as if nothing had been sent before.
 * RS4. A state of a topic may be older than a registration, and may contain a mark that was forgotten before the registration was entered.
 *      So an answer is applied only to registrations that were ready when it was requested, or that it answers. For others a notice only
 *      triggers a read. If the engine does not promise that notices are newer (`inOrder`), this also holds for a while after they are
 *      ready.
 */
import { after, now, soon } from '../../core/clock.js'
import type { LeaseRecord, MarkRecord, Topic, TopicState } from '../contract/engine.js'
import { errorFrom } from '../contract/errors.js'
import type { HubEvent } from '../contract/hub.js'
import { keyOf } from '../contract/topic.js'
import { type Connection, RETRY_REFUSED } from './connection.js'
import type { OpenTokens } from './open-tokens.js'
import type { Registration } from './registration.js'

/** The largest number of registrations or topics in one request. */
const BATCH = 1_000
/** The longest time that a notice may be on its way, in milliseconds. */
const LATEST_NOTICE = 2_000

export interface SyncEvents {
  /** These tokens live, and the mark cancels them. */
  cancel(registrations: readonly Registration[], mark: MarkRecord): void
  event(event: HubEvent): void
}

export class RegistrySync {
  // What to send next.
  readonly #toEnter = new Set<Registration>()
  readonly #toLeave = new Set<number>()
  readonly #toRead = new Map<string, Topic>()
  #isSending = false
  #stopPause: (() => void) | undefined
  /** Timers by topic: each reads the topic again when its lease ends, because a notice may not come. */
  readonly #leaseTimers = new Map<string, () => void>()

  constructor(
    private readonly connection: Connection,
    private readonly tokens: OpenTokens,
    private readonly events: SyncEvents,
  ) {}

  /** Enters a registration, together with the others of this turn of the event loop. */
  enter(registration: Registration): void {
    this.#toEnter.add(registration)
    this.#schedule()
  }

  /** Sends the state of a token to the engine, unless the engine knows it already. */
  announce(registration: Registration): void {
    if (registration.state <= registration.announced) return
    registration.announced = registration.state
    this.enter(registration)
  }

  /** Must be called when the registration is no longer among the open tokens. */
  leave(registration: Registration): void {
    const { id, topic } = registration
    if (!this.tokens.isOpen(topic)) this.#watchLease(topic, undefined)
    this.#toEnter.delete(registration)
    this.leaveId(id)
  }

  /** Tells the engine that the token with this id is no longer open. */
  leaveId(id: number): void {
    this.#toLeave.add(id)
    this.#schedule()
  }

  /** There is a new link (RS3). Closed tokens are removed again, too. */
  opened(): void {
    for (const registration of this.tokens.all) this.#toEnter.add(registration)
    this.#schedule()
  }

  /** Reads everything again, because notices may have been lost. */
  readAgain(): void {
    for (const topic of this.tokens.topics()) this.#toRead.set(keyOf(topic), topic)
    this.#schedule()
  }

  /** Handles a notice of the engine: the state of a topic, now or a while ago. */
  onNotice({ topic, mark, lease }: TopicState): void {
    const registrations = this.tokens.of(topic)
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
    this.#schedule()
  }

  /** A mark of this hub is stored. It cancels the tokens of its topic that were opened since then, and counts as delivered for all of them. */
  onMarkStored(topic: Topic, mark: MarkRecord): void {
    this.#mark(this.tokens.of(topic), mark)
  }

  close(): void {
    this.#stopPause?.()
    for (const stop of this.#leaseTimers.values()) stop()
    this.#leaseTimers.clear()
  }

  #mark(registrations: readonly Registration[], mark: MarkRecord): void {
    for (const { delivery } of registrations) delivery.settle()
    const live = registrations.filter(({ token }) => token?.readsCancelled === false)
    if (live.length > 0) this.events.cancel(live, mark)
  }

  /** Whether a notice that comes now is newer than the registration (RS4). */
  #isOlderThanNotices({ readiness, readyAt }: Registration): boolean {
    return readiness.isReached && (this.connection.isInOrder || now() - readyAt > LATEST_NOTICE)
  }

  // ---- Requests

  #schedule(): void {
    if (this.#isSending || this.#stopPause || !this.connection.link) return
    if (this.#toEnter.size === 0 && this.#toLeave.size === 0 && this.#toRead.size === 0) return
    this.#isSending = true
    // Tokens that are opened in one turn of the event loop are entered together.
    soon(() => {
      const { link } = this.connection
      const sent = () => {
        this.#isSending = false
        this.#schedule()
      }
      this.#send().then(sent, (error: unknown) => {
        // Over a later link everything is sent again anyway.
        if (link && link === this.connection.link) this.#pause(errorFrom(error))
        sent()
      })
    })
  }

  async #send(): Promise<void> {
    const entering = take(this.#toEnter, BATCH)
    const leaving = take(this.#toLeave, BATCH)
    const reading = take(this.#toRead.values(), BATCH)
    for (const one of entering) this.#toEnter.delete(one)
    for (const one of reading) this.#toRead.delete(keyOf(one))
    try {
      const [entered, read] = await Promise.all([
        entering.length > 0 ? this.connection.call((link) => link.enter(entering.map(({ record }) => record))) : [],
        reading.length > 0 ? this.connection.call((link) => link.read(reading)) : [],
        leaving.length > 0 ? this.connection.call((link) => link.leave(leaving)) : undefined,
      ])
      for (const id of leaving) this.#toLeave.delete(id)
      const answered = new Set(entering)
      for (const state of read) this.#apply(state, ({ readiness }) => readiness.isReached)
      for (const state of entered) this.#apply(state, (one) => one.readiness.isReached || answered.has(one))
    } catch (error) {
      for (const one of entering) if (this.tokens.has(one)) this.#toEnter.add(one)
      for (const one of reading) this.#toRead.set(keyOf(one), one)
      throw error
    }
    const readyAt = this.connection.isInOrder ? 0 : now()
    for (const one of entering) {
      if (!one.readiness.isReached) one.readyAt = readyAt
      one.readiness.settle()
    }
  }

  /** The engine refused a request. The listeners of the hub are called, and the request is sent again later. */
  #pause(error: Error): void {
    const [first] = this.#toEnter
    this.#stopPause = after(
      RETRY_REFUSED,
      () => {
        this.#stopPause = undefined
        this.#schedule()
      },
      false,
    )
    this.events.event({ type: 'refused', name: first?.topic.name ?? '', error })
  }

  /** Applies an answer to the registrations that it concerns (RS2, RS4). */
  #apply({ topic, mark, lease }: TopicState, concerns: (registration: Registration) => boolean): void {
    const registrations = this.tokens.of(topic).filter(concerns)
    if (mark) this.#mark(registrations, mark)
    let isFollowed = false
    for (const registration of registrations) {
      if (registration.role !== 'open') continue
      const { term, token } = registration
      if (!lease) registration.term = undefined
      else if (lease.lost >= (term ?? lease.fence)) token?.cancelHere('lease')
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
      this.#schedule()
    }
    this.#leaseTimers.set(key, after(lease.left + 1, read, false))
  }
}

/** Returns the first values of an iterable, at most `most`. */
function take<T>(from: Iterable<T>, most: number): T[] {
  const taken: T[] = []
  for (const one of from) {
    if (taken.length === most) break
    taken.push(one)
  }
  return taken
}
