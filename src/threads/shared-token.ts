/// <reference lib="es2017.sharedmemory" preserve="true" />
/**
 * The token that other threads see: a border between the graph of this thread and a word in shared memory.
 *
 * What the word says is what all threads agree on. So everything that ends the token here (a call, a source, a deadline) goes
 * through the word first, and what comes back, which may be somebody else's cancellation, is what is recorded here. To the
 * engine it is a rule; one with sources is opaque, as a grace is.
 */
import { optional } from '../core/arguments.js'
import { after, now, type SharedWord } from '../core/clock.js'
import { classText, type Form } from '../core/describe.js'
import type { CancellationKind } from '../core/errors.js'
import {
  above,
  byHand,
  Cancellation,
  climb,
  DIRECT,
  discover,
  errorOf,
  giveRule,
  hubOf,
  LOOK,
  type Mode,
  moved,
  newWalk,
  settle,
  type Subscriber,
  subscribe,
  type TokenNode,
  whatHappened,
  own,
} from '../core/graph.js'
import { stray } from '../core/stray.js'
import { hearOfMoves } from '../core/moves.js'
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
import { FollowedDeadline, ToldDeadline } from './deadlines.js'
import { needSharedMemory, seatIn, seatOf, type SharedHandle } from './handle.js'
import { aliveState, isOf, kindOf, SLOT_BYTES, STATE } from './layout.js'
import { OtherThread, storyOf, toldBy } from './other-thread.js'
import type { SharedWords } from './memory.js'
import { giveBack, type Page, remember, type Seat, takeSeat } from './pages.js'
import { begin, cancel, dispose, isOver, type Place, publish, readReport, stateOf } from './protocol.js'
import { decodeStory, encodeStory, lengthOf } from './reports.js'

/** Among the options: the place of a token that is not to get a new one, and the counters that came with it. */
const SEAT = Symbol('seat')
const COUNTED = Symbol('counted')
/** Among the options: it stands for its one source, and a direct poll of it is one of the source. */
export const STANDS: unique symbol = Symbol('stands')

export interface Standing extends TokenOptions {
  readonly [STANDS]?: boolean
}

interface Seated extends Standing {
  readonly [SEAT]?: Seat
  readonly [COUNTED]?: readonly Counted[]
}

/** Whether a token makes a difference between direct and other polls. */
function isCounter(token: unknown): boolean {
  if (token instanceof CounterToken) return true
  return token instanceof SharedToken && (token.stands || !!token.counted?.some(({ handle }) => handle.by === 'direct'))
}

/**
 * After so many polls by plain reads, one is atomic. A plain read alone is a bug: JavaScriptCore lifts it out of the loop,
 * which then never ends. An atomic one alone costs about ten times as much on V8.
 */
const PLAIN_POLLS = 64

