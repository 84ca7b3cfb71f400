/** The names that the server has sent, with what has happened to each since the page was opened. */
import type { StreamEvent } from './feed.js'
import { briefMark, type Holder, keyOf, type Listing, markText, processText, titleOf, type Topic } from './values.js'

/** `stopping`: cancelled, and not all holders have finished. */
export type State = 'stopping' | 'live' | 'cancelled'

export interface Entry {
  readonly at: number
  readonly text: string
}

/** One use of a name. A change makes a new row. */
export interface Row {
  readonly key: string
  readonly title: string
  readonly listing: Listing
  readonly state: State
  /** When it was cancelled, or else first opened; NaN if neither is known. */
  readonly since: number
  /** What the filter searches, in small letters. */
  readonly words: string
}

const RANK: Readonly<Record<State, number>> = { stopping: 0, live: 1, cancelled: 2 }
/** Entries that are kept for one name. */
const MOST_ENTRIES = 200
/** Names whose history is kept when they are gone. */
const MOST_GONE = 500

export type Column = 'state' | 'name' | 'holders' | 'since' | 'why'

const COMPARE: Readonly<Record<Column, (a: Row, b: Row) => number>> = {
  // Of those that have not stopped, the one that takes longest is the first.
  state: (a, b) => RANK[a.state] - RANK[b.state] || (a.state === 'stopping' ? a.since - b.since : 0),
  name: () => 0,
  holders: (a, b) => b.listing.holders.length - a.listing.holders.length,
  since: (a, b) => (b.since || 0) - (a.since || 0),
  why: (a, b) => compareTexts(whyOf(a), whyOf(b)),
}

