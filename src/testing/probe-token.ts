import { now } from '../core/clock.js'
import type { Form } from '../core/describe.js'
import { Cancellation, giveRule, type Mode, READ, type TokenNode, visit } from '../core/graph.js'
import { CancellationToken, UNCLONABLE } from '../core/token.js'

/**
 * A token that asks a function, at each of its polls and reads, whether it is cancelled now. The polls and reads of all
 * tokens that derive from it count as well, and each registration of a listener begins with a read.
 */
export class ProbeToken extends CancellationToken {
  readonly #isCancelledAt: (mode: Mode) => boolean
  readonly why: string
  /** The last walk over the graph that it was asked in: it may be met in several ways in one walk. */
  #walk = -1
  #answer: Cancellation | undefined

  /** @param why the reason of the cancellation */
  constructor(why: string, isCancelledAt: (mode: Mode) => boolean) {
    super(UNCLONABLE)
    this.why = why
    this.#isCancelledAt = isCancelledAt
    giveRule(this)
  }

  /** @internal */
  override pollOwn(mode: Mode, walk: number): Cancellation | undefined {
    if (this.outcome) return this.outcome
    if (walk !== this.#walk) {
      this.#walk = walk
      this.#answer = this.#isCancelledAt(mode) ? new Cancellation(this, 'manual', this.why, now()) : undefined
    }
    return this.#answer
  }

  /** @internal */
  override form(): Form {
    return { call: 'cancelEverywhere' }
  }
}

/** Whether a poll is a mere read: of `error` and the like, at the registration of a listener, or after a wait. */
export function isRead(mode: Mode): boolean {
  return mode === READ
}

/** The number of listeners, waits and races on a token, and on the tokens that derive from it. */
export function listenersOf(token: CancellationToken): number {
  const nodes = new Set<TokenNode>([token])
  let count = 0
  for (const { extras } of nodes) {
    // One without a listener keeps a signal up to date, as long as the token lives.
    visit(extras?.listeners, ({ listener }) => {
      if (listener) count++
    })
    visit(extras?.below, ({ child }) => nodes.add(child))
  }
  return count
}
