/**
 * Makes links, in one way for all engines.
 *
 * Invariants
 * OL1. `connect` settles once. It rejects with the error of the token if the token is cancelled first, and otherwise with a `HubError`.
 * OL2. The resources of a link (a connection, a subscription) are closed when the link ends. A resource that arrives later is closed at once.
 * OL3. `lost` is called at most once, and only for a link that `connect` has resolved with (E12).
 */
import { type CancellationToken, SimpleToken } from '../../core/token.js'
import { Deferred } from '../contract/deferred.js'
import type { Link, LinkEvents, Session } from '../contract/engine.js'
import type { HubError } from '../contract/errors.js'
import { type FailureRules, hubErrorOf } from './failures.js'

/** One link, from the first attempt to make it until its end. */
export class Opening {
  readonly session: Session
  /** Cancelled when the attempt to make the link ends. A pending connect with this token gives up then. */
  readonly token: CancellationToken
  /** @internal */
  readonly events: LinkEvents
  /** Why the link, or the attempt to make it, has ended.
   * @internal */
  over: Error | undefined
  readonly #rules: FailureRules
  readonly #closers: (() => void)[] = []
  readonly #ended = new Deferred<never>()
  #endLink: (error: Error) => void = () => {}
  #isOpen = false

  /** @internal */
  constructor(rules: FailureRules, session: Session, events: LinkEvents, token: CancellationToken) {
    this.token = new SimpleToken(token)
    this.#rules = rules
    this.session = session
    this.events = events
  }

  /** Where the server is, for messages. Contains no secrets. */
  get place(): string {
    return this.#rules.place
  }

  /** Returns the error for the caller from any thrown value. */
  failure(thrown: unknown): HubError {
    return hubErrorOf(this.#rules, thrown)
  }

  /**
   * Keeps a resource of the link and closes it when the link ends. If the link has ended already, closes the resource at once and
   * throws.
   */
  own<T>(resource: T, close: (resource: T) => void): T {
    if (this.over) {
      close(resource)
      throw this.over
    }
    this.#closers.push(() => close(resource))
    return resource
  }

  /** Reports that the connection has ended by itself. May be called more than once. */
  lost(thrown: unknown): void {
    this.end(this.failure(thrown), true)
  }

  /** Sets the function that ends the link. Must be called at most once; the constructor of `LinkBase` calls it. Throws if the attempt has ended.
   * @internal */
  adopt(endLink: (error: Error) => void): void {
    if (this.over) throw this.over
    this.#endLink = endLink
  }

  /** Ends the link, or the attempt to make it. The first reason counts. It is a loss unless the link was closed.
   * @internal */
  end(error: Error, isLoss: boolean): void {
    if (this.over) return
    this.over = error
    this.#endLink(error)
    for (const close of this.#closers.splice(0).toReversed()) close()
    this.#ended.reject(error)
    if (isLoss && this.#isOpen) this.events.lost(error)
  }

  /** @internal */
  async open<L extends Link>(make: (opening: Opening) => Promise<L>): Promise<L> {
    this.token.check()
    const registration = this.token.onCancel((error) => this.end(error, false))
    try {
      const link = await Promise.race([make(this), this.#ended.promise])
      if (this.over) throw this.over
      this.#isOpen = true
      return link
    } catch (thrown) {
      // The first reason counts: closing a resource may report another loss.
      const error = this.over ?? this.failure(thrown)
      this.end(error, false)
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
 * Errors: rejects with the error of the token if the token is cancelled first, and with a `HubError` if `make` rejects or the connection
 * is lost. Nothing stays open then.
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
