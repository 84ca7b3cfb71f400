import { receivedCancellation, RemoteOrigin, type Origin, reasonTextIn } from '../core/remote-origin.js'
import type { CancellationKind } from '../core/errors.js'
import type { Cancellation, TokenNode } from '../core/graph.js'
import type { CancellationToken } from '../core/token.js'
import type { CancellationReport, ReceivedReport } from './reports.js'

/** A token of another thread, as far as it is known here: it has started a cancellation. */
export class OtherThread extends RemoteOrigin {
  constructor(origin: Origin) {
    super('OtherThread', origin)
  }
}

/**
 * Returns the report of a cancellation for other threads. `at` is its moment, or undefined if the moment is stored
 * elsewhere.
 */
export function reportOf(cancellation: Cancellation, shared: TokenNode, at: number | undefined): CancellationReport {
  const { reason } = cancellation
  return { at, reason, said: reasonTextIn(cancellation), origin: originOf(cancellation, shared) }
}

/** Describes the token that has started the cancellation. Returns undefined for the shared token itself. */
function originOf({ origin, kind }: Cancellation, shared: TokenNode): Origin | undefined {
  if (origin === shared) return undefined
  const { name } = origin as CancellationToken
  return { name, what: origin.explain(kind) }
}

/**
 * Makes a cancellation from the report of another thread, if there is one. It does not yet record the cancellation on
 * the token of that thread.
 */
export function cancellationOf(
  report: ReceivedReport | undefined,
  kind: CancellationKind,
  shared: TokenNode,
  at: number,
): Cancellation {
  const { origin, reason, saying } = report ?? {}
  return receivedCancellation(origin ? new OtherThread(origin) : shared, kind, { reason, saying }, at)
}
