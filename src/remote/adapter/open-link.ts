/**
 * How a link is made: one way for all engines.
 *
 * Invariants
 * OL1. `connect` settles once. It rejects with the error of the token when that is cancelled first, and with a `HubError` otherwise.
 * OL2. What was made for a link (a connection, a subscription) is closed when the link ends, and at once when it comes after the end.
 * OL3. `lost` is called once at most, and only for a link that `connect` has resolved with (E12).
 */
import { type CancellationToken, SimpleToken } from '../../core/token.js'
import { Deferred } from '../contract/deferred.js'
import type { Link, LinkEvents, Session, TopicState } from '../contract/engine.js'
import type { HubError } from '../contract/errors.js'
import { type FailureRules, hubErrorOf } from './failures.js'

/** What can be ended from outside. */
interface Failing {
  fail(error: Error): void
}

/** One link, from the first attempt to make it until its end. */
export class Opening {
  readonly session: Session
  /** Cancelled when the attempt to make the link is over: what connects under it gives up. */
  readonly token: CancellationToken
  readonly #rules: FailureRules
  readonly #events: LinkEvents
  readonly #closers: (() => void)[] = []
  readonly #ended = new Deferred<never>()
  #link: Failing | undefined
  #over: Error | undefined
  #isOpen = false

  /** @internal */
  constructor(rules: FailureRules, session: Session, events: LinkEvents, token: CancellationToken) {
    this.token = new SimpleToken(token)
    this.#rules = rules
    this.session = session
    this.#events = events
  }

  /** For messages: where the server is, without secrets. */
  get place(): string {
    return this.#rules.place
  }

  /** Whatever was thrown, as the error that a caller gets. */
  failure(thrown: unknown): HubError {
    return hubErrorOf(this.#rules, thrown)
  }

  /**
   * Keeps something that the link needs, until the link ends: then it is closed. Throws, and closes it at once, when the link has ended
   * already.
   */
  own<T>(resource: T, close: (resource: T) => void): T {
    if (this.#over) {
      close(resource)
      throw this.#over
    }
    this.#closers.push(() => close(resource))
    return resource
  }

  /** The connection has ended by itself. It may be called more than once. */
  lost(thrown: unknown): void {
    this.fail(this.failure(thrown))
  }

  /** Ends the link, or the attempt to make it.
   * @internal */
  fail(error: Error): void {
    if (this.#link) this.#link.fail(error)
    else this.end(error, false)
  }

  /** The link that is being made. Must be called once at most; the constructor of `LinkBase` does so. Throws when it comes too late.
   * @internal */
  adopt(link: Failing): void {
    if (this.#over) throw this.#over
    this.#link = link
  }

  /** @internal */
  notice(state: TopicState): void {
    this.#events.notice(state)
  }

  /** The link has ended, which is a loss unless it was closed. Returns why it has ended first.
   * @internal */
  end(error: Error, isLoss: boolean): Error {
    if (this.#over) return this.#over
    this.#over = error
    for (const close of this.#closers.splice(0).toReversed()) close()
    this.#ended.reject(error)
    if (isLoss && this.#isOpen) this.#events.lost(error)
    return error
  }

  /** @internal */
  async open<L extends Link>(make: (opening: Opening) => Promise<L>): Promise<L> {
    this.token.check()
    const registration = this.token.onCancel((error) => this.fail(error))
    try {
      const link = await Promise.race([make(this), this.#ended.promise])
      if (this.#over) throw this.#over
      this.#isOpen = true
      return link
    } catch (thrown) {
      // The first reason counts: what is closed then may report a loss of its own.
      const error = this.#over ?? this.failure(thrown)
      this.fail(error)
      throw error
    } finally {
      registration.stop()
      this.token[Symbol.dispose]()
    }
  }
}

/**
 * Makes a link with `make`, under a token.
 *
 * Errors: rejects with the error of the token when that is cancelled before the link is there, and with a `HubError` when `make` rejects
 * or the connection is lost. Nothing stays open then.
 */
export function openLink<L extends Link>(
  rules: FailureRules,
  session: Session,
  events: LinkEvents,
  token: CancellationToken,
  make: (opening: Opening) => Promise<L>,
): Promise<L> {
  return new Opening(rules, session, events, token).open(make)
}
