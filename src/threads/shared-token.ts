/**
 * The token that other threads see: a border between the graph of this thread and a word in shared memory.
 *
 * What the word says is what all threads agree on. So everything that ends the token here (a call, a source, a deadline) goes
 * through the word first, and what comes back, which may be somebody else's cancellation, is what is recorded here. To the
 * engine it is a rule; one with sources is opaque, as a grace is.
 */
import { optional } from '../core/arguments.js'
import { after, isBefore, now, type SharedWord } from '../core/clock.js'
import type { Form } from '../core/describe.js'
import type { Origin } from '../core/elsewhere.js'
import type { CancellationKind } from '../core/errors.js'
import {
  Cancellation,
  climb,
  DIRECT,
  discover,
  errorOf,
  giveRule,
  hubOf,
  LOOK,
  type Mode,
  settle,
  type Subscriber,
  subscribe,
  type TokenNode,
  visit,
} from '../core/graph.js'
import { onMove } from '../core/remaining.js'
import {
  begin as adoptNested,
  CancellationToken,
  isOptions,
  type Nested,
  SimpleToken,
  type TokenOptions,
  UNCLONABLE,
} from '../core/token.js'
import { deadlineIn, needSharedMemory, seatIn, seatOf, type SharedHandle } from './handle.js'
import { aliveState, isOf, kindOf, MOMENT_WORDS, SLOT_BYTES, STATE } from './layout.js'
import { readMoment, writeMoment } from './moments.js'
import { deadlineAbove, originOf, OtherThread } from './other-thread.js'
import { giveBack, type Page, remember, type Seat, takeSeat } from './pages.js'
import {
  begin,
  cancel,
  dispose,
  dueOf,
  isOver,
  type Place,
  readDeadline,
  readReport,
  setDeadline,
  stateOf,
} from './protocol.js'
import { decodeStory, encodeStory, lengthOf } from './reports.js'

/** Among the options: the place of a token that is not to get a new one. */
const SEAT = Symbol('seat')

interface Seated extends TokenOptions {
  readonly [SEAT]?: Seat & { readonly whose: Origin | undefined }
}

/**
 * After so many polls by plain reads, one is atomic. A plain read alone is a bug: JavaScriptCore lifts it out of the loop,
 * which then never ends. An atomic one alone costs about ten times as much on V8.
 */
const PLAIN_POLLS = 64

/** By their places in the lists of their sources: the tokens whose deadlines other threads know. */
const mirrors = new WeakMap<Subscriber, SharedToken>()

