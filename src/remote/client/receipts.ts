/** What became of a cancel: who held the token, who has seen it, who is done. */
import { after } from '../../core/clock.js'
import {
  ACKNOWLEDGED,
  FINISHED,
  type HolderReport,
  OPEN,
  ROLES,
  type Topic,
  type TopicReport,
} from '../contract/engine.js'
import type { MarkRecord } from '../contract/engine.js'
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
    run: topic.run,
    state: mark ? 'cancelled' : 'live',
    mark: mark && markFrom(mark),
    holders: holders.map(holderFrom),
    lease: lease && { fence: lease.fence, held: lease.left > 0 },
  }
}

export function listingsFrom(reports: readonly TopicReport[]): readonly Listing[] {
  return reports.map(listingFrom).toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

export interface Tally {
  readonly topic: Topic
  readonly mark: MarkRecord
  readonly delivered: boolean
  /** Who held it when the mark was sent, as far as that was heard. */
  readonly before: readonly TopicReport[] | undefined
  readonly until: 'acknowledged' | 'finished'
  /** Milliseconds that may still be spent on the holders. */
  readonly left: () => number
  /** Rejects, or resolves with undefined, where it cannot be known in time. */
  readonly list: () => Promise<readonly TopicReport[] | undefined>
  /** Whether all holders that the server has lost by a restart had the time to come back. */
  readonly isSettled: () => boolean
}

/** A receipt, of plain data alone. */
export interface Tallied extends Omit<Receipt, 'mark'> {
  readonly mark: MarkRecord
}

export function receiptFrom({ mark, ...tallied }: Tallied): Receipt {
  return { ...tallied, mark: markFrom(mark) }
}

/** Milliseconds between two looks at the holders: at first, and at the most. */
const FIRST = 5
const MOST = 250

/**
 * Counts the holders, again and again until all are done or the time is up. A holder that is no longer listed has closed: one whose
 * process has died stays listed, as silent, for far longer than it takes to look again (E8). After a restart of the server the
 * holders are listed again one by one, so those that appear meanwhile count as well.
 */
export async function tally({ topic, mark, delivered, before, until, left, list, isSettled }: Tally): Promise<Tallied> {
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
    // Once more at least, for holders that came just before the mark, but after that look.
    let isToLook = left() > 0 || !isListed
    for (let pause = FIRST; isToLook; pause = Math.min(MOST, pause * 1.5)) {
      const areNew = !wasSettled || pause === FIRST
      wasSettled = isSettled()
      const reports = await list()
      if (reports) take(reports, areNew)
      isListed ||= reports !== undefined
      const rest = left()
      isToLook = rest > 0 && (waiting().length > 0 || !wasSettled || !isListed)
      if (isToLook) await new Promise<void>((resolve) => void after(Math.min(rest, pause), resolve, true))
    }
  }
  const all = [...seen.values()]
  return {
    name: topic.name,
    run: topic.run,
    delivered,
    mark,
    complete: isListed && wasSettled,
    holders: all.length,
    acknowledged: all.filter(({ state }) => state > OPEN).length,
    finished: all.filter(({ state }) => state === FINISHED).length,
    waiting: all.filter(({ state }) => state < FINISHED).map(holderFrom),
  }
}
