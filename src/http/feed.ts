/**
 * The changes of names, for any number of streams. A feed lists the names again and again while a stream follows it, keeps the changes
 * for clients that come back, and numbers them.
 *
 * Invariants
 * FE1. Each change is in the log once, with a number of its own. The table is the result of all changes in the log, and of those
 *      before them.
 * FE2. A stream is at a position of the log. What it sends is the table at that position, then each later change once, in order. If
 *      its position is no longer in the log, it begins again with the table.
 * FE3. The id of an event says that the client has all that came before. While a client has only a part of the table, the last id that
 *      it knows is one that no feed knows.
 */
import { after, now } from '../core/clock.js'
import type { Topic } from '../remote/contract/engine.js'
import type { Listing } from '../remote/contract/hub.js'
import { keyOf } from '../remote/contract/topic.js'
import { eventText, type EventSource } from './event-stream.js'
import { listingValue } from './values.js'

/** How many characters are sent at once. */
const PIECE = 65_536
/** How many characters the log may have. */
const LOG = 4_000_000
/** The id that a client has before it has the table. */
const NO_ID = 'reset'
/** The part of the time that the feed may spend on lists: after a list that took long, the pause is longer. */
const SHARE = 0.1

export interface FeedSettings {
  /** Lists the names. It is called only while there is a connection to the hub. */
  readonly list: () => Promise<readonly Listing[]>
  /** Whether the list may have that topic. */
  readonly isAbout: (topic: Topic) => boolean
  /** Milliseconds between two lists, at least. */
  readonly pace: number
  /** How many changes are kept for clients that reconnect. */
  readonly kept: number
  /** How long the feed goes on without a stream, in milliseconds. */
  readonly linger: number
  /** The feed has ended: no stream has followed it for a while, or the hub is closed. */
  readonly ended: () => void
}

/** The state of the connection to the hub. */
export type FeedState = 'connected' | 'disconnected'

function stateText(state: FeedState, id?: string): string {
  return eventText('hub', JSON.stringify({ state }), id)
}

/** A name in the table. */
interface Row {
  readonly listing: Listing
  /** The listing as JSON. */
  readonly text: string
}

export class Feed {
  readonly #settings: FeedSettings
  /** Unique to this feed, so that a client does not take the number of another feed for one of this. */
  readonly #id = crypto.randomUUID().slice(0, 13)
  #table = new Map<string, Row>()
  /** The texts of the changes. The last one has the number `#last`. */
  readonly #log: string[] = []
  #last = 0
  /** How many characters the log has. */
  #size = 0
  #isRead = false
  #isOver = false
  #isListing = false
  /** Whether the list that is being read was requested before the last change that `refresh` reported. */
  #isStale = false
  #stopTimer: (() => void) | undefined
  readonly #followers = new Set<() => void>()
  #leftAt = now()

  #state: FeedState

  constructor(settings: FeedSettings, state: FeedState) {
    this.#settings = settings
    this.#state = state
    void this.#read()
  }

  /** Whether no stream follows it. */
  get isIdle(): boolean {
    return this.#followers.size === 0
  }

