/**
 * The tokens of a hub: roots of the local graph that other processes may cancel. They reach their hub through
 * {@link TokenBinding} and do not depend on connections.
 */
import { wrongType } from '../../core/arguments.js'
import { after, isBefore, now, type SharedWord } from '../../core/clock.js'
import { type Form, quoted } from '../../core/describe.js'
import { RemoteOrigin } from '../../core/remote-origin.js'
import type { CancellationKind } from '../../core/errors.js'
import {
  Cancellation,
  discover,
  end,
  errorOf,
  giveRule,
  extrasOf,
  READ,
  moved,
  own,
  ownToCancel,
  settle,
} from '../../core/graph.js'
import { begin, CancellationToken, UNCLONABLE } from '../../core/token.js'
import { type Callee, untraced } from '../../core/traces.js'
import type { Milestone } from './deferred.js'
import { type Expiry, hasSlept } from './expiry.js'
import { keepOwnerAlive } from './keep-alive.js'
import { ACKNOWLEDGED, FINISHED, type Topic } from './engine.js'
import type { Who } from './hub.js'

/** A token of another process where a cancellation started, as far as it is known here. */
export class OtherProcess extends RemoteOrigin {
  constructor({ host, pid, token }: Who, what: string) {
    super('OtherProcess', { name: token, what: `${what} in process ${pid} on ${host}` })
  }
}

/**
 * Makes the error of a cancellation that has just arrived, without a stack. Its stack would lead into the code that reads a
 * socket, and collecting a stack takes longer than the rest of an arrival. An error that a `check()` makes later has a stack.
 */
function makeError(found: Cancellation): void {
  untraced(() => errorOf(found))
}

/** The connection of a token with its hub. */
export interface TokenBinding {
  readonly topic: Topic
  readonly readiness: Milestone
  readonly delivery: Milestone
  /** What other processes are told about the origin of a local cancel. */
  readonly who: Who
  /**
   * Sends a local cancel to other processes. A manual cancel passes its `callee`: the stack of the error begins with the caller of that
   * function. The stack is collected only after the cancel was sent, because it takes as long as a write to a socket.
   */
  deliver(cancellation: Cancellation, callee?: Callee): void
  /**
   * Reports the state of the token (E9): it is cancelled and its listeners have run, or its tasks have settled. `isLocal`: it is
   * cancelled in this process only, which does not concern other processes.
   */
  changed(state: number, isLocal: boolean): void
  /** Keeps the token in memory while it has listeners. They must be called even if the program has dropped the token. */
  keep(token: RemoteToken | undefined): void
  /** Reports that the token is closed. */
  close(): void
  /** If a background thread has the connection: applies what has arrived from it, for loops that never yield. */
  poll(): void
  /** The word in shared memory that the background thread changes when something has arrived. */
  readonly word: SharedWord | undefined
}

/**
 * A token with a name that other processes share. Any number of processes may open it, and each of them may cancel it for all.
 *
 * A `CancellationToken` like any other: `cancelled` is local memory, and the token can be a parent, be combined, raced and shared
 * with threads. `cancelledBy` is the token where the cancel started, as far as it is known here. `who` names the process.
 *
 * Memory: the token may be dropped; other processes learn that it is gone. A token with a listener is kept. `using` closes it: it is
 * cancelled in this process only, with kind `'dispose'`.
 */
export class RemoteToken extends CancellationToken {
  /** The run of its name. */
  readonly runId: string
  readonly #binding: TokenBinding
  #who: Who | undefined
  /** How many promises were given to `finished`, and how many of them are pending. */
  #tasks = 0
  #working = 0
  /** How many promises that were given to `acknowledged` are pending. */
  #passing = 0
  #isClosed = false

  /** @internal */
  constructor(binding: TokenBinding) {
    super(UNCLONABLE)
    begin(this, { name: binding.topic.name }, [])
    this.#binding = binding
    this.runId = binding.topic.runId
    giveRule(this)
  }

