import type { Form } from '../describe.js'
import { type Cancellation, climb, inOrder, type Mode, type TokenNode } from '../graph.js'
import { wrongType } from '../arguments.js'
import { CancellationToken, type TokenOrSignal, noToken, toToken, UNCLONABLE } from '../token.js'

/**
 * Returns a token that is cancelled with the last of the given tokens, and carries the error of that one. Of no tokens,
 * or with a `DefaultToken` among them, it is never cancelled by itself.
 *
 * @example
 * ```ts
 * import { allOf, SimpleToken } from 'calloff'
 *
 * const a = new SimpleToken()
 * const b = new SimpleToken({ name: 'b' })
 * const both = allOf(a, b)
 * a.cancel()
 * console.log(both.cancelled) // → false
 * b.cancel()
 * console.log(both.cancelledBy?.name) // → b
 * ```
 */
export function allOf(...tokens: TokenOrSignal[]): CancellationToken {
  return new SomeOfToken(tokens.length, sourcesOf(tokens), { call: 'allOf' })
}

/**
 * Returns a token that is cancelled with the k-th of the given tokens, and carries the error of that one: `someOf(1, …)`
 * is cancelled with the first, as `anyOf`, and `someOf(n, …)` of n tokens with the last, as `allOf`. For a quorum: the
 * replicas of which two must be lost, the users of whom three must have left.
 *
 * A `DefaultToken` counts as a token that is never cancelled. Where nothing has listened, and several tokens were
 * cancelled meanwhile, a poll finds the first k of them in the order of the arguments. The error is that of the last of
 * these.
 *
 * Errors: throws `RangeError` where `k` is no whole number from 1 to the number of tokens.
 *
 * @param k how many of the tokens must be cancelled
 *
 * @example
 * ```ts
 * import { SimpleToken, someOf } from 'calloff'
 *
 * const replicas = ['a', 'b', 'c'].map((name) => new SimpleToken({ name }))
 * const quorumLost = someOf(2, ...replicas)
 * replicas[2]!.cancel('disk full')
 * console.log(quorumLost.cancelled) // → false
 * replicas[0]!.cancel('no power')
 * console.log(quorumLost.cancelled, quorumLost.cancelledBy?.name) // → true a
 * ```
 */
export function someOf(k: number, ...tokens: TokenOrSignal[]): CancellationToken {
  if (typeof k !== 'number') throw wrongType('k', 'a number', k)
  const sources = sourcesOf(tokens)
  if (!(k >= 1 && k <= sources.length && Number.isInteger(k))) {
    throw new RangeError(`k must be a whole number from 1 to the number of tokens, ${sources.length}, got ${k}`)
  }
  return new SomeOfToken(k, sources, { call: 'someOf', own: [String(k)] })
}

function sourcesOf(tokens: readonly TokenOrSignal[]): TokenNode[] {
  return tokens.map((one) => {
    const token = toToken(one)
    if (!token) throw noToken('token', one)
    return token
  })
}

class SomeOfToken extends CancellationToken {
  /** How many sources must be cancelled. @internal */
  readonly quorum: number
  readonly #form: Form
  /**
   * Sources that were live when they were last read: one more than may stay live, or fewer, and then `#next` is the
   * first source that was not read. While there are enough of them, the others need not be read.
   */
  #live: TokenNode[] = []
  #next = 0

  constructor(quorum: number, sources: readonly TokenNode[], form: Form) {
    super(UNCLONABLE)
    this.quorum = quorum
    this.#form = form
    if (!sources.length) return
    // The first poll or read finds out whether enough sources are cancelled already: the way to find out may be long.
    this.sources = sources
    this.rules = this
    this.seen = 0
  }

  /** @internal */
  override get opaque(): boolean {
    return true
  }

  /** @internal */
  override pollOwn(mode: Mode, walk: number): Cancellation | undefined {
    return climb(this, mode, walk)
  }

  /** @internal */
  known(): undefined {}

  /** @internal */
  conclude(last: Cancellation): Cancellation {
    return last
  }

  /** @internal */
  sourceEnded(): Cancellation | undefined {
    const sources = this.sources as readonly TokenNode[]
    const mayLive = sources.length - this.quorum
    this.#live = this.#live.filter(({ outcome }) => !outcome)
    while (this.#live.length <= mayLive && this.#next < sources.length) {
      const source = sources[this.#next++] as TokenNode
      if (!source.outcome) this.#live.push(source)
    }
    return this.#live.length > mayLive ? undefined : this.#last(sources.map(({ outcome }) => outcome))
  }

  /** @internal */
  predictEnd(sources: readonly (Cancellation | undefined)[]): Cancellation | undefined {
    return this.#last(sources)
  }

  /** Returns the cancellation that completes the quorum, or undefined if there are too few. */
  #last(sources: readonly (Cancellation | undefined)[]): Cancellation | undefined {
    return inOrder(sources)[this.quorum - 1]
  }

  /** @internal */
  override form(): Form {
    return this.#form
  }
}
