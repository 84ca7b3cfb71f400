/**
 * Holds: tokens of the hub that clients have opened over HTTP. The token is in this process; a stream tells the client of its cancel.
 *
 * Invariants
 * HO1. A hold is closed once: when the client has finished, when its stream has been broken for longer than its ttl, with the handler,
 *      or with the hub.
 * HO2. The holder counts as acknowledged when the client says so, not when this process has heard of the cancel.
 * HO3. A hold has one stream. A new stream ends the one before.
 */
import { after } from '../core/clock.js'
import type { RemoteToken } from '../remote/contract/remote-token.js'
import { eventText, type EventSource } from './event-stream.js'
import { heardMark } from './values.js'

/** All holds of a handler. */
export class Holds {
  readonly #holds = new Map<string, Hold>()

  /** @param closed is called once, when the hold is closed */
  add(ttl: number, token: RemoteToken, closed: () => void): Hold {
    const hold = new Hold(ttl, token, () => {
      this.#holds.delete(hold.id)
      closed()
    })
    this.#holds.set(hold.id, hold)
    return hold
  }

  find(id: string): Hold | undefined {
    return this.#holds.get(id)
  }

  close(): void {
    for (const hold of Array.from(this.#holds.values())) hold.close()
  }
}

export class Hold {
  /** It cannot be guessed, so a client that knows it may acknowledge and finish the hold. */
  readonly id = crypto.randomUUID()
  readonly name: string
  readonly runId: string
  readonly #ttl: number
  readonly #token: RemoteToken
  readonly #closed: () => void
  /** The cancel as text, once the token is cancelled. */
  #mark: string | undefined
  #isReady = false
  #isClosed = false
  #acknowledge!: () => void
  #stream: HoldStream | undefined
  #stopExpiry: (() => void) | undefined

  constructor(ttl: number, token: RemoteToken, closed: () => void) {
    this.name = token.name as string
    this.runId = token.runId
    this.#ttl = ttl
    this.#token = token
    this.#closed = closed
    void token.acknowledged(new Promise<void>((resolve) => (this.#acknowledge = resolve)))
    void this.#becomeReady()
    token.onCancel(({ kind, cause }) => {
      // The token was closed, or the hub: no cancel of the name.
      if (kind === 'dispose') return this.close()
      this.#mark = JSON.stringify(heardMark(kind, cause, token.who))
      this.#stream?.news()
    })
  }

  async #becomeReady(): Promise<void> {
    try {
      await this.#token.ready
    } catch {
      return this.close() // the token is closed, or the hub
    }
    this.#isReady = true
    this.#stream?.news()
  }

  /** Returns the source of a new stream. */
  stream(): EventSource {
    this.#stopExpiry?.()
    const before = this.#stream
    const stream: HoldStream = new HoldStream(
      () => this.#isClosed || this.#stream !== stream,
      () => this.#events(),
      () => {
        if (this.#stream === stream) this.#expire()
      },
    )
    this.#stream = stream
    before?.news()
    return stream
  }

  /** The client has heard of the cancel. Before the cancel it has no effect. */
  acknowledge(): void {
    if (this.#mark !== undefined) this.#acknowledge()
  }

  /** The client has finished, or has gone. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#stopExpiry?.()
    this.#closed()
    this.#token.close()
    this.#stream?.news()
  }

  #expire(): void {
    this.#stream = undefined
    if (!this.#isClosed) this.#stopExpiry = after(this.#ttl, () => this.close(), false)
  }

  /** All events so far. A new stream sends them all. */
  #events(): readonly string[] {
    const open = eventText('open', JSON.stringify({ hold: this.id, ttl: this.#ttl }), this.id)
    const cancelled = this.#mark === undefined ? [] : [eventText('cancelled', this.#mark)]
    return [open, ...cancelled, ...(this.#isReady ? [eventText('ready', '{}')] : [])]
  }
}

class HoldStream implements EventSource {
  readonly #isOver: () => boolean
  readonly #events: () => readonly string[]
  readonly close: () => void
  readonly #sent = new Set<string>()
  news: () => void = () => {}

  constructor(isOver: () => boolean, events: () => readonly string[], close: () => void) {
    this.#isOver = isOver
    this.#events = events
    this.close = close
  }

  start(news: () => void): void {
    this.news = news
  }

  take(): string | undefined {
    if (this.#isOver()) return undefined
    const next = this.#events().find((text) => !this.#sent.has(text))
    if (next === undefined) return ''
    this.#sent.add(next)
    return next
  }
}
