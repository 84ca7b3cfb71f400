/**
 * All feeds of a handler, one for each prefix or name that a client watches.
 *
 * Invariant FS1. It listens to the hub only while there is a feed, so a handler that is no longer used can be collected as garbage while
 * its hub is open.
 */
import type { Registration } from '../core/token.js'
import type { Topic } from '../remote/contract/engine.js'
import type { TokenHub } from '../remote/contract/hub.js'
import { keyOf } from '../remote/contract/topic.js'
import { Feed } from './feed.js'

/** How long a feed goes on without a stream, in milliseconds, so that a client that reconnects misses nothing. */
const LINGER = 60_000
/** How many feeds may go on without a stream. Otherwise a client could leave behind any number of them, all of which list names. */
const MOST_IDLE = 100

export interface FeedsSettings {
  readonly pace: number
  readonly kept: number
}

export class Feeds {
  readonly #hub: TokenHub
  readonly #settings: FeedsSettings
  readonly #feeds = new Map<string, Feed>()
  #listening: Registration | undefined

  constructor(hub: TokenHub, settings: FeedsSettings) {
    this.#hub = hub
    this.#settings = settings
  }

  /** Returns the feed of a topic, or of all names with a prefix. It must be followed at once. */
  of(prefix: string, topic: Topic | undefined): Feed {
    const key = topic ? `name ${keyOf(topic)}` : `prefix ${prefix}`
    const found = this.#feeds.get(key)
    if (found) return found
    const idle = Array.from(this.#feeds.values()).filter(({ isIdle }) => isIdle)
    if (idle.length >= MOST_IDLE) idle[0]?.end()
    this.#listen()
    const isAbout = ({ name, runId }: Topic) =>
      topic ? name === topic.name && runId === topic.runId : name.startsWith(prefix)
    const feed = new Feed(
      {
        ...this.#settings,
        linger: LINGER,
        isAbout,
        list: async () => (await this.#hub.list(prefix)).filter(isAbout),
        ended: () => this.#remove(key),
      },
      this.#hub.state === 'connected' ? 'connected' : 'disconnected',
    )
    this.#feeds.set(key, feed)
    return feed
  }

  /** Lists the names of all feeds that may have the topic now: it has changed. */
  refresh(topic: Topic): void {
    for (const feed of this.#feeds.values()) feed.refresh(topic)
  }

  end(): void {
    for (const feed of Array.from(this.#feeds.values())) feed.end()
  }

  #remove(key: string): void {
    this.#feeds.delete(key)
    if (this.#feeds.size > 0) return
    this.#listening?.stop()
    this.#listening = undefined
  }

  #listen(): void {
    this.#listening ??= this.#hub.onEvent(({ type }) => {
      if (type === 'closed') this.end()
      if (type !== 'connected' && type !== 'disconnected') return
      for (const feed of this.#feeds.values()) feed.tellState(type)
    })
  }
}
