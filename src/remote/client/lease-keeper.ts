/** The owner's side of a lease. */
import { now } from '../../core/clock.js'
import type { Connection } from './connection.js'
import type { Acquired, Topic } from '../contract/engine.js'
import { HubError } from '../contract/errors.js'
import { type Expiry, expiryIn } from '../contract/expiry.js'
import { inTime, pause, repeat } from '../contract/deferred.js'

/** How many times a lease is renewed within its ttl. */
const RENEWALS = 3
/** Milliseconds by which the owner gives up before the engine does. Clocks differ in pace, and the owner must be first. */
const marginOf = (ttl: number): number => Math.min(ttl / 10, 1_000)
/** The shortest and the longest pause between two attempts to take a lease that another owner has, in milliseconds. */
const SOONEST = 20
const LATEST = 1_000

/** The token of a lease. */
export interface Leased {
  /** Whether the lease is lost for its owner. Reports a loss to the hub. */
  readonly isLost: boolean
  /** Applies an accepted renewal: the owner may rely on the lease until `expiry`. */
  extend(expiry: Expiry): void
  cancelHere(kind: 'lease'): void
}

export class LeaseKeeper {
  #fence = 0
  #token: Leased | undefined
  #stopTimer = () => {}

  constructor(
    private readonly connection: Connection,
    private readonly topic: Topic,
    private readonly owner: string,
    private readonly ttl: number,
  ) {}

  /**
   * Takes the lease, and returns until when the owner may rely on it. With a `timeout` above 0 it waits at most that many milliseconds for
   * the lease of another owner to end and for an answer. A lease that is granted later is released.
   *
   * Errors: `ERR_LEASE_HELD`; `ERR_HUB_UNREACHABLE` if no answer comes in time.
   */
  async acquire(timeout = 0): Promise<{ readonly fence: number; readonly expiry: Expiry }> {
    const began = now()
    let isGivenUp = false
    for (;;) {
      let expiry = this.#expiry()
      const asked = this.connection.ask((link) => {
        if (isGivenUp) return Promise.reject(this.#silent(timeout))
        expiry = this.#expiry()
        return link.acquire(this.topic, this.owner, this.ttl)
      })
      const outcome = await (timeout > 0 ? inTime(asked, Math.max(0, timeout - (now() - began))) : asked)
      if (!outcome) {
        isGivenUp = true
        const giveBack = (late: Acquired) =>
          late.held ? this.connection.call((link) => link.release(this.topic, late.fence)) : undefined
        asked.then(giveBack).catch(() => {}) // otherwise the lease ends by itself
        throw this.#silent(timeout)
      }
      if (outcome.held) {
        this.#fence = outcome.fence
        return { fence: outcome.fence, expiry }
      }
      const left = timeout - (now() - began)
      if (left <= 0) {
        const { name } = this.topic
        throw new HubError('ERR_LEASE_HELD', `the lease of ${JSON.stringify(name)} is held by another owner`)
      }
      await pause(Math.min(left, Math.max(SOONEST, Math.min(LATEST, outcome.left))))
    }
  }

  /** Renews the lease from now on, for this token. */
  keep(token: Leased): void {
    this.#token = token
    this.#wait()
  }

  /** There is a new link. Requests over the old link may have been lost. */
  opened(): void {
    if (!this.#token) return
    this.#wait()
    this.#renew()
  }

  /** Releases the lease. If the request does not arrive, the lease ends by itself. */
  async release(): Promise<void> {
    this.#stopTimer()
    const token = this.#token
    this.#token = undefined
    if (!token || !this.connection.link) return
    await this.connection.call((link) => link.release(this.topic, this.#fence)).catch(() => {})
  }

  #silent(timeout: number): HubError {
    const { name } = this.topic
    return new HubError(
      'ERR_HUB_UNREACHABLE',
      `no answer about the lease of ${JSON.stringify(name)} within ${timeout} ms`,
    )
  }

  /** The expiry for a request that is sent now. It is counted from before the request, so it is never later than the engine's. */
  #expiry(): Expiry {
    return expiryIn(this.ttl - marginOf(this.ttl))
  }

  #wait(): void {
    this.#stopTimer()
    this.#stopTimer = repeat(
      () => this.ttl / RENEWALS,
      () => this.#renew(),
    )
  }

  #renew(): void {
    const token = this.#token
    if (token?.isLost === true) return this.#stopTimer()
    if (token && this.connection.link) this.#ask(token).catch(() => {}) // the deadline stays as it is
  }

  async #ask(token: Leased): Promise<void> {
    const expiry = this.#expiry()
    const accepted = await this.connection.call((link) => link.renew(this.topic, this.#fence, this.ttl))
    if (this.#token !== token) return
    if (accepted) return token.extend(expiry)
    this.#stopTimer()
    token.cancelHere('lease')
  }
}