/** Names are compared as the hub compares them. */
function compareTexts(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function whyOf({ listing: { mark } }: Row): string {
  // Those without a mark are last.
  return mark === null ? '\u{10FFFF}' : briefMark(mark)
}

export interface Wish {
  readonly filter: string
  readonly state: State | 'all'
  readonly column: Column
  readonly isReversed: boolean
}

export class Table {
  readonly #rows = new Map<string, Row>()
  readonly #histories = new Map<string, Entry[]>()
  readonly #gone = new Set<string>()
  /** The names that were shown before the stream began again, and that it has not sent since. */
  #stale: Set<string> | undefined
  #sorted: Row[] = []
  #isReady = false
  /** Goes up with every change. */
  version = 0
  /** What the server says of its connection to the hub. */
  hub = 'connected'

  /** Whether the server has sent all names that existed. */
  get isReady(): boolean {
    return this.#isReady
  }

  row(key: string): Row | undefined {
    return this.#rows.get(key)
  }

  history(key: string): readonly Entry[] {
    return this.#histories.get(key) ?? []
  }

  count(state: Wish['state']): number {
    if (state === 'all') return this.#rows.size
    let sum = 0
    for (const row of this.#rows.values()) if (row.state === state) sum++
    return sum
  }

  /** Returns the rows that the user wishes to see, in order. */
  select({ filter, state, column, isReversed }: Wish): readonly Row[] {
    // They are nearly in order already, which the sort makes use of.
    const known = this.#sorted.flatMap(({ key }) => this.#rows.get(key) ?? [])
    const all = known.length === this.#rows.size ? known : [...this.#rows.values()]
    const compare = COMPARE[column]
    const sign = isReversed ? -1 : 1
    this.#sorted = all.toSorted((a, b) => sign * (compare(a, b) || compareTexts(a.key, b.key)))
    const words = filter.toLowerCase().split(/\s+/).filter(Boolean)
    if (words.length === 0 && state === 'all') return this.#sorted
    return this.#sorted.filter(
      (row) => (state === 'all' || row.state === state) && words.every((word) => row.words.includes(word)),
    )
  }

  /** Takes an event of the stream. `now` is the time of the clock of the server. */
  take({ event, data }: StreamEvent, now: number): void {
    const value: unknown = JSON.parse(data)
    if (event === 'reset') this.#stale = new Set(this.#rows.keys())
    else if (event === 'ready') this.#ready(now)
    else if (event === 'gone') this.#remove(keyOf(value as Topic), now)
    else if (event === 'hub') this.hub = (value as { state: string }).state
    else if (event === 'opened' || event === 'changed' || event === 'cancelled') this.put(value as Listing, now)
    else return
    this.version++
  }

  #ready(now: number): void {
    for (const key of this.#stale ?? []) this.#remove(key, now)
    this.#stale = undefined
    this.#isReady = true
  }

  put(listing: Listing, now: number): void {
    const row = rowOf(listing)
    const before = this.#rows.get(row.key)
    this.#stale?.delete(row.key)
    this.#gone.delete(row.key)
    this.#rows.set(row.key, row)
    this.version++
    // What was there before the page was opened has no history.
    if (before === undefined && !this.#isReady) return
    for (const text of changesBetween(before?.listing, listing)) this.#write(row.key, now, text)
  }

  #remove(key: string, now: number): void {
    const row = this.#rows.get(key)
    if (row === undefined) return
    this.#rows.delete(key)
    for (const text of changesBetween(row.listing, undefined)) this.#write(key, now, text)
    this.#gone.add(key)
    if (this.#gone.size <= MOST_GONE) return
    const [oldest] = this.#gone
    this.#gone.delete(oldest as string)
    this.#histories.delete(oldest as string)
  }

  #write(key: string, at: number, text: string): void {
    let history = this.#histories.get(key)
    if (history === undefined) this.#histories.set(key, (history = []))
    history.push({ at, text })
    if (history.length > MOST_ENTRIES) history.shift()
  }
}

export function isStopping({ state, holders }: Listing): boolean {
  return state === 'cancelled' && holders.some((holder) => holder.state !== 'finished')
}

function rowOf(listing: Listing): Row {
  const { mark, holders, state } = listing
  const title = titleOf(listing)
  const begins = mark === null ? holders.map(({ since }) => Date.parse(since)) : [Date.parse(mark.at)]
  const why = mark === null ? '' : markText(mark)
  return {
    key: keyOf(listing),
    title,
    listing,
    state: isStopping(listing) ? 'stopping' : state,
    since: begins.length === 0 ? NaN : Math.min(...begins),
    words: [title, why, ...new Set(holders.map(({ host, pid }) => `${host}:${pid}`))].join('\n').toLowerCase(),
  }
}

/** Pairs each holder with a key that it keeps from one listing to the next. The API has no id of a holder. */
export function keyedHolders(holders: readonly Holder[]): Map<string, Holder> {
  const keyed = new Map<string, Holder>()
  for (const holder of holders) {
    const key = [holder.host, holder.pid, holder.role, holder.since].join(' ')
    let at = 0
    while (keyed.has(`${key} ${at}`)) at++
    keyed.set(`${key} ${at}`, holder)
  }
  return keyed
}

function changesBetween(before: Listing | undefined, after: Listing | undefined): string[] {
  const changes: string[] = []
  const old = keyedHolders(before?.holders ?? [])
  const now = keyedHolders(after?.holders ?? [])
  for (const [key, holder] of now) {
    const was = old.get(key)
    const who = processText(holder)
    if (was === undefined) changes.push(`${who} holds it`)
    if (holder.silent && was?.silent !== true) changes.push(`${who} has been silent for a while`)
    if (!holder.silent && was?.silent === true) changes.push(`${who} is back`)
    if (holder.state === (was?.state ?? 'open')) continue
    if (holder.state === 'acknowledged') changes.push(`${who} has heard of the cancel`)
    if (holder.state === 'finished') changes.push(`${who} has finished`)
  }
  for (const [key, holder] of old) {
    if (now.has(key) || holder.state === 'finished') continue
    changes.push(`${processText(holder)} ${holder.silent ? 'is lost' : 'has finished'}`)
  }
  if (after?.mark && before?.mark?.at !== after.mark.at) changes.unshift(`cancelled ${markText(after.mark)}`)
  if (before?.mark && !after?.mark) changes.push('the cancel was forgotten')
  if (after?.lease && after.lease.fence !== before?.lease?.fence)
    changes.push(`lease taken, fence ${after.lease.fence}`)
  return changes
}