  /** Returns a source of the changes after the event with the given id; of the whole table, if that event is not known. */
  follow(after: string | undefined): EventSource {
    let position = this.#positionOf(after)
    let beginning: Iterator<string> | undefined
    /** Whether all of the table has been taken. */
    let isWhole = true
    let news: (() => void) | undefined
    return {
      start: (callback) => {
        news = callback
        this.#followers.add(callback)
        if (!this.#isOver) this.#wake()
      },
      close: () => {
        if (news) this.#followers.delete(news)
        this.#leftAt = now()
      },
      take: () => {
        if (this.#isOver) return undefined
        if (!this.#isRead) return ''
        const first = this.#last - this.#log.length
        if (position !== undefined && position < first) {
          // It reads the table more slowly than the names change. A table for it alone would be kept in memory.
          if (!isWhole) return undefined
          position = undefined
        }
        if (position === undefined) {
          position = this.#last
          isWhole = false
          beginning = this.#beginning(() => (isWhole = true))
        }
        const piece = beginning && pieceOf(beginning)
        if (piece) return piece
        beginning = undefined
        const changes = this.#log.slice(position - first)[Symbol.iterator]()
        return pieceOf(changes, () => (position as number)++)
      },
    }
  }

  /** Lists the names now, because a topic may have changed. */
  refresh(topic: Topic): void {
    if (this.#settings.isAbout(topic)) this.#hurry()
  }

  #hurry(): void {
    this.#isStale = true
    if (this.#isListing) return
    this.#stopTimer?.()
    void this.#read()
  }

  tellState(state: FeedState): void {
    // A hub tells of every attempt to connect that has failed.
    if (state === this.#state) return
    this.#state = state
    this.#append([stateText(state, this.#idAt(this.#last + 1))])
    if (state === 'connected') this.#hurry()
  }

  end(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#stopTimer?.()
    this.#settings.ended()
    this.#tell()
  }

  #idAt(position: number): string {
    return `${this.#id}-${position}`
  }

  #positionOf(id: string | undefined): number | undefined {
    if (!id?.startsWith(`${this.#id}-`)) return undefined
    const position = Number(id.slice(this.#id.length + 1))
    const isKept = Number.isSafeInteger(position) && position >= this.#last - this.#log.length && position <= this.#last
    return isKept ? position : undefined
  }

  /** The events that tell the whole table. A client that is cut off before the last one begins again (FE3). */
  *#beginning(whole: () => void): Generator<string> {
    const id = this.#idAt(this.#last)
    const state = this.#state
    const rows = [...this.#table.values()]
    yield eventText('reset', '{}', NO_ID)
    for (const { listing, text } of rows) yield eventText(listing.state === 'cancelled' ? 'cancelled' : 'opened', text)
    yield stateText(state)
    whole()
    yield eventText('ready', '{}', id)
  }

  #wake(): void {
    if (!this.#isListing && !this.#stopTimer) void this.#read()
  }

  async #read(): Promise<void> {
    const { list, pace, linger } = this.#settings
    this.#stopTimer = undefined
    // It goes on when the connection is back.
    if (this.#state === 'disconnected') return
    this.#isListing = true
    this.#isStale = false
    const begun = now()
    try {
      const listings = await list()
      if (this.#isOver) return
      this.#apply(listings)
    } catch {
      // The hub is closed, or has refused the request: the clients come back, perhaps to another server.
      return this.end()
    } finally {
      this.#isListing = false
    }
    if (this.#followers.size === 0 && now() - this.#leftAt >= linger) return this.end()
    const wait = this.#isStale ? 0 : Math.max(pace, (now() - begun) / SHARE)
    this.#stopTimer = after(wait, () => void this.#read(), false)
  }

  #apply(listings: readonly Listing[]): void {
    const before = this.#table
    const table = new Map<string, Row>()
    const changes: string[] = []
    const change = (event: string, text: string) => {
      changes.push(eventText(event, text, this.#idAt(this.#last + changes.length + 1)))
    }
    for (const listing of listings) {
      const key = keyOf(listing)
      const text = JSON.stringify(listingValue(listing))
      const old = before.get(key)
      table.set(key, { listing, text })
      if (old?.text === text) continue
      if (listing.state === 'cancelled' && old?.listing.state !== 'cancelled') change('cancelled', text)
      else change(old ? 'changed' : 'opened', text)
    }
    for (const [key, { listing }] of before) {
      const { name, runId } = listing
      if (!table.has(key)) change('gone', JSON.stringify({ name, runId }))
    }
    this.#table = table
    const isFirst = !this.#isRead
    this.#isRead = true
    // The first list is the beginning of the table, not a change of it.
    if (isFirst) this.#tell()
    else this.#append(changes)
  }

  #append(texts: readonly string[]): void {
    if (texts.length === 0) return
    for (const text of texts) {
      this.#log.push(text)
      this.#size += text.length
    }
    this.#last += texts.length
    while (this.#log.length > this.#settings.kept || this.#size > LOG) {
      this.#size -= (this.#log.shift() as string).length
    }
    this.#tell()
  }

  #tell(): void {
    for (const news of Array.from(this.#followers)) news()
  }
}

/** Takes texts until there are enough for one piece. */
function pieceOf(texts: Iterator<string>, taken?: () => void): string {
  let piece = ''
  while (piece.length < PIECE) {
    const { done, value } = texts.next()
    if (done) break
    piece += value
    taken?.()
  }
  return piece
}
