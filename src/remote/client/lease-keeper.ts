/** The owner's side of a lease. */
import { after, now } from '../../core/clock.js'
import type { Connection } from './connection.js'
import type { Acquired, Topic } from '../contract/engine.js'
import { HubError } from '../contract/errors.js'
import { type Expiry, expiryIn } from '../contract/expiry.js'
import { inTime } from '../contract/deferred.js'

/** How often it is renewed within its ttl. */
const RENEWALS = 3
/** The owner gives up so much before the engine could: for clocks that do not run at quite the same pace, and to be first. */
const marginOf = (ttl: number): number => Math.min(ttl / 10, 1_000)
/** Milliseconds between two tries to get a lease that somebody else has: at least, and at most. */
const SOONEST = 20
const LATEST = 1_000

/** What stands and falls with a lease. */
export interface Leased {
  /** Whether it is over; the others are told that it is over here. */
  readonly isLost: boolean
  /** A renewal was accepted: it may be believed in until then. */
  extend(expiry: Expiry): void
  fall(kind: 'lease'): void
}

export class LeaseKeeper {
  readonly #connection: Connection
  readonly #topic: Topic
  readonly #owner: string
  readonly #ttl: number
  #fence = 0
  #token: Leased | undefined
  #stopTimer = () => {}

  constructor(connection: Connection, topic: Topic, owner: string, ttl: number) {
    this.#connection = connection
    this.#topic = topic
    this.#owner = owner
    this.#ttl = ttl
  }

  /**
   * Takes it, and returns until when it may be believed in. With a limit above 0 it waits so many milliseconds at the most, for an owner
   * and for an answer. A lease that it is given later is given back.
   *
   * Errors: `ERR_LEASE_HELD`; `ERR_HUB_UNREACHABLE` where no answer comes timeout the limit.
   */
  async acquire(timeout = 0): Promise<{ readonly fence: number; readonly expiry: Expiry }> {
    const began = now()
    let isGivenUp = false
    for (;;) {
      let expiry = this.#expiry()
      const asked = this.#connection.ask((link) => {
        if (isGivenUp) return Promise.reject(this.#silent(timeout))
        expiry = this.#expiry()
        return link.acquire(this.#topic, this.#owner, this.#ttl)
      })
      const outcome = await (timeout > 0 ? inTime(asked, Math.max(0, timeout - (now() - began))) : asked)
      if (!outcome) {
        isGivenUp = true
        const giveBack = (late: Acquired) =>
          late.held ? this.#connection.call((link) => link.release(this.#topic, late.fence)) : undefined
        asked.then(giveBack).catch(() => {}) // it ends by itself
        throw this.#silent(timeout)
      }
      if (outcome.held) {
        this.#fence = outcome.fence
        return { fence: outcome.fence, expiry }
      }
      const left = timeout - (now() - began)
      if (left <= 0) {
        const { name } = this.#topic
        throw new HubError('ERR_LEASE_HELD', `the lease of ${JSON.stringify(name)} is held by somebody else`)
      }
      const pause = Math.min(left, Math.max(SOONEST, Math.min(LATEST, outcome.left)))
      await new Promise<void>((resolve) => void after(pause, resolve, true))
    }
  }

  /** Renews it from now on, for this token. */
  keep(token: Leased): void {
    this.#token = token
    this.#wait()
  }

  /** There is a new link: what was sent over the old one may have got lost. */
  opened(): void {
    if (this.#token) this.#renew()
  }

  /** Gives it back. It ends by itself where that does not arrive. */
  async release(): Promise<void> {
    this.#stopTimer()
    const token = this.#token
    this.#token = undefined
    if (!token || !this.#connection.link) return
    await this.#connection.call((link) => link.release(this.#topic, this.#fence)).catch(() => {})
  }

  #silent(timeout: number): HubError {
    const { name } = this.#topic
    return new HubError(
      'ERR_HUB_UNREACHABLE',
      `no answer about the lease of ${JSON.stringify(name)} came within ${timeout} ms`,
    )
  }

  /** Of a request that is sent now. Counted from before it is sent, it is never longer than the engine counts. */
  #expiry(): Expiry {
    return expiryIn(this.#ttl - marginOf(this.#ttl))
  }

  #wait(): void {
    this.#stopTimer()
    this.#stopTimer = after(this.#ttl / RENEWALS, () => this.#renew(), false)
  }

  #renew(): void {
    this.#wait()
    const token = this.#token
    if (token?.isLost === true) return this.#stopTimer()
    if (token && this.#connection.link) this.#ask(token).catch(() => {}) // the deadline stands
  }

  async #ask(token: Leased): Promise<void> {
    const expiry = this.#expiry()
    const accepted = await this.#connection.call((link) => link.renew(this.#topic, this.#fence, this.#ttl))
    if (this.#token !== token) return
    if (accepted) return token.extend(expiry)
    this.#stopTimer()
    token.fall('lease')
  }
}
