/// <reference lib="es2017.sharedmemory" preserve="true" />
/**
 * The token that other threads see. It connects the token graph of this thread with one word in shared memory. Several
 * token objects may share that word. Each of them is a *side* of the token: the side that has made it (by `new` or
 * `share`), and the sides that have opened it (from its handle, or by `SharedToken.at`).
 *
 * All threads agree on the state in that word. So every cancellation on this side (by a call, a source or a deadline)
 * goes through the word first. The result is recorded here, and may be the cancellation of another thread. For the
 * engine (core/graph.ts) a shared token is a token with a rule of its own. A shared token with sources is opaque, as
 * the token of `grace()` is: it takes the place of its ancestors in the rules of a node (G4).
 */
import { optional } from '../core/arguments.js'
import { after, now, type SharedWord } from '../core/clock.js'
import { classText, type Form } from '../core/describe.js'
import type { CancellationKind } from '../core/errors.js'
import {
  attribute,
  above,
  byHand,
  Cancellation,
  climb,
  DIRECT,
  discover,
  errorOf,
  giveRule,
  extrasOf,
  READ,
  type Mode,
  moved,
  newWalk,
  settle,
  type Subscriber,
  subscribe,
  type TokenNode,
  whatHappened,
  ownToCancel,
} from '../core/graph.js'
import { stray } from '../core/stray.js'
import { onDeadlineMoved } from '../core/moves.js'
import { CounterToken } from '../core/tokens/counter.js'
import {
  begin as adoptNested,
  CancellationToken,
  isOptions,
  type TokenOrSignal,
  SimpleToken,
  type TokenOptions,
  UNCLONABLE,
} from '../core/token.js'
import { type CountHandle, type Counted, countedIn, countersAbove } from './counts.js'
import { FollowedDeadline, PublishedDeadline } from './deadlines.js'
import { needSharedMemory, allocationIn, allocationOf, type SharedHandle } from './handle.js'
import { aliveState, isOf, kindOf, SLOT_BYTES, STATE } from './layout.js'
import { OtherThread, reportOf, cancellationOf } from './other-thread.js'
import type { SharedWords } from './memory.js'
import { giveBack, type Page, remember, type Allocation, allocate } from './pages.js'
import { begin, cancel, dispose, isOver, type Place, publish, readReport, stateOf } from './protocol.js'
import { decodeReport, encodeReport, lengthOf } from './reports.js'

/**
 * Internal options: the existing place that a token uses instead of a new one, and the counters that came with its
 * handle.
 */
const ALLOCATION = Symbol('allocation')
const COUNTED = Symbol('counted')
/**
 * An internal option of `share`: the token represents its one source, and a direct poll of the token counts as a direct
 * poll of the source.
 */
export const STANDS: unique symbol = Symbol('stands')

export interface Standing extends TokenOptions {
  readonly [STANDS]?: boolean
}

interface InternalOptions extends Standing {
  readonly [ALLOCATION]?: Allocation
  readonly [COUNTED]?: readonly Counted[]
}

/** Whether direct polls of a token differ from other polls. */
function isCounter(token: unknown): boolean {
  if (token instanceof CounterToken) return true
  return token instanceof SharedToken && (token.stands || !!token.counted?.some(({ handle }) => handle.by === 'direct'))
}

/**
 * After this number of plain polls, one poll is atomic. Plain reads alone are a bug: JavaScriptCore moves them out of
 * the loop, and then the loop never ends. Atomic reads alone cost about ten times as much on V8.
 */
const PLAIN_POLLS = 64

/**
 * A token in shared memory. Every thread that has its handle can poll it, listen to it and cancel it. The first cancel
 * wins, on whichever side, and every side reads the same kind, reason, name and message.
 *
 * Timing: a loop that never yields normally sees the cancel of another thread at its next poll, at the latest at its
 * 64th. Listeners run when that poll returns, or when the event loop turns.
 *
 * Memory: a token that is dropped is garbage. Its memory is garbage too when every thread has dropped it. A token with
 * a listener is kept until it is cancelled or the listener is stopped, since another thread may still cancel it. Once
 * the `handle` of a token with sources has been read, the sources keep the token: dispose of it (`using`) when the task
 * is done.
 *
 * Errors: `TypeError` if there is no shared memory (on a page that is served without the isolation headers).
 *
 * @example
 * ```ts
 * import { Worker } from 'node:worker_threads'
 * import { SharedToken } from 'calloff/threads'
 *
 * const program = `
 *   const { workerData, parentPort } = require('node:worker_threads')
 *   import('calloff/threads').then(({ SharedToken }) => {
 *     const token = SharedToken.from(workerData)
 *     parentPort.postMessage('busy')
 *     while (token.keepOn()); // never yields, and ends
 *     console.log(token.error.message)
 *   })
 * `
 * const token = new SharedToken({ name: 'search' })
 * const worker = new Worker(program, { eval: true, workerData: token.handle })
 * worker.on('message', () => token.cancel('found it')) // → token "search" was cancelled: found it
 * ```
 */