  /**
   * Resolves when the state of the hub has been read: if the name was cancelled before, the token is cancelled now. Keeps the process
   * alive while it is pending.
   *
   * Errors: rejects with `ERR_HUB_CLOSED` if the token or the hub is closed first.
   */
  get ready(): Promise<void> {
    const token = own(this)
    return keepOwnerAlive(token.#binding.readiness.promise, token)
  }

  /**
   * Resolves when the cancel of the token is stored, whichever process made it. Keeps the process alive while it is pending.
   *
   * Errors: rejects with `ERR_HUB_CLOSED` if the token is cancelled in this process only, because it was closed or its connection was
   * lost for too long.
   */
  get delivered(): Promise<void> {
    const token = own(this)
    return keepOwnerAlive(token.#binding.delivery.promise, token)
  }

  /** The process that cancelled it, and the name of the token there. Undefined while it lives, or if no process cancelled it. Reads, never polls. */
  get who(): Who | undefined {
    const token = own(this)
    const found = discover(token, READ)
    if (!found) return undefined
    return token.#who ?? (found.kind === 'manual' ? token.#binding.who : undefined)
  }

  /** Cancels the token here at once, and then everywhere. `await token.delivered` waits until the cancel is stored. */
  override cancel(reason?: unknown): this {
    const token = ownToCancel(this)
    if (!discover(token, READ)) {
      const mine = new Cancellation(token, 'manual', reason, now())
      // Sent before the listeners run, because they may take long.
      token.#binding.deliver(mine, cancel)
      token.endBy(mine)
    }
    return this
  }

  /**
   * Registers a task of the token. When the token is cancelled and all registered tasks have settled, this holder counts as finished in
   * the receipt of the canceller. Returns the same promise.
   *
   * A rejection counts as settled. It is not handled here: the caller must await the promise.
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
    // The `then` of another library may call back twice, or throw.
    Promise.resolve(task).then(settled, settled)
    return task
  }

  /**
   * Registers a promise that this holder waits for before it counts as acknowledged. For a process that passes the cancel on: the promise
   * resolves when the far side has heard of it. Returns the same promise.
   *
   * A rejection counts as heard. It is not handled here: the caller must await the promise. A holder that has finished or is closed counts
   * as acknowledged, whatever is pending.
   */
  acknowledged<P extends PromiseLike<unknown>>(heard: P): P {
    if (typeof (heard as { then?: unknown } | undefined)?.then !== 'function')
      throw wrongType('heard', 'a promise', heard)
    const token = own(this)
    token.#passing++
    const settled = () => {
      token.#passing--
      token.report()
    }
    Promise.resolve(heard).then(settled, settled)
    return heard
  }

  /** Closes the token: it is cancelled in this process only, with kind `'dispose'`, and this holder counts as finished. The same as its dispose. */
  close(): void {
    const token = ownToCancel(this)
    if (token.#isClosed) return
    token.#isClosed = true
    end(token, 'dispose')
    token.#binding.close()
    token.sources = token.rules = undefined
  }

  override [Symbol.dispose](): void {
    ownToCancel(this).close()
  }

  /** @internal */
  get readsCancelled(): boolean {
    return discover(this, READ) !== undefined
  }

  /** Applies a cancel of its name by another process, or by another token of this process. @internal */
  applyCancel(found: Cancellation, who: Who): void {
    if (discover(this, READ)) return
    this.#who = who
    if (this.extras?.disarm) makeError(found) // it has listeners
    this.endBy(found)
  }

  /** Cancels this token only, though its name was not cancelled. @internal */
  cancelHere(kind: CancellationKind): void {
    if (!discover(this, READ)) this.endBy(new Cancellation(this, kind, undefined, now()))
  }

  /** @internal */
  protected endBy(cancellation: Cancellation): void {
    settle(this, cancellation)
    this.report()
  }

  /** Reports the state of the token to the hub, once it is cancelled. @internal */
  protected report(): void {
    const { outcome } = this
    if (!outcome) return
    const isFinished = this.#tasks > 0 && this.#working === 0
    const isLocal = outcome.origin === this && outcome.kind !== 'manual'
    if (isFinished) this.#binding.changed(FINISHED, isLocal)
    else if (this.#passing === 0) this.#binding.changed(ACKNOWLEDGED, isLocal)
  }

  /** @internal */
  override pollOwn(): Cancellation | undefined {
    this.#binding.poll()
    return undefined
  }

  /** The word that a blocked thread waits on. @internal */
  get word(): SharedWord | undefined {
    return this.#binding.word
  }

  /** @internal */
  override arm(): void {
    this.#binding.keep(this)
    extrasOf(this).disarm = () => this.#binding.keep(undefined)
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
    return { call: 'hub.open', named: true, own: [quoted(this.#binding.topic.name), ...options] }
  }
}

/**
 * The token of the owner of a lease. It is cancelled when the lease may be lost, before other processes learn of the loss. A poll
 * compares the clock, so a loop that never yields, or a process that was suspended, learns of the loss in time.
 *
 * `remaining` is the time that is left if no further renewal succeeds. `using` or `close()` releases the lease.
 */
export class LeaseToken extends RemoteToken {
  /** Higher than the fence of every earlier term. Writes under the lease can carry it, so a store can refuse writes with an older one. */
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

  /** Applies an accepted renewal. @internal */
  extend(expiry: Expiry): void {
    if (expiry.deadline <= this.deadline || discover(this, READ)) return
    this.#expiry = expiry
    const { extras } = this
    if (!extras?.disarm) return
    extras.disarm()
    this.arm()
    moved(this)
  }

  /** Whether the lease is lost. Reports a loss to the hub. @internal */
  get isLost(): boolean {
    if (!this.readsCancelled) return false
    this.report()
    return this.outcome?.kind === 'lease'
  }

  /** @internal */
  override pollOwn(): Cancellation | undefined {
    super.pollOwn()
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
      if (!discover(this, READ)) this.endBy(this.#lost())
    }
    const stop = after(this.deadline - now(), ring, false)
    extrasOf(this).disarm = stop
  }

  /** @internal */
  override form(): Form {
    return { ...super.form(), call: 'hub.lease', ms: this.deadline - now() }
  }
}

// The stack of an error begins with the caller of this method.
// oxlint-disable-next-line typescript/unbound-method -- only passed to the JavaScript engine, never called
const { cancel } = RemoteToken.prototype