/**
 * A token in shared memory: every thread that has its handle can poll it, listen to it and cancel it. The first cancel wins,
 * on whatever side, and every side reads the same kind, reason, name and message.
 *
 * Timing: a loop that never yields sees the cancel of another thread at its next poll as a rule, at the latest at its 64th.
 * Listeners run when that poll returns, or when the event loop turns.
 *
 * Memory: a token that is dropped is garbage, and its memory too once every thread has dropped it. One that is listened to is
 * kept until it is cancelled or the listener is stopped, since another thread may still cancel it. One that has sources is
 * kept by them from when its `handle` is read: dispose of it (`using`) when the work is done.
 *
 * Errors: `TypeError` where there is no shared memory (a page that is served without the isolation headers).
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
  /** Bytes of shared memory that a token takes, for {@link SharedToken.at}. */
  declare static readonly BYTES: number

  // What a poll reads, in plain fields of its own: the words, which of them, what it is while the token is alive, and how
  // many polls may still be plain reads (none if there is more to ask than the word).
  /** @internal */ view: SharedWords
  /** @internal */ state: number
  /** @internal */ alive: number
  /** @internal */ left: number

  /** The counters that came with its handle. @internal */
  readonly counted: readonly Counted[] | undefined
  /** See {@link STANDS}; only where that makes a difference. @internal */
  readonly stands: boolean

  readonly #page: Page
  readonly #place: Place
  /** The deadline above it, where it was made; the one it carries, where it was opened. */
  #told: ToldDeadline | undefined
  #followed: FollowedDeadline | undefined
  #stopTimer: (() => void) | undefined
  /** How this side came by it; whoever has made it may end it for everybody by disposing of it. */
  readonly #from: 'made' | 'handle' | 'memory'
  #isClosed = false
  #handle: SharedHandle | undefined
  /** Hears of the end of its sources, once others may know of it. */
  #mirror: Subscriber | undefined

  /**
   * @param options or the first of the nested tokens
   * @param nested tokens, or AbortSignals, that cancel this one, on every side, when they are cancelled
   */
  constructor(options?: TokenOptions | TokenOrSignal, ...nested: TokenOrSignal[]) {
    needSharedMemory()
    super(UNCLONABLE)
    adoptNested(this, options, nested)
    const { [SEAT]: given, [COUNTED]: counted, [STANDS]: stands } = (isOptions(options) ? options : {}) as Seated
    const { page, place } = given ?? takeSeat()
    this.counted = counted?.length ? counted : undefined
    this.stands = stands === true && isCounter(nested[0])
    this.view = page.view
    this.state = place.slot + STATE
    this.alive = place.alive
    this.left = 0
    this.#page = page
    this.#place = place
    this.#from = !given ? 'made' : place.bell > place.slot ? 'memory' : 'handle'
    if (this.#from === 'handle') this.#followed = new FollowedDeadline(page.memory, place)
    if (!given && place.alive > 0) begin(page.memory, place)
    this.#adoptSources()
    // The atomic read without which a compiler may lift plain ones out of a loop that opens tokens: PLAIN_POLLS is not enough.
    if (isOver(page.memory, place)) return
    this.#follow()
    this.left = this.#plainPolls()
  }

  /**
   * The token that a handle stands for, on this side: the same one, with the full interface.
   *
   * Errors: `TypeError` for anything that is no handle, and for one of another version of the package.
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
    const seat = seatOf(handle)
    const name = optional('handle.name', 'string', handle.name)
    return new this({ name, [SEAT]: seat, [COUNTED]: countedIn(handle.counters) } as Seated)
  }

  /**
   * A token in the caller's own memory, such as that of a WebAssembly module: it takes `SharedToken.BYTES` bytes from
   * `byteOffset` on, which must be zero when they are first used. Whoever names the same place means the same token. Does
   * not carry deadlines.
   *
   * The first word is the one to poll: anything but 0 is cancelled. A 1 that is stored there is a cancel by hand.
   *
   * Errors: `TypeError` for memory that is not shared; `RangeError` for an offset that is no multiple of 4, or where the
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
    const seat = seatIn(buffer, byteOffset)
    const isFirst = options !== undefined && !isOptions(options)
    const own: Seated = { ...(isFirst ? undefined : options), [SEAT]: seat }
    const token = new this(own, ...(isFirst ? [options, ...nested] : nested))
    token.#share()
    return token
  }

  /**
   * The token as a plain value: post it in a message, give it as `workerData`, post it on from there. Always the same one.
   *
   * From now on it is kept by its sources, if it has any: they end it on every side, whoever still holds it here.
   */
  get handle(): SharedHandle {
    const token = own(this)
    if (!token.#handle) {
      const { slot, alive } = token.#place
      const apart = token.#from === 'memory'
      if (!apart) remember(token.#page)
      token.#share()
      const { buffer } = token.view
      const { name } = token
      const generation = alive / aliveState(1)
      const place = { buffer, byteOffset: slot * 4, generation, apart }
      const counters = token.#counters()
      const more = counters.length > 0 ? { counters } : {}
      token.#handle = Object.freeze({ calloff: 'SharedToken', ...place, name, ...more })
    }
    return token.#handle
  }

  // Compared before it is written, so that nothing is written on what is no token.
  override get cancelled(): boolean {
    if (this.left > 1 && this.view[this.state] === this.alive) {
      this.left--
      return false
    }
    return !!discover(this, DIRECT)
  }

  override keepOn(): boolean {
    try {
      if (this.left > 1 && this.view[this.state] === this.alive) {
        this.left--
        return true
      }
    } catch {
      throw stray('token', 'keepOn') // called on nothing
    }
    return !discover(this, DIRECT)
  }

  override check(): void {
    try {
      if (this.left > 1 && this.view[this.state] === this.alive) {
        this.left--
        return
      }
    } catch {
      throw stray('token', 'check') // called on nothing
    }
    const found = discover(this, DIRECT)
    if (found) throw errorOf(found, check)
  }

  /** Cancels it, on every side; of several sides at once one wins, and its reason is everybody's. */
  override cancel(reason?: unknown): this {
    const token = own(this)
    if (!discover(token, LOOK)) {
      settle(token, token.#end(byHand(token, reason, cancelToken)))
      token.#page.look() // other tokens of this thread over the same place
    }
    return this
  }

  /**
   * `using`. On the side that has made it: cancels it with kind `'dispose'`, on every side, and its place may be used again. On
   * a side that has opened it, it ends on that side alone.
   */
  override [Symbol.dispose](): void {
    const token = own(this)
    if (!discover(token, LOOK)) {
      const mine = new Cancellation(token, 'dispose', undefined, now())
      if (token.#from === 'made') {
        const { won, next } = dispose(token.#page.memory, token.#place, token.#told?.words ?? 0)
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

  // ---- What ends it

  /** Several sources become one, and what has ended it at birth goes through the word like everything else. */
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

  /** Puts a cancellation of this side to the word. Gives what has ended the token: that, or who was first. */
  #end(mine: Cancellation): Cancellation {
    const { memory } = this.#page
    const ending = this.#told?.endingFor(mine)
    const report = (room: number) => encodeStory(storyOf(mine, this, mine.at), room)
    const won =
      ending === undefined ? cancel(memory, this.#place, mine.kind, report) : publish(memory, this.#place, ending)
    if (!won) return this.#read()
    this.#letGo()
    return mine
  }

  /** The cancellation that the word stands for. */
  #read(): Cancellation {
    this.#letGo()
    const { memory } = this.#page
    const state = stateOf(memory, this.#place)
    this.#followed?.follow()
    const foreseen = this.#told?.endedBy(state, this.sources as TokenNode) ?? this.#followed?.endedBy(state, this)
    const found = foreseen ?? this.#orOwn(this.#readReport(state))
    if (found.origin instanceof OtherThread) settle(found.origin, found)
    return found
  }

  #readReport(state: number): Cancellation {
    // A place is used again only after a dispose.
    const kind = this.#from === 'memory' || isOf(state, this.alive) ? kindOf(state) : 'dispose'
    const report = decodeStory(readReport(this.#page.memory, this.#place, state, lengthOf))
    const here = now()
    return toldBy(report, kind, this, Math.min(report?.at ?? here, here))
  }

  /** What this side says of it itself, if a counter is empty: there is to be one error. */
  #orOwn(told: Cancellation): Cancellation {
    if (told.kind !== 'counter') return told
    const isIt = (own: Cancellation | undefined) =>
      own?.kind === 'counter' && whatHappened(own) === whatHappened(told) ? own : undefined
    const source = this.sources as TokenNode | undefined
    if (!source) return isIt(this.#askCounters(LOOK, newWalk())) ?? told
    // Not the first one that is empty by now, but the one that was when the other side polled.
    for (const node of above(source, false)) {
      const own = node instanceof CounterToken ? isIt(discover(node, LOOK)) : undefined
      if (!own) continue
      settle(source, own)
      return own
    }
    return isIt(discover(source, LOOK)) ?? told
  }

  /** Polls the counters that came with it. */
  #askCounters(mode: Mode, walk: number): Cancellation | undefined {
    let empty: Cancellation | undefined
    for (const one of this.counted ?? []) if ((empty = one.ask(mode, walk))) break
    return empty
  }

  /** The deadline it carries has passed. */
  #timeOut({ ending }: FollowedDeadline): Cancellation {
    publish(this.#page.memory, this.#place, ending)
    return this.#read()
  }

  /** It is over: from now on there is nothing to poll, and nothing to hear of. */
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

  /** From now on they hear of the end of its sources, and know of their deadlines. */
  #share(): void {
    if (!this.sources || this.#mirror || discover(this, LOOK)) return
    if (this.#from === 'made') this.#told = new ToldDeadline(this.#page.memory, this.#place)
    this.#mirror = subscribe(this.sources as TokenNode, () => void discover(this, LOOK))
    hearOfMoves(this.#mirror, this)
    this.tellDeadline()
  }

  /** The counters above it. From now on they are counted where its handle says. */
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
  tellDeadline(): void {
    const source = this.sources as TokenNode
    const isTold = !this.outcome && !source.outcome && this.#told?.tell(source, this)
    if (isTold) this.#page.look() // other tokens of this thread over the same place
  }

  /** Reads the deadline again if it was moved since. True if it was. */
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
      if (!discover(this, LOOK) && this.#followed?.at === at) settle(this, this.#timeOut(this.#followed))
    }
    this.#stopTimer = after(at - now(), ring, false)
  }

  // ---- What the engine asks

  /** @internal */
  override get opaque(): boolean {
    return this.sources !== undefined
  }

  /** A poll of one by a wait uses it up. @internal */
  override get polled(): boolean {
    return this.counted?.some(({ handle }) => handle.by === 'all') ?? false
  }

  /** What a blocked thread sleeps on. @internal */
  get word(): SharedWord | readonly SharedWord[] {
    const { view } = this
    if (this.#from === 'memory') return { view, index: this.state, value: this.alive }
    const { bell } = this.#place
    const own = { view, index: bell, value: Atomics.load(view, bell) }
    const others = this.counted?.filter(({ count }) => count.page !== this.#page)
    return others?.length ? [own, ...others.map(({ count }) => count.word)] : own
  }

  /** @internal */
  override ask(mode: Mode, walk: number): Cancellation | undefined {
    return this.sources ? climb(this, mode, walk) : this.known(mode, walk)
  }

  /** @internal */
  known(mode: Mode, walk: number): Cancellation | undefined {
    if (mode !== LOOK && --this.left > 0 && this.view[this.state] === this.alive) return undefined
    if (isOver(this.#page.memory, this.#place)) return this.#read()
    this.#follow()
    const followed = this.#followed
    // Once more before it counts: it may have been moved while this thread had no processor.
    if (followed?.hasPassed() && (!this.#follow() || followed.hasPassed())) return this.#timeOut(followed)
    if (this.counted) {
      const empty = this.#askCounters(mode, walk)
      if (empty) return this.#end(empty)
    }
    // The source is asked next, indirectly: then it has paid for this poll, or is over.
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
  foretell([source]: readonly (Cancellation | undefined)[]): Cancellation | undefined {
    return source
  }

  /** @internal */
  ahead(told: boolean): Cancellation | undefined {
    if (told) this.#followed?.insist()
    this.#follow()
    return this.#followed?.ahead(this)
  }

  /** @internal */
  override arm(): void {
    const pages = new Set([this.#page, ...(this.counted ?? []).map(({ count }) => count.page)])
    hubOf(this).driver = () => {
      for (const page of pages) page.unwatch(this)
      this.#stopTimer?.()
      this.#stopTimer = undefined
    }
    this.#setTimer()
    for (const page of pages) page.watch(this)
  }

  /** @internal */
  look(): void {
    discover(this, LOOK)
  }

  /** @internal */
  override explain(kind: CancellationKind): string {
    if (kind === 'timeout') return 'ran out of time'
    if (kind === 'dispose' && this.#from !== 'made' && !this.#isClosed) return 'was disposed of where it was made'
    return super.explain(kind)
  }

  /** @internal */
  override form(): Form {
    const left = Math.max(0, Math.ceil((this.#followed?.at ?? Infinity) - now()))
    const counters = this.counted?.map(({ count }) => `${count.left} left`) ?? []
    const all = left < Infinity ? [`${left} ms left`, ...counters] : counters
    const state = all.length > 0 ? { left: all.join(', ') } : undefined
    if (this.#from === 'made') return { call: classText(this, SharedToken, 'SharedToken') }
    if (this.#from === 'handle') return { call: 'SharedToken.from', own: ['handle'], ...state }
    return { call: 'SharedToken.at', own: ['buffer', String(this.#place.slot * 4)] }
  }
}

Object.assign(SharedToken, { BYTES: SLOT_BYTES })

// With these an error's stack begins with the caller of the method.
// oxlint-disable-next-line typescript/unbound-method -- only told to the engine, never called
const { cancel: cancelToken, check } = SharedToken.prototype