export class SharedToken extends CancellationToken {
  /** The bytes of shared memory that a token needs, for {@link SharedToken.at}. */
  declare static readonly BYTES: number

  // The fields that a poll reads. `words` is the shared memory, and `state` is the index of the state
  // among them. `alive` is the value of the state while the token is not cancelled. `left` is how many polls may still
  // be plain reads: 0 if a poll must check more than the word.
  /** @internal */ words: SharedWords
  /** @internal */ state: number
  /** @internal */ alive: number
  /** @internal */ left: number

  /** The counters that came with its handle. @internal */
  readonly counted: readonly Counted[] | undefined
  /** See {@link STANDS}. True only if direct polls of the source differ from its other polls. @internal */
  readonly stands: boolean

  readonly #page: Page
  readonly #place: Place
  /**
   * `#published`, on the side that has made the token, is the deadline of its sources. `#followed`, on a side that has
   * opened it from a handle, is the deadline that the token carries.
   */
  #published: PublishedDeadline | undefined
  #followed: FollowedDeadline | undefined
  #stopTimer: (() => void) | undefined
  /** How this side got the token. Disposing of it on the side that has made it cancels it on every side. */
  readonly #from: 'made' | 'handle' | 'memory'
  #isClosed = false
  #handle: SharedHandle | undefined
  /** The subscriber that notices when the sources are cancelled. It exists once other threads may know the token. */
  #mirror: Subscriber | undefined

