import { type NamesOf, nonNegative, optional, wrongType } from '../arguments.js'
import { after, now } from '../clock.js'
import { classText, type Form, functionText } from '../describe.js'
import { type CancellationError, type CancellationKind, ConditionCancellationError } from '../errors.js'
import { Cancellation, giveRule, extrasOf, isHeard, READ, type Mode, pollRule, surface } from '../graph.js'
import {
  begin,
  CancellationToken,
  isOptions,
  type TokenOrSignal,
  TOKEN_OPTIONS,
  type TokenOptions,
  UNCLONABLE,
} from '../token.js'

/** These stand instead of the number of a walk. */
const NONE = -1
const ASKING = -2

/** The options of a condition. */
export interface ConditionTokenOptions extends TokenOptions {
  /** Whether an error of the condition counts as `default` (true, the default), or the poll throws it (false). */
  readonly suppressExceptions?: boolean | undefined
  /** The answer when the condition throws, or returns something that is no boolean. Default: false. */
  readonly default?: boolean | undefined
  /** Called before the condition, each time. */
  readonly before?: (() => void) | undefined
  /** Called after the condition, each time. */
  readonly after?: (() => void) | undefined
  /**
   * Whether a true answer is kept for ever. With false, each poll of this token calls the condition again. But a token
   * that derives from it, a listener and a signal keep the first true answer. Default: true.
   */
  readonly caching?: boolean | undefined
  /** Milliseconds between two polls while the token has a listener. Default: 10. */
  readonly pollEvery?: number | undefined
}

const CONDITION_OPTIONS: NamesOf<ConditionTokenOptions> = [
  'suppressExceptions',
  'default',
  'before',
  'after',
  'caching',
  'pollEvery',
  ...TOKEN_OPTIONS,
]

interface Settings {
  readonly suppressExceptions: boolean
  readonly default: boolean
  readonly before: (() => void) | undefined
  readonly after: (() => void) | undefined
  readonly caching: boolean
  readonly pollEvery: number
}

function settingsOf(given: ConditionTokenOptions): Settings {
  return {
    suppressExceptions: optional('suppressExceptions', 'boolean', given.suppressExceptions) ?? true,
    default: optional('default', 'boolean', given.default) ?? false,
    before: optional('before', 'function', given.before),
    after: optional('after', 'function', given.after),
    caching: optional('caching', 'boolean', given.caching) ?? true,
    pollEvery: given.pollEvery === undefined ? 10 : nonNegative('pollEvery', given.pollEvery),
  }
}

const DEFAULTS: Settings = /* @__PURE__ */ settingsOf({})

/**
 * A token that is cancelled once a function returns `true`, with kind `'condition'`. Each poll, direct or through
 * another token, calls the function at most once. While the token has a listener, it is also polled every `pollEvery`
 * ms. A read never calls the function.
 *
 * Errors: an async function is a `TypeError`, because it would never cancel the token. The constructor throws it where
 * it can recognise the function. Else each poll that gets a promise throws it, even with `suppressExceptions`.
 */
export class ConditionToken extends CancellationToken {
  declare static readonly error: typeof CancellationError

  readonly #condition: () => boolean
  readonly #settings: Settings
  /** The walk in which the condition was last called, or ASKING while it runs. */
  #walk: number = NONE
  #answer: Cancellation | undefined = undefined

  /**
   * @param condition the function that decides; only a boolean is an answer
   * @param options the options, or the first of the parents
   * @param nested parents: tokens, or AbortSignals. This token is cancelled with each of them.
   *
   * @example
   * ```ts
   * import { ConditionToken } from 'calloff'
   *
   * const basket: string[] = []
   * const full = new ConditionToken(() => basket.length >= 3)
   * while (full.keepOn()) basket.push('apple')
   * console.log(basket.length, full.error?.kind) // → 3 condition
   * ```
   */
  constructor(condition: () => boolean, options?: ConditionTokenOptions | TokenOrSignal, ...nested: TokenOrSignal[]) {
    super(UNCLONABLE)
    begin(this, options, nested, CONDITION_OPTIONS)
    if (typeof condition !== 'function') throw wrongType('fn', 'a function', condition)
    if (Object.prototype.toString.call(condition) === '[object AsyncFunction]') throw asyncCondition()
    this.#condition = condition
    this.#settings = isOptions(options) ? settingsOf(options) : DEFAULTS
    giveRule(this)
  }

