import { type NamesOf, nonNegative, optional } from '../arguments.js'
import { now, type SharedWord } from '../clock.js'
import { classText, type Form } from '../describe.js'
import { type CancellationError, type CancellationKind, CounterCancellationError } from '../errors.js'
import { Cancellation, DIRECT, discover, giveRule, extrasOf, isIdle, READ, type Mode, own } from '../graph.js'
import {
  begin,
  CancellationToken,
  isOptions,
  type TokenOrSignal,
  TOKEN_OPTIONS,
  type TokenOptions,
  UNCLONABLE,
} from '../token.js'

/** The options of a counter. */
export interface CounterTokenOptions extends TokenOptions {
  /** Whether only direct polls use it up (true, the default), or polls through other tokens as well (false). */
  readonly direct?: boolean | undefined
}

const COUNTER_OPTIONS: NamesOf<CounterTokenOptions> = ['direct', ...TOKEN_OPTIONS]

/** The common count of a counter that several threads share: see threads/counts.ts. */
export interface CommonCount {
  /** How many polls are left. */
  readonly left: number
  /** The word that a blocked thread sleeps on. */
  readonly word: SharedWord
  /**
   * Whether the poll with this number may go on. If it `counts`, it uses up one poll, and only one, however many ways
   * of the walk lead here.
   */
  pass(counts: boolean, walk: number): boolean
  /** Calls `look` whenever another thread may have used up the last poll. Returns a function that stops this. */
  watch(look: () => void): () => void
}

/**
 * A token that is cancelled after a number of polls, with kind `'counter'`. The loop `while (token.keepOn())` runs
 * exactly `n` times.
 *
 * Reads and listeners never use it up. A wait polls a counter with `direct: false`. With `share()` of
 * `calloff/threads`, all threads that have it use up the same polls.
 */
export class CounterToken extends CancellationToken {
  declare static readonly error: typeof CancellationError

  readonly #initial: number
  readonly #direct: boolean
  #counter: number
  /** The last walk that used up a poll. */
  #walk = -1
  /**
   * Counts instead of `#counter`, once other threads count too. `#counter` is 0 from then on, so that only an empty
   * counter reads this field.
   */
  #common: CommonCount | undefined

  /**
   * @param n the number of polls: an integer of at least 0
   * @param options the options, or the first of the parents
   * @param nested parents: tokens, or AbortSignals. This token is cancelled with each of them.
   *
   * @example
   * ```ts
   * import { CounterToken, SimpleToken } from 'calloff'
   *
   * const tries = new CounterToken(3, { direct: false })
   * const token = new SimpleToken(tries)
   * let n = 0
   * while (token.keepOn()) n++
   * console.log(n, tries.counter, String(tries)) // → 3 0 CounterToken(3, { direct: false })
   * ```
   */
  constructor(n: number, options?: CounterTokenOptions | TokenOrSignal, ...nested: TokenOrSignal[]) {
    super(UNCLONABLE)
    begin(this, options, nested, COUNTER_OPTIONS)
    if (!Number.isInteger(nonNegative('n', n))) throw new RangeError(`n must be an integer, got ${n}`)
    this.#initial = this.#counter = n
    this.#direct = optional('direct', 'boolean', isOptions(options) ? options.direct : undefined) ?? true
    giveRule(this)
  }

  /** How many polls are left. */
  get counter(): number {
    const token = own(this)
    return token.#common?.left ?? token.#counter
  }

  /** Whether only direct polls use it up. @internal */
  get direct(): boolean {
    return this.#direct
  }

  /** From now on it counts in common with other threads. The number of polls that are left stays the same. @internal */
  countWith<C extends CommonCount>(make: (left: number) => C): C {
    if (!this.#common) {
      this.#common = make(this.#counter)
      this.#counter = 0
      if (this.extras && !isIdle(this.extras)) this.arm()
    }
    return this.#common as C
  }

  /** The word that a blocked thread sleeps on. @internal */
  get word(): SharedWord | undefined {
    return this.#common?.word
  }

  /** @internal */
  override get polled(): boolean {
    return !this.#direct
  }

  /** Only polls cancel it. @internal */
  override get endsItself(): boolean {
    return false
  }

  /** @internal */
  override pollOwn(mode: Mode, walk: number): Cancellation | undefined {
    if (this.#walk === walk) return undefined // this walk has used up its poll already
    if (this.outcome) return this.outcome
    if (this.#counter === 0) {
      if (this.#common?.pass(this.#counts(mode), walk)) return undefined
      return new Cancellation(this, 'counter', undefined, now())
    }
    if (this.#counts(mode)) {
      this.#walk = walk
      this.#counter--
    }
    return undefined
  }

  #counts(mode: Mode): boolean {
    return mode === DIRECT || (mode !== READ && !this.#direct)
  }

  /** @internal */
  override arm(): void {
    const stop = this.#common?.watch(() => void discover(this, READ))
    if (stop) extrasOf(this).disarm = stop
  }

  /** @internal */
  override explain(kind: CancellationKind): string {
    return kind === 'counter' ? `has used up its ${this.#initial} polls` : super.explain(kind)
  }

  /** @internal */
  override form(): Form {
    return {
      call: classText(this, CounterToken, 'CounterToken'),
      own: [String(this.#initial)],
      options: { direct: this.#direct ? undefined : false },
      polls: [this.counter],
    }
  }
}

Object.assign(CounterToken, { error: CounterCancellationError })
