import { nonNegative, optional, wrongType } from '../arguments.js'
import { after, now } from '../clock.js'
import { type Form, functionText } from '../describe.js'
import { type CancellationError, type CancellationKind, ConditionCancellationError } from '../errors.js'
import { Cancellation, giveRule, hubOf, isHeard, LOOK, type Mode, pollRule, surface } from '../graph.js'
import { begin, CancellationToken, isOptions, type Nested, type TokenOptions, UNCLONABLE } from '../token.js'

/** What a condition takes. */
export interface ConditionTokenOptions extends TokenOptions {
  /** Whether an error of the condition counts as `default` (true, the default) or reaches whoever polls (false). */
  readonly suppressExceptions?: boolean | undefined
  /** The answer when the condition throws, or gives something that is no boolean. Default: false. */
  readonly default?: boolean | undefined
  /** Called before the condition, each time. */
  readonly before?: (() => void) | undefined
  /** Called after the condition, each time. */
  readonly after?: (() => void) | undefined
  /** Once true, true for ever (the default). With false its own polls ask again; a token derived from it, a listener and a signal keep what they were told. */
  readonly caching?: boolean | undefined
  /** Milliseconds between two polls while somebody listens. Default: 10. */
  readonly pollEvery?: number | undefined
}

/**
 * Cancelled once a function says `true`, kind `'condition'`. It is called at each poll, direct or through another token, at
 * most once a poll; and every `pollEvery` ms while somebody listens. A look never calls it.
 */
export class ConditionToken extends CancellationToken {
  static override readonly error: typeof CancellationError = ConditionCancellationError

  readonly #condition: () => boolean
  readonly #before: (() => void) | undefined
  readonly #after: (() => void) | undefined
  readonly #suppress: boolean
  readonly #default: boolean
  readonly #caching: boolean
  readonly #pollEvery: number
  #walk = 0
  #answer: Cancellation | undefined = undefined
  #asking = false

  /**
   * @param condition the question; only a boolean is an answer
   * @param options or the first of the nested tokens
   * @param nested tokens, or AbortSignals, that cancel this one when they are cancelled
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
  constructor(condition: () => boolean, options?: ConditionTokenOptions | Nested, ...nested: Nested[]) {
    super(UNCLONABLE)
    begin(this, options, nested)
    if (typeof condition !== 'function') throw wrongType('fn', 'a function', condition)
    const given: ConditionTokenOptions = isOptions(options) ? options : {}
    this.#condition = condition
    this.#before = optional('before', 'function', given.before)
    this.#after = optional('after', 'function', given.after)
    this.#suppress = optional('suppressExceptions', 'boolean', given.suppressExceptions) ?? true
    this.#default = optional('default', 'boolean', given.default) ?? false
    this.#caching = optional('caching', 'boolean', given.caching) ?? true
    this.#pollEvery = given.pollEvery === undefined ? 10 : nonNegative('pollEvery', given.pollEvery)
    giveRule(this)
  }

  /** @internal */
  override get polled(): boolean {
    return true
  }

  /** Without caching, and as long as nobody was told, an answer is good for one poll only. @internal */
  override get fleeting(): boolean {
    return !this.#caching && !isHeard(this)
  }

  /** @internal */
  override ask(mode: Mode, walk: number): Cancellation | undefined {
    if (mode === LOOK || this.#asking) return undefined // a condition that polls its own token: not yet
    if (this.#walk === walk) return this.#answer
    this.#walk = walk
    this.#answer = undefined
    this.#asking = true
    try {
      if (this.#suppress ? this.#soothed() : this.#plain())
        this.#answer = new Cancellation(this, 'condition', undefined, now())
    } finally {
      this.#asking = false
    }
    return this.#answer
  }

  #plain(): boolean {
    this.#before?.()
    const answer: unknown = this.#condition()
    if (typeof answer !== 'boolean') throw wrongType('the answer of a condition', 'a boolean', unheard(answer))
    this.#after?.()
    return answer
  }

  #soothed(): boolean {
    let answer = this.#default
    if (this.#before) quietly(this.#before)
    try {
      const said: unknown = this.#condition()
      if (typeof said === 'boolean') answer = said
      else unheard(said)
    } catch {
      // counts as the default
    }
    if (this.#after) quietly(this.#after)
    return answer
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
    hubOf(this).driver = after(this.#pollEvery, poll, false)
  }

  /** @internal */
  override explain(kind: CancellationKind): string {
    return kind === 'condition' ? 'was cancelled by its condition' : super.explain(kind)
  }

  /** @internal */
  override form(): Form {
    const options = {
      suppressExceptions: this.#suppress ? undefined : false,
      default: this.#default || undefined,
      before: this.#before,
      after: this.#after,
      caching: this.#caching ? undefined : false,
      pollEvery: this.#pollEvery === 10 ? undefined : this.#pollEvery,
    }
    return { call: 'ConditionToken', own: [functionText(this.#condition)], options }
  }
}

/** A condition that is async by mistake: what it fails with, later, is nobody's. */
function unheard(answer: unknown): unknown {
  if (answer instanceof Promise) answer.catch(() => {})
  return answer
}

function quietly(callback: () => void): void {
  try {
    callback()
  } catch {
    // suppressed, as asked
  }
}