  /** @internal */
  override get polled(): boolean {
    return true
  }

  /** Without caching, and as long as no listener was told, an answer is good for one poll only. @internal */
  override get uncached(): boolean {
    return !this.#settings.caching && !isHeard(this)
  }

  /** @internal */
  override pollOwn(mode: Mode, walk: number): Cancellation | undefined {
    if (mode === READ || this.#walk === ASKING) return undefined // a running condition has no answer yet
    if (this.outcome) return this.outcome
    if (this.#walk === walk) return this.#answer
    this.#walk = ASKING
    const isOver = this.#settings === DEFAULTS ? this.#simply(walk) : this.#carefully(walk)
    this.#walk = walk
    this.#answer = isOver ? new Cancellation(this, 'condition', undefined, now()) : undefined
    return this.#answer
  }

  /** The short way for a condition without options, which is the usual one in loops. It saves 3 ns. */
  #simply(walk: number): boolean {
    let said: unknown
    try {
      said = this.#condition()
      if (typeof said === 'boolean') return said
    } catch {
      return false // counts as the default
    }
    if (isPromised(said)) throw this.#unanswered(walk, asyncCondition())
    return false
  }

  #carefully(walk: number): boolean {
    const { before, after: behind, suppressExceptions, default: otherwise } = this.#settings
    const run = suppressExceptions ? quietly : plainly
    let mistake: TypeError | undefined
    try {
      run(before)
      const said: unknown = this.#condition()
      if (typeof said === 'boolean') {
        run(behind)
        return said
      }
      if (isPromised(said)) mistake = asyncCondition()
      else if (!suppressExceptions) throw wrongType('the answer of a condition', 'a boolean', said)
    } catch (error) {
      if (!suppressExceptions) throw this.#unanswered(walk, error)
    }
    if (mistake) throw this.#unanswered(walk, mistake)
    quietly(behind)
    return otherwise
  }

  /** Returns the error. The walk of this poll has no answer, and the next walk calls the condition again. */
  #unanswered<E>(walk: number, error: E): E {
    this.#walk = walk
    this.#answer = undefined
    return error
  }

  /** @internal */
  override arm(): void {
    const poll = () => {
      this.arm()
      try {
        if (isHeard(this)) pollRule(this)
      } catch (error) {
        surface(error)
      }
    }
    extrasOf(this).disarm = after(this.#settings.pollEvery, poll, false)
  }

  /** @internal */
  override explain(kind: CancellationKind): string {
    return kind === 'condition' ? 'was cancelled by its condition' : super.explain(kind)
  }

  /** @internal */
  override form(): Form {
    const { suppressExceptions, default: otherwise, before, after: behind, caching, pollEvery } = this.#settings
    const options = {
      suppressExceptions: suppressExceptions ? undefined : false,
      default: otherwise || undefined,
      before,
      after: behind,
      caching: caching ? undefined : false,
      pollEvery: pollEvery === DEFAULTS.pollEvery ? undefined : pollEvery,
    }
    return { call: classText(this, ConditionToken, 'ConditionToken'), own: [functionText(this.#condition)], options }
  }
}

Object.assign(ConditionToken, { error: ConditionCancellationError })

const asyncCondition = () =>
  new TypeError(
    'fn must not be async: a poll does not wait for a promise, so let it read a variable that async code sets',
  )

/** Whether a condition is async by mistake. The later outcome of its promise is dropped. */
function isPromised(answer: unknown): boolean {
  try {
    if (typeof (answer as Partial<PromiseLike<unknown>> | null | undefined)?.then !== 'function') return false
  } catch {
    return false
  }
  Promise.resolve(answer).catch(() => {})
  return true
}

function plainly(callback: (() => void) | undefined): void {
  callback?.()
}

function quietly(callback: (() => void) | undefined): void {
  try {
    callback?.()
  } catch {
    // suppressed, as the option says
  }
}
