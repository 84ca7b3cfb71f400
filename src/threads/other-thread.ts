import { arrived, Elsewhere, type Origin, saidIn } from '../core/elsewhere.js'
import type { CancellationKind } from '../core/errors.js'
import type { Cancellation, TokenNode } from '../core/graph.js'
import type { CancellationToken } from '../core/token.js'
import type { Story, Told } from './reports.js'

/** A token of another thread, as far as it is known here: it has started a cancellation. */
export class OtherThread extends Elsewhere {
  constructor(origin: Origin) {
    super('OtherThread', origin)
  }
}

/** What other threads are told of a cancellation: at what moment, if that does not stand elsewhere. */
export function storyOf(cancellation: Cancellation, shared: TokenNode, at: number | undefined): Story {
  const { reason } = cancellation
  return { at, reason, said: saidIn(cancellation), origin: originOf(cancellation, shared) }
}

/** Of the token that has started it; nothing if it is the shared one itself. */
function originOf({ origin, kind }: Cancellation, shared: TokenNode): Origin | undefined {
  if (origin === shared) return undefined
  const { name } = origin as CancellationToken
  return { name, what: origin.explain(kind) }
}

/** A cancellation by its report from another thread, if there is one. That of a token of that thread is not on its record yet. */
export function toldBy(report: Told | undefined, kind: CancellationKind, shared: TokenNode, at: number): Cancellation {
  const { origin, reason, saying } = report ?? {}
  return arrived(origin ? new OtherThread(origin) : shared, kind, { reason, saying }, at)
}