  /**
   * @param options or the first of the parents
   * @param nested parents: tokens, or AbortSignals, that cancel this one, on every side, when they are cancelled
   */
  constructor(options?: TokenOptions | TokenOrSignal, ...nested: TokenOrSignal[]) {
    needSharedMemory()
    super(UNCLONABLE)
    adoptNested(this, options, nested)
    const {
      [ALLOCATION]: given,
      [COUNTED]: counted,
      [STANDS]: stands,
    } = (isOptions(options) ? options : {}) as InternalOptions
    const { page, place } = given ?? allocate()
    this.counted = counted?.length ? counted : undefined
    this.stands = stands === true && isCounter(nested[0])
    this.words = page.view
    this.state = place.slot + STATE
    this.alive = place.alive
    this.left = 0
    this.#page = page
    this.#place = place
    this.#from = !given ? 'made' : place.bell > place.slot ? 'memory' : 'handle'
    if (this.#from === 'handle') this.#followed = new FollowedDeadline(page.memory, place)
    if (!given && place.alive > 0) begin(page.memory, place)
    this.#adoptSources()
    // This read is atomic. Without it, a compiler may move plain reads out of a loop that opens tokens. PLAIN_POLLS
    // does not prevent that.
    if (isOver(page.memory, place)) return
    this.#follow()
    this.left = this.#plainPolls()
  }

  /**
   * Opens the token of a handle in this thread. The result shares the state of the token whose handle it is, and has
   * the full interface.
   *
   * Errors: `TypeError` for a value that is no handle, and for a handle of another version of the package.
   *
   * @example
   * ```ts
   * import { SharedToken } from 'calloff/threads'
   *
   * const here = new SharedToken({ name: 'job' })
   * const there = SharedToken.from(structuredClone(here.handle)) // as a message arrives
   * there.cancel(new RangeError('too many'))
   * console.log(here.error?.message, here.reason instanceof RangeError) // → token "job" was cancelled: too many true
   * ```
   */
  static from(handle: SharedHandle): SharedToken {
    const allocation = allocationOf(handle)
    const name = optional('handle.name', 'string', handle.name)
    return new this({ name, [ALLOCATION]: allocation, [COUNTED]: countedIn(handle.counters) } as InternalOptions)
  }

  /**
   * Makes a token in the caller's own memory, such as that of a WebAssembly module. It uses `SharedToken.BYTES` bytes
   * from `byteOffset` on, which must be zero at the first use. All callers that name the same place share one token.
   * It does not carry deadlines.
   *
   * The first word is the one to poll: every value but 0 means cancelled. Storing 1 there cancels the token with kind
   * `'manual'`.
   *
   * Errors: `TypeError` for memory that is not shared. `RangeError` for an offset that is no multiple of 4, or if the
   * buffer ends too soon.
   *
   * @example
   * ```ts
   * import { SharedToken } from 'calloff/threads'
   *
   * const buffer = new SharedArrayBuffer(4096)
   * const token = SharedToken.at(buffer, 1024)
   * Atomics.store(new Int32Array(buffer), 1024 / 4, 1)
   * console.log(token.cancelled, token.kind) // → true manual
   * ```
   */
  static at(
    buffer: SharedArrayBuffer,
    byteOffset: number,
    options?: TokenOptions | TokenOrSignal,
    ...nested: TokenOrSignal[]
  ): SharedToken {
    needSharedMemory()
    const allocation = allocationIn(buffer, byteOffset)
    const isFirst = options !== undefined && !isOptions(options)
    const own: InternalOptions = { ...(isFirst ? undefined : options), [ALLOCATION]: allocation }
    const token = new this(own, ...(isFirst ? [options, ...nested] : nested))
    token.#share()
    return token
  }

  /**
   * The token as a plain value. Post it in a message, pass it as `workerData`, or post it on from there. The value is
   * always the same one.
   *
   * From now on the sources of the token keep it, if it has any: they cancel it on every side, even if this side has
   * dropped it.
   */
  get handle(): SharedHandle {
    const token = ownToCancel(this)
    if (!token.#handle) {
      const { slot, alive } = token.#place
      const apart = token.#from === 'memory'
      if (!apart) remember(token.#page)
      token.#share()
      const { buffer } = token.words
      const { name } = token
      const generation = alive / aliveState(1)
      const place = { buffer, byteOffset: slot * 4, generation, apart }
      const counters = token.#counters()
      const more = counters.length > 0 ? { counters } : {}
      token.#handle = Object.freeze({ calloff: 'SharedToken', ...place, name, ...more })
    }
    return token.#handle
  }

  // The state is compared before `left` is written. So nothing is written to a `this` that is no token.
  override get cancelled(): boolean {
    if (this.left > 1 && this.words[this.state] === this.alive) {
      this.left--
      return false
    }
    return !!discover(this, DIRECT)
  }

  override keepOn(): boolean {
    try {
      if (this.left > 1 && this.words[this.state] === this.alive) {
        this.left--
        return true
      }
    } catch {
      throw stray('token', 'keepOn') // called without a token
    }
    return !discover(this, DIRECT)
  }

  override check(): void {
    try {
      if (this.left > 1 && this.words[this.state] === this.alive) {
        this.left--
        return
      }
    } catch {
      throw stray('token', 'check') // called without a token
    }
    const found = discover(this, DIRECT)
    if (found) throw errorOf(found, check)
  }

  /** Cancels it, on every side. If several sides cancel at once, one wins, and every side reads its reason. */
  override cancel(reason?: unknown): this {
    const token = ownToCancel(this)
    if (!discover(token, READ)) {
      settle(token, token.#end(byHand(token, reason, cancelToken)))
      token.#page.look() // tells other tokens of this thread over the same place
    }
    return this
  }

  /**
   * Called by `using`. On the side that has made the token, it cancels every side with kind `'dispose'`, and the place
   * in shared memory may be used again. On a side that has opened it, it cancels that side alone.
   */
  override [Symbol.dispose](): void {
    const token = ownToCancel(this)
    if (!discover(token, READ)) {
      const mine = new Cancellation(token, 'dispose', undefined, now())
      if (token.#from === 'made') {
        const { won, next } = dispose(token.#page.memory, token.#place, token.#published?.words ?? 0)
        if (next !== undefined) giveBack(token.#page, { ...token.#place, alive: next })
        token.#letGo()
        settle(token, won ? mine : token.#read())
        token.#page.look()
      } else {
        token.#isClosed = true
        token.#letGo()
        settle(token, mine)
      }
    }
    token.sources = token.rules = undefined
  }

  // ---- What cancels it

  /**
   * Combines several sources into one. If the new token is cancelled already, that cancellation goes through the word
   * like every other.
   */
  #adoptSources(): void {
    const { sources, outcome } = this
    this.outcome = undefined
    if (sources) {
      this.sources = Array.isArray(sources) ? new SimpleToken(...(sources as CancellationToken[])) : sources
      this.rules = this
      this.seen = 0
    } else giveRule(this)
    if (outcome) settle(this, this.#end(outcome))
  }

  /**
   * Writes a cancellation of this side to the word. Returns the cancellation that the token has: this one, or an
   * earlier one.
   */
  #end(mine: Cancellation): Cancellation {
    const { memory } = this.#page
    const ending = this.#published?.endingFor(mine)
    const report = (room: number) => encodeReport(reportOf(mine, this, mine.at), room)
    const won =
      ending === undefined ? cancel(memory, this.#place, mine.kind, report) : publish(memory, this.#place, ending)
    if (!won) return this.#read()
    this.#letGo()
    return mine
  }

  /** Returns the cancellation that the word stands for. */
  #read(): Cancellation {
    this.#letGo()
    const { memory } = this.#page
    const state = stateOf(memory, this.#place)
    this.#followed?.follow()
    const foreseen = this.#published?.endedBy(state, this.sources as TokenNode) ?? this.#followed?.endedBy(state, this)
    const found = foreseen ?? this.#preferOwn(this.#readReport(state))
    if (found.origin instanceof OtherThread) attribute(found.origin, found)
    return found
  }

  #readReport(state: number): Cancellation {
    // A place is used again only after a dispose.
    const kind = this.#from === 'memory' || isOf(state, this.alive) ? kindOf(state) : 'dispose'
    const report = decodeReport(readReport(this.#page.memory, this.#place, state, lengthOf))
    const here = now()
    return cancellationOf(report, kind, this, Math.min(report?.at ?? here, here))
  }

  /**
   * If the word says that a counter is empty, returns the cancellation that this side has of that counter. So the
   * counter and the token have one error.
   */
  #preferOwn(received: Cancellation): Cancellation {
    if (received.kind !== 'counter') return received
    const isIt = (own: Cancellation | undefined) =>
      own?.kind === 'counter' && whatHappened(own) === whatHappened(received) ? own : undefined
    const source = this.sources as TokenNode | undefined
    if (!source) return isIt(this.#pollCounters(READ, newWalk())) ?? received
    // Several counters may be empty by now. This finds the one that was empty when the other side polled.
    for (const node of above(source, false)) {
      const own = node instanceof CounterToken ? isIt(discover(node, READ)) : undefined
      if (!own) continue
      settle(source, own)
      return own
    }
    return isIt(discover(source, READ)) ?? received
  }

  /** Polls the counters that came with it. */
  #pollCounters(mode: Mode, walk: number): Cancellation | undefined {
    let empty: Cancellation | undefined
    for (const one of this.counted ?? []) if ((empty = one.pollOwn(mode, walk))) break
    return empty
  }

  /** Ends the token because the deadline that it carries has passed. */
  #timeOut({ ending }: FollowedDeadline): Cancellation {
    publish(this.#page.memory, this.#place, ending)
    return this.#read()
  }

  /** After the cancellation there is nothing left to poll or to listen to. */
  #letGo(): void {
    this.left = 0
    this.#mirror?.stop()
    this.#mirror = undefined
  }

  #plainPolls(): number {
    const isMore = this.sources || this.counted || (this.#followed && this.#followed.at < Infinity)
    return isMore ? 0 : PLAIN_POLLS
  }

  // ---- What other threads know of it

  /** From now on other threads see the cancellation of its sources, and the deadlines of its sources. */
  #share(): void {
    if (!this.sources || this.#mirror || discover(this, READ)) return
    if (this.#from === 'made') this.#published = new PublishedDeadline(this.#page.memory, this.#place)
    this.#mirror = subscribe(this.sources as TokenNode, () => void discover(this, READ))
    onDeadlineMoved(this.#mirror, this)
    this.publishDeadline()
  }

  /**
   * Returns the handles of the counters among its ancestors, or of those that came with its handle. From now on, all
   * threads count each counter in the place that the counter's handle names.
   */
  #counters(): readonly CountHandle[] {
    if (this.outcome) return []
    return this.sources
      ? countersAbove(this.sources as TokenNode, this.stands)
      : (this.counted ?? []).map(({ handle }) => handle)
  }

  /** @internal */
  get below(): TokenNode {
    return this
  }

  /** @internal */
  publishDeadline(): void {
    const source = this.sources as TokenNode
    const isPublished = !this.outcome && !source.outcome && this.#published?.tell(source, this)
    if (isPublished) this.#page.look() // tells other tokens of this thread over the same place
  }

  /** Reads the deadline again if it was moved since. Returns true if it was. */
  #follow(): boolean {
    if (!this.#followed?.follow()) return false
    this.left = 0
    if (this.#stopTimer) this.#setTimer()
    moved(this)
    return true
  }

  #setTimer(): void {
    this.#stopTimer?.()
    const { at = Infinity } = this.#followed ?? {}
    const ring = () => {
      if (!discover(this, READ) && this.#followed?.at === at) settle(this, this.#timeOut(this.#followed))
    }
    this.#stopTimer = after(at - now(), ring, false)
  }

  // ---- What the engine calls

  /** @internal */
  override get opaque(): boolean {
    return this.sources !== undefined
  }

  /**
   * Whether a wait must poll the token. It must if one of the counters that came with its handle was made with `direct:
   * false`, because each poll of the wait uses up such a counter. @internal
   */
  override get polled(): boolean {
    return this.counted?.some(({ handle }) => handle.by === 'all') ?? false
  }

  /** The word on which a blocked thread sleeps. @internal */
  get word(): SharedWord | readonly SharedWord[] {
    const { words: view } = this
    if (this.#from === 'memory') return { view, index: this.state, value: this.alive }
    const { bell } = this.#place
    const own = { view, index: bell, value: Atomics.load(view, bell) }
    const others = this.counted?.filter(({ count }) => count.page !== this.#page)
    return others?.length ? [own, ...others.map(({ count }) => count.word)] : own
  }

  /** @internal */
  override pollOwn(mode: Mode, walk: number): Cancellation | undefined {
    return this.sources ? climb(this, mode, walk) : this.known(mode, walk)
  }

  /** @internal */
  known(mode: Mode, walk: number): Cancellation | undefined {
    if (mode !== READ && --this.left > 0 && this.words[this.state] === this.alive) return undefined
    if (isOver(this.#page.memory, this.#place)) return this.#read()
    this.#follow()
    const followed = this.#followed
    // The deadline is read once more, because it may have been moved while the system did not run this thread.
    if (followed?.hasPassed() && (!this.#follow() || followed.hasPassed())) return this.#timeOut(followed)
    if (this.counted) {
      const empty = this.#pollCounters(mode, walk)
      if (empty) return this.#end(empty)
    }
    // This poll is a direct one of the source, too. The engine then polls the source indirectly. By then the source has
    // counted this poll, or is cancelled.
    if (this.stands && mode === DIRECT) discover(this.sources as TokenNode, DIRECT, walk)
    this.left = this.#plainPolls()
    return undefined
  }

  /** @internal */
  conclude(last: Cancellation): Cancellation {
    return this.#end(last)
  }

  /** @internal */
  sourceEnded(): Cancellation {
    return this.#end((this.sources as TokenNode).outcome as Cancellation)
  }

  /** @internal */
  predictEnd([source]: readonly (Cancellation | undefined)[]): Cancellation | undefined {
    return source
  }

  /** @internal */
  ahead(isPublished: boolean): Cancellation | undefined {
    if (isPublished) this.#followed?.followMoves()
    this.#follow()
    return this.#followed?.ahead(this)
  }

  /** @internal */
  override arm(): void {
    const pages = new Set([this.#page, ...(this.counted ?? []).map(({ count }) => count.page)])
    extrasOf(this).disarm = () => {
      for (const page of pages) page.unwatch(this)
      this.#stopTimer?.()
      this.#stopTimer = undefined
    }
    this.#setTimer()
    for (const page of pages) page.watch(this)
  }

  /** @internal */
  look(): void {
    discover(this, READ)
  }

  /** @internal */
  override explain(kind: CancellationKind): string {
    if (kind === 'timeout') return 'ran out of time'
    if (kind === 'dispose' && this.#from !== 'made' && !this.#isClosed) return 'was disposed of where it was made'
    return super.explain(kind)
  }

  /** @internal */
  override form(): Form {
    if (this.#from === 'made') return { call: classText(this, SharedToken, 'SharedToken') }
    if (this.#from === 'handle') {
      const { at = Infinity } = this.#followed ?? {}
      const polls = this.counted?.map(({ count }) => count.left)
      return { call: 'SharedToken.from', own: ['handle'], ms: at < Infinity ? at - now() : undefined, polls }
    }
    return { call: 'SharedToken.at', own: ['buffer', String(this.#place.slot * 4)] }
  }
}

Object.assign(SharedToken, { BYTES: SLOT_BYTES })

// With these functions the stack of an error begins with the caller of the method.
// oxlint-disable-next-line typescript/unbound-method -- only told to the engine, never called
const { cancel: cancelToken, check } = SharedToken.prototype
