/** The values of the API, as JSON. docs/reference/http.md describes them. */
import { attempt, readable, valueOfReason } from '../core/reasons.js'
import type { Holder, Listing, Mark, Receipt, Who } from '../remote/contract/hub.js'
import { REASON_BYTES } from '../remote/contract/limits.js'

/** The greatest length of a reason as readable text, in characters. */
const TEXT = 2_000

/** A mark as the API shows it. */
export interface MarkValue {
  readonly kind: string
  /** Absent if no reason was given. */
  readonly reason?: unknown
  readonly text: string
  readonly who: { readonly host: string; readonly pid: number; readonly token: string | null }
  readonly at: string
}

/** Returns a date as text. One that came from another process may be out of range, and becomes 1970. */
function momentOf(date: Date): string {
  return attempt(() => date.toISOString()) ?? new Date(0).toISOString()
}

export function markValue({ kind, reason, who: { host, pid, token }, at }: Mark): MarkValue {
  return {
    kind,
    ...(reason !== undefined && { reason: valueOfReason(reason, REASON_BYTES) }),
    text: reason === undefined ? '' : readable(reason, TEXT),
    who: { host, pid, token: token ?? null },
    at: momentOf(at),
  }
}

/** The mark of a cancel that a token has heard of. `who` is unknown if it was cancelled in this process only. */
export function heardMark(kind: Mark['kind'], reason: unknown, who: Who | undefined): MarkValue {
  return markValue({ kind, reason, who: who ?? { host: '', pid: 0, token: undefined }, at: new Date() })
}

function holderValue({ host, pid, role, state, since, silent }: Holder): object {
  return { host, pid, role, state, since: momentOf(since), silent }
}

export function listingValue({ name, runId, state, mark, holders, lease }: Listing): object {
  return {
    name,
    runId,
    state,
    mark: mark ? markValue(mark) : null,
    holders: holders.map(holderValue),
    lease: lease ? { fence: lease.fence, held: lease.held } : null,
  }
}

export function receiptValue(receipt: Receipt): object {
  const { name, runId, delivered, complete, mark, holders, acknowledged, finished, waiting } = receipt
  return {
    name,
    runId,
    delivered,
    complete,
    mark: markValue(mark),
    holders,
    acknowledged,
    finished,
    waiting: waiting.map(holderValue),
  }
}
