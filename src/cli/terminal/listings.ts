/** The names at a hub that begin with a prefix, as rows of a table and as JSON. */
import type { Holder, Listing } from '../../remote/index.js'
import { byWhom, reasonText, toJson } from './describe.js'
import { formatDuration } from './duration.js'
import { type Cell, type Paint, tableOf } from './text.js'
import { visible } from './visible.js'

const HEAD = ['NAME', 'STATE', 'HELD BY', 'SINCE', 'WHY'].map((text): Cell => ({ text, format: 'bold' }))

/** Returns lines, the first of which is the head. `now` is the time of the wall clock. */
export function tableOfListings(listings: readonly Listing[], paint: Paint, now: Date, width?: number): string[] {
  return tableOf([HEAD, ...listings.map((one) => rowOf(one, now))], paint, width)
}

/** Returns a listing as one line of JSON. */
export function lineOfJson(listing: Listing): string {
  return `${toJson(listing)}\n`
}

/** Returns a key for each use of a name. */
export function keyOf({ name, runId }: Listing): string {
  return JSON.stringify([name, runId])
}

/** Returns the name and its run id. */
export function titleOf({ name, runId }: Listing): string {
  return visible(runId === '' ? name : `${name} (run ${runId})`)
}

/** Returns which process cancelled it and why, or the empty text while it is not cancelled. */
export function whyOf({ mark }: Listing): string {
  if (!mark) return ''
  const why = reasonText(mark.reason)
  return `${byWhom(mark.who)}${mark.kind === 'manual' ? '' : ` (${mark.kind})`}${why && `: ${why}`}`
}

/** Returns the state of a name. For a cancelled name it says whether all holders have finished. */
export function stateOf({ state, holders, lease }: Listing): string {
  if (state === 'live') return lease?.held === true ? 'leased' : 'live'
  return holders.some((holder) => holder.state !== 'finished') ? 'ending' : 'cancelled'
}

const FORMATS: Readonly<Record<string, Cell['format']>> = { live: 'green', leased: 'green', ending: 'yellow' }

function rowOf(listing: Listing, now: Date): readonly Cell[] {
  const { mark, holders } = listing
  const state = stateOf(listing)
  // For a cancelled name the time of the cancellation, for a live name the time when it was first opened.
  const begins = mark ? [mark.at] : holders.map(({ since }) => since)
  const since = Math.min(...begins.map(Number))
  return [
    { text: titleOf(listing) },
    { text: state, format: FORMATS[state] ?? 'red' },
    { text: heldBy(holders) },
    { text: Number.isFinite(since) ? ago(since, now) : '' },
    { text: whyOf(listing) },
  ]
}

/** Describes the first two holders that have not finished, and says how many more there are. */
function heldBy(holders: readonly Holder[]): string {
  const here = holders.filter(({ state }) => state !== 'finished')
  const shown = here.slice(0, 2).map(({ host, pid, silent }) => `${visible(host)}:${pid}${silent ? '?' : ''}`)
  if (here.length > 2) shown.push(`${here.length - 2} more`)
  return shown.join(', ') || '-'
}

/** Returns the time since then, rounded down to seconds. */
function ago(since: number, now: Date): string {
  const passed = Math.max(0, Number(now) - since)
  return formatDuration(passed < 1_000 ? 0 : Math.floor(passed / 1_000) * 1_000)
}
