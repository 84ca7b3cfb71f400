/** The values of the API as the client returns them. */
import { reasonTextOf } from '../../core/graph.js'
import { decodeReason, encodeReason } from '../../core/reasons.js'
import { kindFrom } from '../../core/remote-origin.js'
import type { Holder, Mark, Receipt } from '../../remote/contract/hub.js'

/** A listing or a receipt, as it has arrived. */
export interface Answer extends Omit<Receipt, 'holders' | 'mark' | 'waiting'> {
  /** Absent in a listing. */
  readonly waiting?: readonly Holder[]
  readonly mark: unknown
  /** Their number in a receipt, the holders themselves in a listing. */
  readonly holders: unknown
}

// oxlint-disable-next-line typescript/no-base-to-string -- a server that sends something else gets what it has sent
const textFrom = (value: unknown): string => String(value)

/** A mark as it has arrived, if it is one. */
interface MarkAnswer {
  readonly kind: unknown
  readonly reason?: unknown
  readonly who: Readonly<Record<'host' | 'pid' | 'token', unknown>>
  readonly at: never
}

/** Throws for a value that is no mark. */
export function markFrom(value: unknown): Mark {
  const { kind, reason, who, at } = value as MarkAnswer
  const { host, pid, token } = who
  const by = { host: textFrom(host), pid: Number(pid), token: token ? textFrom(token) : undefined }
  return {
    kind: kindFrom(kind),
    // Without a reason there is no text, and what is no text is decoded as no reason.
    reason: decodeReason(JSON.stringify(reason), `process ${by.pid} on ${by.host}`).reason,
    who: by,
    at: new Date(at),
  }
}

/**
 * Returns the receipt for the answer to a cancel. With an earlier receipt, the answer may be a listing of the name: a holder that is not
 * listed has finished.
 */
export function receiptFrom({ holders, waiting, mark, ...others }: Answer, earlier?: Receipt): Receipt {
  const listed = (waiting ?? holders) as readonly Holder[]
  const left = listed.filter(({ state }) => state !== 'finished')
  for (const one of left) Object.assign(one, { since: new Date(one.since) })
  const all = Math.max(earlier?.holders ?? (holders as number), left.length)
  return {
    ...(earlier ?? { ...others, mark: markFrom(mark) }),
    holders: all,
    acknowledged: all - left.filter(({ state }) => state === 'open').length,
    finished: all - left.length,
    waiting: left,
  }
}

/** The greatest length of a reason, in bytes, as in remote/contract/limits.ts. */
const REASON_BYTES = 8_192

const sizeOf = (text: string): number => new Blob([text]).size

/** Returns the body of a cancel. The reason is in the form that core/reasons.ts describes. */
export function bodyOf(reason: unknown, others?: object): string {
  const text = reason === undefined ? '' : encodeReason(reason, reasonTextOf(reason), false, REASON_BYTES, sizeOf)
  return JSON.stringify({ ...others, reason: text ? (JSON.parse(text) as unknown) : undefined })
}
