/** The values of the API as the client returns them. */
import { reasonOf, valueOfReason } from '../../core/reasons.js'
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

/** Returns the mark that has arrived. Throws for a value that is none. */
export function markFrom(value: unknown): Mark {
  const mark = value as Mark
  const { kind, reason, who, at } = mark
  return {
    ...mark,
    kind: kindFrom(kind),
    reason: reasonOf(reason, `process ${who.pid} on ${who.host}`),
    who: { ...who, token: who.token ?? undefined },
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
  for (const one of left) (one as { since: Date }).since = new Date(one.since)
  const all = Math.max(earlier?.holders ?? (holders as number), left.length)
  return {
    ...(earlier ?? { ...others, mark: markFrom(mark) }),
    holders: all,
    acknowledged: all - left.filter(({ state }) => state === 'open').length,
    finished: all - left.length,
    waiting: left,
  }
}

/** Returns the body of a cancel. */
export function bodyOf(reason: unknown, others?: object): string {
  // The longest reason that a hub takes, in bytes: remote/contract/limits.ts.
  return JSON.stringify({ ...others, reason: valueOfReason(reason, 8_192) })
}
