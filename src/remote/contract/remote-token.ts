/**
 * The tokens a hub gives out: roots of the local graph that somebody else may end. What they need of their hub stands in
 * {@link Desk}; they know nothing of connections.
 */
import { wrongType } from '../../core/arguments.js'
import { after, isBefore, now, type SharedWord } from '../../core/clock.js'
import { type Form, quoted } from '../../core/describe.js'
import { Elsewhere } from '../../core/elsewhere.js'
import type { CancellationKind } from '../../core/errors.js'
import { Cancellation, discover, end, errorOf, giveRule, hubOf, LOOK, moved, own, settle } from '../../core/graph.js'
import { begin, CancellationToken, UNCLONABLE } from '../../core/token.js'
import { type Callee, untraced } from '../../core/traces.js'
import { type Expiry, hasSlept } from './expiry.js'
import { held } from './keep-alive.js'
import type { Who } from './hub.js'

/** A token of another process that has started a cancellation, as far as it is known here. */
export class OtherProcess extends Elsewhere {
  constructor({ host, pid, token }: Who, what: string) {
    super('OtherProcess', { name: token, what: `${what} in process ${pid} on ${host}` })
  }
}

/**
 * Makes the error of what has just arrived. Nobody here has asked for it, so its stack would lead into the handling of a socket;
 * and collecting one takes longer than all the rest of an arrival. An error that is made later, by a `check()`, has one.
 */
function makeError(found: Cancellation): void {
  untraced(() => errorOf(found))
}

/** The place of a token in its hub. */
export interface Desk {
  readonly name: string
  readonly run: string
  readonly ready: Promise<void>
  readonly delivered: Promise<void>
  /** Whom a cancel here is by. */
  readonly who: Who
  /**
   * It was cancelled here: the others are told. With the error of a cancel by hand that waits: to collect its stack, which begins with the
   * caller of `callee`, takes as long as to write to a socket.
   */
  deliver(cancellation: Cancellation, callee?: Callee): void
  /** It is over here, and the listeners have run; or what was being done under it has ended. */
  changed(): void
  /** Whether somebody listens, who must be told even if nobody keeps the token. */
  keep(token: RemoteToken | undefined): void
  /** It is of no use to anybody here any more. */
  close(): void
  /** Where another thread has the connection: heeds what has come from there, as a loop that never yields must. */
  poll(): void
  /** The word that this other thread changes then. */
  readonly word: SharedWord | undefined
}

/**
 * A token with a name that other processes know: opened by any number of them, cancelled by any of them, for all.
 *
 * A `CancellationToken` like any other: `cancelled` is local memory, and it can be nested, summed, raced and shared with
 * threads. `cancelledBy` is the token where it started, as far as it is known here; `who` says in which process.
 *
 * Memory: may be dropped; the others are told. With a listener it is kept. `using` closes it: it ends here alone, kind
 * `'dispose'`.
 */
export class RemoteToken extends CancellationToken {
  /** Which run of its name. */
  readonly run: string
  readonly #desk: Desk
  #who: Who | undefined
  /** What was said to be finished by; and how many of these are not, yet. */
  #works = 0
  #working = 0
  #isClosed = false

  /** @internal */
  constructor(desk: Desk) {
    super(UNCLONABLE)
    begin(this, { name: desk.name }, [])
    this.#desk = desk
    this.run = desk.run
    giveRule(this)
  }

