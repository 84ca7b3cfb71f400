/**
 * The tokens of a hub: roots of the local graph that other processes may cancel. They know their hub through
 * {@link TokenBinding}, and know nothing of connections.
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
import { keepOwnerAlive } from './keep-alive.js'
import { ACKNOWLEDGED, FINISHED } from './engine.js'
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

/** What a token knows of its hub, and asks of it. */
export interface TokenBinding {
  readonly name: string
  readonly runId: string
  readonly ready: Promise<void>
  readonly delivered: Promise<void>
  /** What the others are told of a cancel here. */
  readonly who: Who
  /**
   * The token was cancelled here, and the others are to be told. A cancel by hand gives its `callee`: the error's stack begins with the caller
   * of that function, and is collected only when the cancel is on its way, since it takes as long as a write to a socket.
   */
  deliver(cancellation: Cancellation, callee?: Callee): void
  /**
   * The token has got as far as `state` (see E9): it is cancelled and its listeners have run, or what ran under it has ended. `isLocal`: it is
   * cancelled here alone, which does not concern the others.
   */
  changed(state: number, isLocal: boolean): void
  /** Holds the token while it has listeners, which must be called even if the program has dropped the token. */
  keep(token: RemoteToken | undefined): void
  /** The token is closed. */
  close(): void
  /** Where another thread has the connection: takes in what has come from there, for loops that never yield. */
  poll(): void
  /** The word in shared memory that this thread changes then. */
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
  readonly runId: string
  readonly #binding: TokenBinding
  #who: Who | undefined
  /** What was said to be finished by; and how many of these are not, yet. */
  #tasks = 0
  #working = 0
  #isClosed = false

  /** @internal */
  constructor(binding: TokenBinding) {
    super(UNCLONABLE)
    begin(this, { name: binding.name }, [])
    this.#binding = binding
    this.runId = binding.runId
    giveRule(this)
  }

  /**
   * Resolves when the hub's state has been read: what was cancelled before is cancelled now. Keeps the process alive.
   *
   * Errors: rejects with `ERR_HUB_CLOSED` if the token or the hub is closed before.
   */
  get ready(): Promise<void> {
    const token = own(this)
    return keepOwnerAlive(token.#binding.ready, token)
  }

  /**
   * Resolves when its cancel is stored, whoever has made it; pending until then. Keeps the process alive.
   *
   * Errors: rejects with `ERR_HUB_CLOSED` if it ends here alone: it was closed, or its connection was lost for too long.
   */
  get delivered(): Promise<void> {
    const token = own(this)
    return keepOwnerAlive(token.#binding.delivered, token)
  }

  /** In which process it was called off, and the name of the token there; undefined while it lives, or where nobody did it. A look. */
  get who(): Who | undefined {
    const token = own(this)
    const found = discover(token, LOOK)
    if (!found) return undefined
    return token.#who ?? (found.kind === 'manual' ? token.#binding.who : undefined)
  }

  /** Cancels it here at once, and everywhere else. `await token.delivered` to know that it is stored. */
  override cancel(reason?: unknown): this {
    const token = own(this)
    if (!discover(token, LOOK)) {
      const mine = new Cancellation(token, 'manual', reason, now())
      // On its way before the listeners run, which may take their time.
      token.#binding.deliver(mine, cancel)
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
  finished<P extends PromiseLike<unknown>>(task: P): P {
    if (typeof (task as { then?: unknown } | undefined)?.then !== 'function') throw wrongType('task', 'a promise', task)
    const token = own(this)
    token.#tasks++
    token.#working++
    const settled = () => {
      token.#working--
      token.report()
    }
    task.then(settled, settled)
    return task
  }

  /** Closes it: whoever holds it here needs it no longer, which is not the others' business but counts as finished. The same as its dispose. */
  close(): void {
    const token = own(this)
    if (token.#isClosed) return
    token.#isClosed = true
    end(token, 'dispose')
    token.#binding.close()
    token.sources = token.rules = undefined
  }

  override [Symbol.dispose](): void {
    own(this).close()
  }

  /** @internal */
  get readsCancelled(): boolean {
    return discover(this, LOOK) !== undefined
  }

  /** Another process has cancelled its name, or another token of its name has been cancelled here. @internal */
  arrive(found: Cancellation, who: Who): void {
    if (discover(this, LOOK)) return
    this.#who = who
    if (this.hub?.driver) makeError(found) // it has listeners
    this.endBy(found)
  }

  /** It cannot go on, though its name was not cancelled. @internal */
  fall(kind: CancellationKind): void {
    if (!discover(this, LOOK)) this.endBy(new Cancellation(this, kind, undefined, now()))
  }

  /** @internal */
  protected endBy(cancellation: Cancellation): void {
    settle(this, cancellation)
    this.report()
  }

  /** Tells the hub how far the token has got, once it is cancelled. @internal */
  protected report(): void {
    const { outcome } = this
    if (!outcome) return
    const isFinished = this.#tasks > 0 && this.#working === 0
    this.#binding.changed(isFinished ? FINISHED : ACKNOWLEDGED, outcome.origin === this && outcome.kind !== 'manual')
  }

  /** @internal */
  override ask(): Cancellation | undefined {
    this.#binding.poll()
    return undefined
  }

  /** What a blocked thread sleeps on. @internal */
  get word(): SharedWord | undefined {
    return this.#binding.word
  }

  /** @internal */
  override arm(): void {
    this.#binding.keep(this)
    hubOf(this).driver = () => this.#binding.keep(undefined)
  }

  /** @internal */
  override explain(kind: CancellationKind): string {
    if (kind === 'lease') return 'was cancelled because its lease was lost'
    if (kind === 'disconnect') return 'was cancelled because its hub was out of reach'
    return super.explain(kind)
  }

  /** @internal */
  override form(): Form {
    const options = this.runId ? [`{ runId: ${quoted(this.runId)} }`] : []
    return { call: 'hub.open', named: true, own: [quoted(this.#binding.name), ...options] }
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
  constructor(binding: TokenBinding, fence: number, expiry: Expiry) {
    super(binding)
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

  /** Whether the lease is lost. The hub is told so. @internal */
  get isLost(): boolean {
    if (!this.readsCancelled) return false
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