const scratch = new Int32Array(MOMENT_WORDS)

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
  static readonly BYTES: number = SLOT_BYTES

  // What a poll reads, in plain fields of its own: the words, which of them, what it is while the token is alive, and how
  // many polls may still be plain reads (none if there is more to ask than the word).
  /** @internal */ view: Int32Array<SharedArrayBuffer>
  /** @internal */ state: number
  /** @internal */ alive: number
  /** @internal */ left: number
  /** What it carries, on this thread's clock, where it was not made here. @internal */
  deadline: number

  readonly #page: Page
  readonly #place: Place
  /** Which of the deadlines of the slot that is, see protocol.ts. */
  #due = 0
  #stopTimer: (() => void) | undefined
  /** Whose deadline it is. */
  #whose: Origin | undefined
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
  constructor(options?: TokenOptions | Nested, ...nested: Nested[]) {
    needSharedMemory()
    super(UNCLONABLE)
    adoptNested(this, options, nested)
    const given = isOptions(options) ? (options as Seated)[SEAT] : undefined
    const { page, place } = given ?? takeSeat()
    this.view = page.view
    this.state = place.slot + STATE
    this.alive = place.alive
    this.left = 0
    this.deadline = Infinity
    this.#page = page
    this.#place = place
    this.#whose = given?.whose
    this.#from = !given ? 'made' : place.bell > place.slot ? 'memory' : 'handle'
    if (!given && place.alive > 0) begin(page.memory, place)
    this.#adoptSources()
    // The atomic read without which a compiler may lift plain ones out of a loop that opens tokens: PLAIN_POLLS is not enough.
    if (isOver(page.memory, place)) return
    this.#followDeadline()
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
    return new this({ name, [SEAT]: { ...seat, whose: deadlineIn(handle) } } as Seated)
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
    options?: TokenOptions | Nested,
    ...nested: Nested[]
  ): SharedToken {
    needSharedMemory()
    const seat = { ...seatIn(buffer, byteOffset), whose: undefined }
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
    if (!this.#handle) {
      const { slot, alive } = this.#place
      const apart = this.#from === 'memory'
      if (!apart) remember(this.#page)
      this.#share()
      const { buffer } = this.view
      const { name } = this
      const generation = alive / aliveState(1)
      const place = { buffer, byteOffset: slot * 4, generation, apart }
      this.#handle = Object.freeze({ calloff: 'SharedToken', ...place, name, deadline: this.#whose })
    }
    return this.#handle
  }

  override get cancelled(): boolean {
    if (--this.left > 0 && this.view[this.state] === this.alive) return false
    return !!discover(this, DIRECT)
  }

  override keepOn(): boolean {
    return (--this.left > 0 && this.view[this.state] === this.alive) || !discover(this, DIRECT)
  }

  override check(): void {
    if (--this.left > 0 && this.view[this.state] === this.alive) return
    const found = discover(this, DIRECT)
    if (found) throw errorOf(found)
  }

  /** Cancels it, on every side; of several sides at once one wins, and its reason is everybody's. */
  override cancel(reason?: unknown): this {
    if (!discover(this, LOOK)) {
      settle(this, this.#end(new Cancellation(this, 'manual', reason, now())))
      this.#page.look() // other tokens of this thread over the same place
    }
    return this
  }

  /**
   * `using`. On the side that has made it: cancels it with kind `'dispose'`, on every side, and its place may be used again. On
   * a side that has opened it, it ends on that side alone.
   */
  override [Symbol.dispose](): void {
    if (!discover(this, LOOK)) {
      const mine = new Cancellation(this, 'dispose', undefined, now())
      if (this.#from === 'made') {
        const { won, next } = dispose(this.#page.memory, this.#place)
        if (next !== undefined) giveBack(this.#page, { ...this.#place, alive: next })
        this.#letGo()
        settle(this, won ? mine : this.#read())
        this.#page.look()
      } else {
        this.#isClosed = true
        this.#letGo()
        settle(this, mine)
      }
    }
    this.sources = this.rules = undefined
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
    const { at, kind, reason } = mine
    const origin = originOf(mine, this)
    const won = cancel(this.#page.memory, this.#place, kind, (room) => encodeStory({ at, reason, origin }, room))
    if (!won) return this.#read()
    this.#letGo()
    return mine
  }

  /** The cancellation that the word stands for. */
  #read(): Cancellation {
    this.#letGo()
    const { memory } = this.#page
    const state = stateOf(memory, this.#place)
    // A place is used again only after a dispose.
    const kind = this.#from === 'memory' || isOf(state, this.alive) ? kindOf(state) : 'dispose'
    if (kind === 'timeout' && this.sources) {
      // The deadline is one of ours, that somebody else was first to notice: it has one error.
      const found = discover(this.sources as TokenNode, LOOK)
      if (found?.kind === kind) return found
    }
    const story = decodeStory(readReport(memory, this.#place, state, lengthOf))
    const here = now()
    const origin = story?.origin ? new OtherThread(story.origin) : this
    const found = new Cancellation(origin, kind, story?.reason, story && story.at <= here ? story.at : here)
    if (origin !== this) settle(origin, found)
    return found
  }

  /** The deadline it carries has passed. */
  #timeOut(): Cancellation {
    const origin = this.#whose ? new OtherThread(this.#whose) : this
    const over = this.#end(new Cancellation(origin, 'timeout', undefined, this.deadline))
    if (over.origin === origin && origin !== this) settle(origin, over)
    return over
  }

  /** It is over: from now on there is nothing to poll, and nothing to hear of. */
  #letGo(): void {
    this.left = 0
    this.#mirror?.stop()
    this.#mirror = undefined
  }

  #plainPolls(): number {
    return this.sources || this.deadline < Infinity ? 0 : PLAIN_POLLS
  }

  // ---- What other threads know of it

  /** From now on they hear of the end of its sources, and know of their deadlines. */
  #share(): void {
    if (!this.sources || this.#mirror || discover(this, LOOK)) return
    this.#carryDeadline()
    this.#mirror = subscribe(this.sources as TokenNode, () => void discover(this, LOOK))
    mirrors.set(this.#mirror, this)
  }

  /** Writes the earliest deadline above it. Only the side that has made it may: see P7 in protocol.ts. */
  #carryDeadline(): void {
    const earliest = this.#from === 'made' ? deadlineAbove(this.sources as TokenNode) : undefined
    if (!earliest) return
    this.#whose ??= earliest.whose
    writeMoment(earliest.at, scratch)
    setDeadline(this.#page.memory, this.#place, scratch)
  }

  static {
    // A deadline that is moved (`restart()`) moves on every side.
    onMove((node) => {
      const below = new Set<TokenNode>([node])
      for (const { hub } of below) {
        visit(hub?.listeners, (one) => {
          const shared = mirrors.get(one)
          if (!shared) return
          shared.#carryDeadline()
          below.add(shared)
        })
        visit(hub?.below, ({ child }) => below.add(child))
      }
    })
  }

  /** Reads the deadline again if it was moved since. */
  #followDeadline(): void {
    if (this.#from !== 'handle' || dueOf(this.#page.memory, this.#place) === this.#due) return
    this.#due = readDeadline(this.#page.memory, this.#place, scratch)
    this.deadline = this.#due ? readMoment(scratch) : Infinity
    if (this.#stopTimer) this.#setTimer()
  }

  #setTimer(): void {
    this.#stopTimer?.()
    const ring = () => {
      const { deadline } = this
      this.#followDeadline()
      if (deadline === this.deadline && !discover(this, LOOK)) settle(this, this.#timeOut())
    }
    this.#stopTimer = after(this.deadline - now(), ring, false)
  }

  // ---- What the engine asks

  /** @internal */
  override get opaque(): boolean {
    return this.sources !== undefined
  }

  /** What a blocked thread sleeps on. @internal */
  get word(): SharedWord {
    return { view: this.view, index: this.state, value: this.alive }
  }

  /** @internal */
  override ask(mode: Mode, walk: number): Cancellation | undefined {
    return this.sources ? climb(this, mode, walk) : this.known(mode)
  }

  /** @internal */
  known(mode: Mode): Cancellation | undefined {
    if (mode !== LOOK && --this.left > 0 && this.view[this.state] === this.alive) return undefined
    if (isOver(this.#page.memory, this.#place)) return this.#read()
    this.#followDeadline()
    if (this.deadline < Infinity && !isBefore(this.deadline)) return this.#timeOut()
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
  leftOf(sources: readonly number[]): number {
    return sources[0] as number
  }

  /** @internal */
  override arm(): void {
    hubOf(this).driver = () => {
      this.#page.unwatch(this)
      this.#stopTimer?.()
      this.#stopTimer = undefined
    }
    this.#setTimer()
    this.#page.watch(this)
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
    const left = Math.max(0, Math.ceil(this.deadline - now()))
    const state = left < Infinity ? { left: `${left} ms left` } : undefined
    if (this.#from === 'made') return { call: 'SharedToken' }
    if (this.#from === 'handle') return { call: 'SharedToken.from', own: ['handle'], ...state }
    return { call: 'SharedToken.at', own: ['buffer', String(this.#place.slot * 4)] }
  }
}
