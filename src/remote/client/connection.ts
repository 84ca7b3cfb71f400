/**
 * A connection that is restored: it makes a link, and a new one when the link is lost. The waits in between double, and a random part is
 * taken off, so that a thousand clients of a restarted server do not connect at the same moment.
 */
import { waitAfter } from '../../core/backoff.js'
import { after, now } from '../../core/clock.js'
import { isCancellation } from '../../core/errors.js'
import { type CancellationToken, TimeoutToken } from '../../core/token.js'
import type { Engine, Link, Session, TopicState } from '../contract/engine.js'
import { closed, errorFrom, HubError } from '../contract/errors.js'
import type { HubEvent, HubState } from '../contract/hub.js'

export interface ConnectionOptions {
  readonly timeout: number
  readonly first: number
  readonly most: number
  /** Returns a random number from 0 to 1. */
  readonly random: () => number
}

export interface ConnectionEvents {
  /** There is a new link, and nothing was sent over it yet. */
  opened(link: Link): void
  notice(state: TopicState): void
  event(event: HubEvent): void
}

/** Milliseconds until a request that the engine has refused is sent again. */
export const RETRY_REFUSED = 1_000
/** All clients of a restarted server are back after this many milliseconds: their longest wait, and a second. */
const RECONNECT_TIME = 6_000

export class Connection {
  state: HubState = 'connecting'
  /** The link in use, while there is one. */
  link: Link | undefined
  /** When the last answer came over the present link. A server that answers other requests is slow, not dead. */
  #heard = 0
  /** The number of failures in a row. */
  #failures = 0
  /** The moment from which all holders have had time to enter again. */
  #settledAt = -Infinity
  #stopWaiting: (() => void) | undefined
  /** The token of the present attempt. */
  #connecting: CancellationToken | undefined
  readonly #waiting = new Set<{ resolve: () => void; reject: (error: Error) => void }>()

  constructor(
    private readonly engine: Engine,
    private readonly session: Session,
    private readonly options: ConnectionOptions,
    private readonly events: ConnectionEvents,
  ) {}

  /** See {@link Engine}. */
  get isInOrder(): boolean {
    return this.engine.inOrder === true
  }

  /** Whether all holders that a restart of the server disconnected have had time to enter again. */
  get isSettled(): boolean {
    return now() >= this.#settledAt
  }

  /** Makes the first link. Rejects if that fails, and then keeps trying only if the option says so. */
  async open(goOn: boolean): Promise<void> {
    try {
      await this.#connect()
    } catch (error) {
      if (goOn) this.#retry(errorFrom(error))
      else this.close()
      throw error
    }
  }

  /** Resolves while there is a link. */
  linked(): Promise<void> {
    if (this.link) return Promise.resolve()
    if (this.state === 'closed') return Promise.reject(closed())
    return new Promise((resolve, reject) => this.#waiting.add({ resolve, reject }))
  }

  /**
   * Sends a request over the present link. If no answer comes in time, to this or to any other request, the link counts as lost. A
   * server with ten thousand pending requests is slow, and sending them again over another link would not be faster.
   *
   * Errors: those of the engine; `ERR_HUB_UNREACHABLE` if there is no link.
   */
  call<T>(what: (link: Link) => Promise<T>): Promise<T> {
    const { link } = this
    if (!link) return Promise.reject(new HubError('ERR_HUB_UNREACHABLE', 'the hub is not connected'))
    // The request is sent before anything else.
    const answered = what(link)
    const { timeout } = this.options
    const sent = now()
    let hasLooked = false
    let stop: () => void
    const look = () => {
      const left = this.link === link ? Math.max(sent, this.#heard) + timeout - now() : 0
      if (left > 0) {
        hasLooked = false
        stop = after(left, look, false)
      } else if (!hasLooked) {
        // If this process was busy itself, it first reads the answers that have arrived meanwhile.
        hasLooked = true
        stop = after(1, look, false)
      } else this.#lost(link, new HubError('ERR_HUB_UNREACHABLE', `no answer ${this.#limit}`))
    }
    stop = after(timeout, look, false)
    // No `finally`: it would take two more turns of the microtask queue.
    return answered.then(
      (answer) => {
        stop()
        if (this.link === link) this.#heard = now()
        return answer
      },
      (error: unknown) => {
        stop()
        throw error
      },
    )
  }

  /** Sends a request, and again over the next link if one is lost. The request must be repeatable (E11). */
  async ask<T>(what: (link: Link) => Promise<T>): Promise<T> {
    for (;;) {
      await this.linked()
      const { link } = this
      if (!link) continue
      try {
        return await this.call(what)
      } catch (error) {
        if (this.state === 'closed') throw closed()
        if (this.link === link) throw error
      }
    }
  }

  close(): void {
    if (this.state === 'closed') return
    this.state = 'closed'
    this.#stopWaiting?.()
    this.#connecting?.cancel('the hub is closed')
    const { link } = this
    this.link = undefined
    link?.close()
    for (const { reject } of this.#waiting) reject(closed())
    this.#waiting.clear()
  }

  get #limit(): string {
    return `within ${this.options.timeout} ms`
  }

  async #connect(): Promise<void> {
    const made: { link?: Link } = {}
    let isLost: Error | undefined
    const events = {
      notice: (state: TopicState) => {
        if (made.link && made.link === this.link) this.events.notice(state)
      },
      lost: (error: Error) => {
        isLost = error
        if (made.link) this.#lost(made.link, error)
      },
    }
    const limit = new TimeoutToken(this.options.timeout)
    this.#connecting = limit
    const link = await this.#inTime(this.engine.connect(this.session, events, limit), limit)
    made.link = link
    if (isLost) throw isLost
    if (this.#isClosed) {
      link.close()
      throw closed()
    }
    this.link = link
    this.#heard = now()
    this.#failures = 0
    // All clients may have lost their links at the same time.
    const restarted = this.state === 'disconnected' ? 0 : link.sinceRestart
    if (restarted !== undefined) this.#settledAt = now() + RECONNECT_TIME - restarted
    this.state = 'connected'
    this.events.opened(link)
    this.events.event({ type: 'connected' })
    for (const { resolve } of this.#waiting) resolve()
    this.#waiting.clear()
  }

  get #isClosed(): boolean {
    return this.state === 'closed'
  }

  /** Waits for a link. A link that comes too late is closed. */
  async #inTime(connecting: Promise<Link>, limit: CancellationToken): Promise<Link> {
    const closeLate = async () => {
      const link = await connecting
      if (limit.cancelled) link.close()
    }
    closeLate().catch(() => {})
    try {
      return await limit.race(connecting)
    } catch (error) {
      if (!isCancellation(error, limit)) throw error
      throw new HubError('ERR_HUB_UNREACHABLE', `no connection to ${this.engine.place} ${this.#limit}`)
    }
  }

  #lost(link: Link, error: Error): void {
    if (this.link !== link) return
    this.link = undefined
    link.close()
    this.#retry(error)
  }

  #retry(error: Error): void {
    if (this.state === 'closed') return
    this.state = 'disconnected'
    const { first, most, random } = this.options
    const retryIn = waitAfter(this.#failures++, first, most, 2, random())
    this.#stopWaiting = after(
      retryIn,
      () => {
        this.#connect().catch((again: unknown) => this.#retry(errorFrom(again)))
      },
      false,
    )
    this.events.event({ type: 'disconnected', error, retryIn })
  }
}
