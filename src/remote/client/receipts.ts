/** The outcome of a cancel: how many holders the token had, how many of them have seen the cancel, and how many have finished. */
import { waitAfter } from '../../core/backoff.js'
import { pause } from '../contract/deferred.js'
import {
  ACKNOWLEDGED,
  FINISHED,
  type HolderReport,
  type MarkRecord,
  OPEN,
  ROLES,
  type Topic,
  type TopicReport,
} from '../contract/engine.js'
import type { Holder, HolderState, Listing, Receipt } from '../contract/hub.js'
import { markFrom } from '../contract/mark.js'

const STATES: readonly HolderState[] = ['open', 'acknowledged', 'finished']

function holderFrom({ host, pid, role, state, since, silent }: HolderReport): Holder {
  return {
    host,
    pid,
    role: ROLES[role] ?? 'open',
    state: STATES[state] ?? 'open',
    since: new Date(since),
    silent,
  }
}

function listingFrom({ topic, mark, lease, holders }: TopicReport): Listing {
  return {
    name: topic.name,
    runId: topic.runId,
    state: mark ? 'cancelled' : 'live',
    mark: mark && markFrom(mark),
    holders: holders.map(holderFrom),
    lease: lease && { fence: lease.fence, held: lease.left > 0 },
  }
}

export function listingsFrom(reports: readonly TopicReport[]): readonly Listing[] {
  return reports.map(listingFrom).toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

export interface CountOptions {
  readonly topic: Topic
  readonly mark: MarkRecord
  readonly delivered: boolean
  /** The holders when the mark was sent, if the answer has arrived. */
  readonly before: readonly TopicReport[] | undefined
  readonly until: 'acknowledged' | 'finished'
  /** Returns the milliseconds that are left to wait for the holders. */
  readonly left: () => number
  /** Lists the holders. Rejects, or resolves with undefined, if the answer does not come in time. */
  readonly list: () => Promise<readonly TopicReport[] | undefined>
  /** Returns whether all holders that a restart of the server disconnected have had time to come back. */
  readonly isSettled: () => boolean
}

/** A receipt as plain data. */
export interface ReceiptRecord extends Omit<Receipt, 'mark'> {
  readonly mark: MarkRecord
}

export function receiptFrom({ mark, ...counts }: ReceiptRecord): Receipt {
  return { ...counts, mark: markFrom(mark) }
}

/** Milliseconds between two lists of the holders: the first pause, and the longest. */
const FIRST_PAUSE = 5
const LONGEST_PAUSE = 250

/**
 * Lists the holders repeatedly, until all have finished or the time has passed, and counts them. A holder that is no longer listed has
 * closed its token: a holder whose process has died stays listed, as silent, for far longer than a pause (E8). After a restart of the server the
 * holders enter again one by one, so holders that appear meanwhile count, too.
 */
export async function countHolders({
  topic,
  mark,
  delivered,
  before,
  until,
  left,
  list,
  isSettled,
}: CountOptions): Promise<ReceiptRecord> {
  const seen = new Map<string, HolderReport>()
  let isListed = before !== undefined
  let wasSettled = false
  const take = (reports: readonly TopicReport[], areNew: boolean) => {
    const present = new Set<string>()
    for (const holder of reports.flatMap(({ holders }) => holders)) {
      const key = `${holder.session}/${holder.id}`
      present.add(key)
      if (areNew || seen.has(key)) seen.set(key, holder)
    }
    for (const [key, holder] of seen) {
      if (!present.has(key)) seen.set(key, { ...holder, state: FINISHED, silent: false })
    }
  }
  const waiting = () =>
    [...seen.values()].filter(({ state }) => state < (until === 'finished' ? FINISHED : ACKNOWLEDGED))

  if (delivered) {
    wasSettled = isSettled()
    take(before ?? [], true)
    // List them at least once more, for holders that entered after that list and before the mark.
    let isToList = left() > 0 || !isListed
    for (let lists = 0; isToList; lists++) {
      const areNew = !wasSettled || lists === 0
      wasSettled = isSettled()
      const reports = await list()
      if (reports) take(reports, areNew)
      isListed ||= reports !== undefined
      const rest = left()
      isToList = rest > 0 && (waiting().length > 0 || !wasSettled || !isListed)
      if (isToList) await pause(Math.min(rest, waitAfter(lists, FIRST_PAUSE, LONGEST_PAUSE, 1.5)))
    }
  }
  const all = [...seen.values()]
  return {
    name: topic.name,
    runId: topic.runId,
    delivered,
    mark,
    complete: isListed && wasSettled,
    holders: all.length,
    acknowledged: all.filter(({ state }) => state > OPEN).length,
    finished: all.filter(({ state }) => state === FINISHED).length,
    waiting: all.filter(({ state }) => state < FINISHED).map(holderFrom),
  }
}
