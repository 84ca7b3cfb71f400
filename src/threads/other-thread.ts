import { Elsewhere, type Origin } from '../core/elsewhere.js'
import type { Cancellation, TokenNode } from '../core/graph.js'
import { now } from '../core/clock.js'
import { each, rulesOf } from '../core/graph.js'
import { timeLeft } from '../core/remaining.js'
import type { CancellationToken } from '../core/token.js'

/** A token of another thread, as far as it is known here: it has started a cancellation. */
export class OtherThread extends Elsewhere {
  constructor(origin: Origin) {
    super('OtherThread', origin)
  }
}

/** What other threads are told of the token that has started a cancellation; nothing if it is the shared one itself. */
export function originOf({ origin, kind }: Cancellation, shared: TokenNode): Origin | undefined {
  if (origin === shared) return undefined
  const { name } = origin as CancellationToken
  return { name, what: origin.explain(kind) }
}

/** The earliest deadline at or above a live node, if there is one, and whose it is, if that is plain to see. */
export function deadlineAbove(
  node: TokenNode,
): { readonly at: number; readonly whose: Origin | undefined } | undefined {
  const before = now()
  const left = timeLeft(node, Infinity)
  if (left === Infinity) return undefined
  const after = now()
  let found = { at: before + left, whose: undefined as Origin | undefined }
  each(rulesOf(node), (rule) => {
    // The one that was counted from a moment in between.
    const { deadline = Infinity, name } = rule as CancellationToken & { readonly deadline?: number }
    if (deadline - left >= before - 0.001 && deadline - left <= after + 0.001) {
      found = { at: deadline, whose: { name, what: rule.explain('timeout') } }
    }
  })
  return found
}
