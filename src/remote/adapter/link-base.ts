/** The common part of every link: it ends once, pending requests then reject (E12), and one rule classifies failures. */
import { now } from '../../core/clock.js'
import type { Session, TopicState } from '../contract/engine.js'
import { HubError } from '../contract/errors.js'
import type { Opening } from './open-link.js'

export abstract class LinkBase {
  protected readonly session: Session
  readonly #opening: Opening
  readonly #waiting = new Set<(error: Error) => void>()
  /** When the first beat without an echo was sent. */
  #unheard: number | undefined

  constructor(opening: Opening) {
    this.session = opening.session
    this.#opening = opening
    opening.adopt((error) => {
      for (const reject of this.#waiting) reject(error)
      this.#waiting.clear()
      this.ended()
    })
  }

  /** Why the link has ended; undefined while it lives. */
  protected get over(): Error | undefined {
    return this.#opening.over
  }

  /** Where the server is, for messages. Contains no secrets. */
  protected get place(): string {
    return this.#opening.place
  }

  /** Ends the link, because the connection is lost or unusable. */
  fail(error: Error): void {
    this.#opening.end(error, true)
  }

  close(): void {
    this.#opening.end(new HubError('ERR_HUB_UNREACHABLE', 'the connection was closed'), false)
  }

  /** Stops the timers of the link. Called once, when the link has ended. */
  protected ended(): void {}

  /**
   * Sends a request. Settles as `send` does, or rejects when the link ends, whichever comes first. A failure of kind `'gone'` ends the
   * link.
   */
  protected ask<T>(send: () => Promise<T>): Promise<T> {
    if (this.over) return Promise.reject(this.over)
    // No race against one shared promise, which would keep memory for each request for as long as the connection lives.
    return new Promise<T>((resolve, reject) => {
      this.#waiting.add(reject)
      const settled =
        <Outcome>(settle: (outcome: Outcome) => void) =>
        (outcome: Outcome) => {
          this.#waiting.delete(reject)
          settle(outcome)
        }
      send().then(
        settled(resolve),
        settled((thrown: unknown) => reject(this.#failed(thrown))),
      )
    })
  }

  /** Returns the error for the caller, and ends the link if its kind is `'gone'`. */
  #failed(thrown: unknown): HubError {
    const error = this.#opening.failure(thrown)
    if (error.code === 'ERR_HUB_UNREACHABLE') this.fail(error)
    return error
  }

  /** Sends the hub a notice: the present state of a topic (E4). */
  protected notice(state: TopicState): void {
    if (!this.over) this.#opening.events.notice(state)
  }

  /** Ends the link and returns the error to throw: `throw this.gone('the session has expired')`. */
  protected gone(what: string): HubError {
    const error = new HubError('ERR_HUB_UNREACHABLE', `${this.place}: ${what}`)
    this.fail(error)
    return error
  }

  // ---- The echo of a beat: without it a connection that only receives would not notice that the server is gone.

  /** Must be called when a beat is sent whose echo comes over the subscription. Ends the link if no echo comes for the ttl of the session. */
  protected expectEcho(): void {
    const { ttl } = this.session
    if (this.#unheard !== undefined && now() - this.#unheard > ttl) {
      this.gone(`the subscription was silent for ${ttl} ms`)
    }
    this.#unheard ??= now()
  }

  /** Must be called when the echo has arrived. */
  protected echoed(): void {
    this.#unheard = undefined
  }

  protected get isEchoMissing(): boolean {
    return this.#unheard !== undefined
  }
}