  /**
   * Resolves when the hub's state has been read: what was cancelled before is cancelled now. Keeps the process alive.
   *
   * Errors: rejects with `ERR_HUB_CLOSED` if the token or the hub is closed before.
   */
  get ready(): Promise<void> {
    const token = own(this)
    return held(token.#desk.ready, token)
  }

  /**
   * Resolves when its cancel is stored, whoever has made it; pending until then. Keeps the process alive.
   *
   * Errors: rejects with `ERR_HUB_CLOSED` if it ends here alone: it was closed, or its connection was lost for too long.
   */
  get delivered(): Promise<void> {
    const token = own(this)
    return held(token.#desk.delivered, token)
  }

  /** In which process it was called off, and the name of the token there; undefined while it lives, or where nobody did it. A look. */
  get who(): Who | undefined {
    const token = own(this)
    const found = discover(token, LOOK)
    if (!found) return undefined
    return token.#who ?? (found.kind === 'manual' ? token.#desk.who : undefined)
  }

  /** Cancels it here at once, and everywhere else. `await token.delivered` to know that it is stored. */
  override cancel(reason?: unknown): this {
    const token = own(this)
    if (!discover(token, LOOK)) {
      const mine = new Cancellation(token, 'manual', reason, now())
      // On its way before the listeners run, which may take their time.
      token.#desk.deliver(mine, cancel)
      token.endBy(mine)
    }
    return this
  }

  /**
   * Says what is being done under the token: when it is cancelled, and all that was said has settled, this holder counts as
   * finished in the canceller's receipt. Gives back the very promise.
   *
   * A failure counts as an end, and is left to whoever awaits the promise.
   */
  finished<P extends PromiseLike<unknown>>(work: P): P {
    if (typeof (work as { then?: unknown } | undefined)?.then !== 'function') throw wrongType('work', 'a promise', work)
    const token = own(this)
    token.#works++
    token.#working++
    const settled = () => {
      token.#working--
      if (token.outcome) token.#desk.changed()
    }
    work.then(settled, settled)
    return work
  }

  /** Closes it: whoever holds it here needs it no longer, which is not the others' business but counts as finished. The same as its dispose. */
  close(): void {
    const token = own(this)
    if (token.#isClosed) return
    token.#isClosed = true
    end(token, 'dispose')
    token.#desk.close()
    token.sources = token.rules = undefined
  }

  override [Symbol.dispose](): void {
    own(this).close()
  }

  /** @internal */
  get isOver(): boolean {
    return discover(this, LOOK) !== undefined
  }

  /** Whether it has ended here alone, which concerns nobody else. @internal */
  get endsAlone(): boolean {
    return this.outcome?.origin === this && this.outcome.kind !== 'manual'
  }

  /** Whether it is over, and all that was said to be done under it. @internal */
  get isFinished(): boolean {
    return this.outcome !== undefined && (this.#isClosed || (this.#works > 0 && this.#working === 0))
  }

  /** Somebody else has called it off, or another token of its name here. @internal */
  arrive(found: Cancellation, who: Who): void {
    if (discover(this, LOOK)) return
    this.#who = who
    if (this.hub?.driver) makeError(found) // somebody listens
    this.endBy(found)
  }

  /** Nobody has called it off, but it cannot go on. @internal */
  fall(kind: CancellationKind): void {
    if (!discover(this, LOOK)) this.endBy(new Cancellation(this, kind, undefined, now()))
  }

  /** @internal */
  protected endBy(cancellation: Cancellation): void {
    settle(this, cancellation)
    this.#desk.changed()
  }

  /** @internal */
  protected report(): void {
    this.#desk.changed()
  }

  /** @internal */
  override ask(): Cancellation | undefined {
    this.#desk.poll()
    return undefined
  }

  /** What a blocked thread sleeps on. @internal */
  get word(): SharedWord | undefined {
    return this.#desk.word
  }

  /** @internal */
  override arm(): void {
    this.#desk.keep(this)
    hubOf(this).driver = () => this.#desk.keep(undefined)
  }

  /** @internal */
  override explain(kind: CancellationKind): string {
    if (kind === 'lease') return 'was cancelled because its lease was lost'
    if (kind === 'disconnect') return 'was cancelled because its hub was out of reach'
    return super.explain(kind)
  }

  /** @internal */
  override form(): Form {
    const run = this.run ? [`{ run: ${quoted(this.run)} }`] : []
    return { call: 'hub.open', named: true, own: [quoted(this.#desk.name), ...run] }
  }
}

/**
 * The token of a lease's owner: ends when the lease may be lost, before the others are told so. A poll compares the clock, so a
 * loop that never yields, or a process that was stopped for a while, learns of it in time.
 *
 * `remaining` is what is left if no renewal succeeds any more. `using`, or `close()`, releases the lease.
 */
export class LeaseToken extends RemoteToken {
  /** Higher than that of any lease before it: what is written under the lease can carry it, and older ones be refused. */
  readonly fence: number
  #expiry: Expiry

  /** @internal */
  constructor(desk: Desk, fence: number, expiry: Expiry) {
    super(desk)
    this.fence = fence
    this.#expiry = expiry
  }

  /** @internal */
  get deadline(): number {
    return this.#expiry.deadline
  }

  /** A renewal was accepted. @internal */
  extend(expiry: Expiry): void {
    if (expiry.deadline <= this.deadline || discover(this, LOOK)) return
    this.#expiry = expiry
    const { hub } = this
    if (!hub?.driver) return
    hub.driver()
    this.arm()
    moved(this)
  }

  /** Whether the lease is lost; the others are told that it is over here. @internal */
  get isLost(): boolean {
    if (!this.isOver) return false
    this.report()
    return this.outcome?.kind === 'lease'
  }

  /** @internal */
  override ask(): Cancellation | undefined {
    super.ask()
    return isBefore(this.#expiry.deadline) && !hasSlept(this.#expiry) ? undefined : this.#lost()
  }

  /** @internal */
  ahead(): Cancellation {
    return this.#lost()
  }

  #lost(): Cancellation {
    return new Cancellation(this, 'lease', undefined, this.deadline)
  }

  /** @internal */
  override arm(): void {
    const ring = () => {
      if (!discover(this, LOOK)) this.endBy(this.#lost())
    }
    const stop = after(this.deadline - now(), ring, false)
    hubOf(this).driver = stop
  }

  /** @internal */
  override form(): Form {
    const left = Math.max(0, Math.ceil(this.deadline - now()))
    return { ...super.form(), call: 'hub.lease', left: `${left} ms left` }
  }
}

// With this an error's stack begins with the caller of the method.
// oxlint-disable-next-line typescript/unbound-method -- only told to the engine, never called
const { cancel } = RemoteToken.prototype
