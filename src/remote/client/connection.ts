/**
 * A connection that comes back: makes a link, and another one when it is lost, with waits in between that double and are cut
 * short by chance, so that a thousand clients of a server that was restarted do not come all at once.
 */
import { waitAfter } from '../../core/backoff.js'
import { after, now } from '../../core/clock.js'
import { isCancellation } from '../../core/errors.js'
import { type CancellationToken, TimeoutToken } from '../../core/token.js'
import type { Engine, Link, Session, TopicState } from '../contract/engine.js'
import { errorFrom, HubError } from '../contract/errors.js'
import type { HubEvent, HubState } from '../contract/hub.js'

export interface ConnectionOptions {
  readonly timeout: number
  readonly first: number
  readonly most: number
  /** From 0 to 1. */
  readonly random: () => number
}

export interface ConnectionEvents {
  /** There is a new link, over which nothing was said yet. */
  opened(link: Link): void
  notice(state: TopicState): void
  event(event: HubEvent): void
}

/** After a restart of a server all its clients are back within so many milliseconds: the longest wait before they try, and a second. */
const RETURN = 6_000

export class Connection {
  state: HubState = 'connecting'
  /** The link in use, while there is one. */
  link: Link | undefined
  readonly #engine: Engine
  readonly #session: Session
  readonly #options: ConnectionOptions
  readonly #events: ConnectionEvents
  /** When something came over the present link last: whoever answers others is only busy. */
  #heard = 0
  /** How often it has failed in a row. */
  #failures = 0
  /** From then on all holders have had the time to enter again. */
  #settledAt = -Infinity
  #stopWaiting: (() => void) | undefined
  /** The present attempt. */
  #connecting: CancellationToken | undefined
  readonly #waiting = new Set<{ resolve: () => void; reject: (error: Error) => void }>()

  constructor(engine: Engine, session: Session, options: ConnectionOptions, events: ConnectionEvents) {
    this.#engine = engine
    this.#session = session
    this.#options = options
    this.#events = events
  }

  /** See {@link Engine}. */
  get isInOrder(): boolean {
    return this.#engine.inOrder === true
  }

  /** Whether all holders that a restart of the server has cut off had the time to enter again. */
  get isSettled(): boolean {
    return now() >= this.#settledAt
  }

  /** Makes the first link. Rejects if that fails, and then goes on trying only if it is to. */
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
   * Asks something over the present link. Where no answer comes in time, to this or to anything else, the link counts as lost.
   * A server that has ten thousand things to answer takes its time, and to begin anew over another link would not be quicker.
   *
   * Errors: what the engine says; `ERR_HUB_UNREACHABLE` where there is no link.
   */
  call<T>(what: (link: Link) => Promise<T>): Promise<T> {
    const { link } = this
    if (!link) return Promise.reject(new HubError('ERR_HUB_UNREACHABLE', 'the hub is not connected'))
    // First of all it is sent.
    const answered = what(link)
    const { timeout } = this.#options
    const sent = now()
    let hasLooked = false
    let stop: () => void
    const look = () => {
      const left = this.link === link ? Math.max(sent, this.#heard) + timeout - now() : 0
      if (left > 0) {
        hasLooked = false
        stop = after(left, look, false)
      } else if (!hasLooked) {
        // A process that was busy itself first takes in what has come meanwhile.
        hasLooked = true
        stop = after(1, look, false)
      } else this.#lost(link, new HubError('ERR_HUB_UNREACHABLE', `no answer ${this.#limit}`))
    }
    stop = after(timeout, look, false)
    // No `finally`, which would take two more turns of the queue.
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

  /** Asks again over the next link where one is lost, so only what may be repeated (E11). */
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
    return `within ${this.#options.timeout} ms`
  }

  async #connect(): Promise<void> {
    const made: { link?: Link } = {}
    let isLost: Error | undefined
    const events = {
      notice: (state: TopicState) => {
        if (made.link && made.link === this.link) this.#events.notice(state)
      },
      lost: (error: Error) => {
        isLost = error
        if (made.link) this.#lost(made.link, error)
      },
    }
    const limit = new TimeoutToken(this.#options.timeout)
    this.#connecting = limit
    const link = await this.#inTime(this.#engine.connect(this.#session, events, limit), limit)
    made.link = link
    if (isLost) throw isLost
    if (this.#isClosed) {
      link.close()
      throw closed()
    }
    this.link = link
    this.#heard = now()
    this.#failures = 0
    // A link that was lost may have been lost by all.
    const restarted = this.state === 'disconnected' ? 0 : link.sinceRestart
    if (restarted !== undefined) this.#settledAt = now() + RETURN - restarted
    this.state = 'connected'
    this.#events.opened(link)
    this.#events.event({ type: 'connected' })
    for (const { resolve } of this.#waiting) resolve()
    this.#waiting.clear()
  }

  get #isClosed(): boolean {
    return this.state === 'closed'
  }

  /** A link that comes too late is closed. */
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
      throw new HubError('ERR_HUB_UNREACHABLE', `no connection to ${this.#engine.place} ${this.#limit}`)
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
    const { first, most, random } = this.#options
    const retryIn = waitAfter(this.#failures++, first, most, 2, random())
    this.#stopWaiting = after(
      retryIn,
      () => {
        this.#connect().catch((again: unknown) => this.#retry(errorFrom(again)))
      },
      false,
    )
    this.#events.event({ type: 'disconnected', error, retryIn })
  }
}

export function closed(): HubError {
  return new HubError('ERR_HUB_CLOSED', 'the hub is closed')
}
