import type { Form } from '../describe.js'
import { type Cancellation, climb, later, type Mode, type TokenNode } from '../graph.js'
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
  return new AllOfToken(
    tokens.map((one) => {
      const token = toToken(one)
      if (!token) throw noToken('token', one)
      return token
    }),
  )
}

class AllOfToken extends CancellationToken {
  /** How many sources, from the first one on, are known to be cancelled. */
  #ended = 0

  constructor(sources: readonly TokenNode[]) {
    super(UNCLONABLE)
    if (!sources.length) return
    // The first poll or read finds out whether all sources are cancelled already: the way to find out may be long.
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
    while (this.#ended < sources.length && sources[this.#ended]?.outcome) this.#ended++
    if (this.#ended < sources.length) return undefined
    return sources.reduce<Cancellation | undefined>(
      (last, { outcome }) => later(last, outcome as Cancellation),
      undefined,
    )
  }

  /** @internal */
  predictEnd(sources: readonly (Cancellation | undefined)[]): Cancellation | undefined {
    let last: Cancellation | undefined
    for (const end of sources) {
      if (!end) return undefined
      last = later(last, end)
    }
    return last
  }

  /** @internal */
  override form(): Form {
    return { call: 'allOf' }
  }
}
