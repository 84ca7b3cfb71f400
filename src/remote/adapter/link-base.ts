/** What every link has in common: it ends once, and what was asked rejects then (E12); failures are told apart by one rule. */
import { now } from '../../core/clock.js'
import type { Session, TopicState } from '../contract/engine.js'
import { HubError } from '../contract/errors.js'
import type { Opening } from './open-link.js'

export abstract class LinkBase {
  protected readonly session: Session
  readonly #opening: Opening
  readonly #waiting = new Set<(error: Error) => void>()
  #over: Error | undefined
  /** When the first beat was sent whose echo has not been heard. */
  #unheard: number | undefined

  constructor(opening: Opening) {
    this.session = opening.session
    this.#opening = opening
    opening.adopt(this)
  }

  /** Why nothing can be asked any more. */
  protected get over(): Error | undefined {
    return this.#over
  }

  /** For messages: where the server is, without secrets. */
  protected get place(): string {
    return this.#opening.place
  }

  /** The connection is gone, or good for nothing any more. */
  fail(error: Error): void {
    this.#end(error, true)
  }

  close(): void {
    this.#end(new HubError('ERR_HUB_UNREACHABLE', 'the connection was closed'), false)
  }

  #end(error: Error, isLoss: boolean): void {
    if (this.#over) return
    this.#over = error
    for (const reject of this.#waiting) reject(error)
    this.#waiting.clear()
    this.ended()
    this.#opening.end(error, isLoss)
  }

  /** Called once, when the link has ended: stops its timers. */
  protected ended(): void {}

  /**
   * Asks the server. Settles as `send` does, or rejects when the link ends, whatever comes first. A failure that says that the connection
   * is gone ends the link.
   */
  protected ask<T>(send: () => Promise<T>): Promise<T> {
    if (this.#over) return Promise.reject(this.#over)
    // Not a race against one promise for all of them, which would keep something of each for as long as the connection lives.
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

  /** The error that a caller gets; it ends the link where it says that the connection is gone. */
  #failed(thrown: unknown): HubError {
    const error = this.#opening.failure(thrown)
    if (error.code === 'ERR_HUB_UNREACHABLE') this.fail(error)
    return error
  }

  /** Tells the hub how a topic stands now (E4). */
  protected notice(state: TopicState): void {
    if (!this.#over) this.#opening.notice(state)
  }

  /** An error that ends the link: `throw this.gone('the session has expired')`. */
  protected gone(what: string): HubError {
    const error = new HubError('ERR_HUB_UNREACHABLE', `${this.place}: ${what}`)
    this.fail(error)
    return error
  }

  // ---- The echo of a beat: a connection that only ever listens would not notice that the server is gone.

  /** A beat is sent, whose echo comes over the subscription. Ends the link when none has come for the ttl of the session. */
  protected expectEcho(): void {
    const { ttl } = this.session
    if (this.#unheard !== undefined && now() - this.#unheard > ttl) {
      this.gone(`the subscription was silent for ${ttl} ms`)
    }
    this.#unheard ??= now()
  }

  /** The echo has come. */
  protected echoed(): void {
    this.#unheard = undefined
  }

  protected get isEchoMissing(): boolean {
    return this.#unheard !== undefined
  }
}
