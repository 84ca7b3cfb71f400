/**
 * Server-sent events: a source writes text, and a stream sends it as fast as the client reads.
 *
 * Invariants
 * ES1. A stream holds no more than one piece of text. What the client has not read yet stays in the source, which all clients share.
 * ES2. A stream ends when the client leaves, when the client does not read for `stalled`, and after `longest`. Its source is closed
 *      once.
 */
import { after, now } from '../core/clock.js'

/** Returns one event as text. `json` is one line: JSON escapes the ends of lines. */
export function eventText(event: string, json: string, id?: string): string {
  return `${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${json}\n\n`
}

/** What a stream sends. */
export interface EventSource {
  /** Returns what to send next, `''` if there is nothing now, undefined at the end. */
  take(): string | undefined
  /** The stream calls it once. From then on, the source calls `news` whenever `take` would return something else than `''`. */
  start(news: () => void): void
  /** The stream has ended. */
  close(): void
}

/** The times of streams, in milliseconds. */
export interface StreamTimes {
  /** Between two comment lines, which keep proxies from ending an idle stream. */
  readonly heartbeat: number
  /** How long a client may not read although there is something to read. */
  readonly stalled: number
  /** How long a stream lasts at most. */
  readonly longest: number
}

const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store, no-transform',
  'x-accel-buffering': 'no',
}
const HEARTBEAT = ':\n\n'

/** All open streams of a handler. */
export class EventStreams {
  readonly #open = new Set<EventStream>()
  readonly #times: StreamTimes
  #stopTimer: (() => void) | undefined

  constructor(times: StreamTimes) {
    this.#times = times
  }

  /** Returns the response that sends the events of a source until its body is cancelled, as a server does when the client leaves. */
  respond(source: EventSource): Response {
    const stream = new EventStream(source, () => this.#open.delete(stream))
    this.#open.add(stream)
    this.#watch()
    return new Response(stream.body, { headers: HEADERS })
  }

  end(): void {
    for (const stream of Array.from(this.#open)) stream.end()
    this.#stopTimer?.()
    this.#stopTimer = undefined
  }

  /** One timer for all streams. */
  #watch(): void {
    this.#stopTimer ??= after(
      this.#times.heartbeat,
      () => {
        this.#stopTimer = undefined
        for (const stream of Array.from(this.#open)) stream.beat(this.#times)
        if (this.#open.size > 0) this.#watch()
      },
      false,
    )
  }
}

const encoder = new TextEncoder()

class EventStream {
  readonly body: ReadableStream<Uint8Array>
  readonly #source: EventSource
  readonly #ended: () => void
  readonly #begun = now()
  #controller!: ReadableStreamDefaultController<Uint8Array>
  /** Resolves the pull that waits for something to send. */
  #resume: (() => void) | undefined
  #sentAt = now()
  #isOver = false

  constructor(source: EventSource, ended: () => void) {
    this.#source = source
    this.#ended = ended
    this.body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller
        },
        pull: () => this.#pull(),
        cancel: () => this.end(),
      },
      { highWaterMark: 1 },
    )
    source.start(() => this.#send())
  }

  /** Ends the stream. The client may reconnect. What it has not read is dropped, so that it cannot keep the connection open. */
  end(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#source.close()
    this.#ended()
    try {
      if (this.#controller.desiredSize === 1) this.#controller.close()
      else this.#controller.error(new Error('the client does not read'))
    } catch {
      // The client has closed it already.
    }
    this.#resume?.()
  }

  beat({ stalled, longest }: StreamTimes): void {
    if (now() - this.#begun >= longest) this.end()
    else if (this.#resume) this.#write(HEARTBEAT)
    else if (now() - this.#sentAt >= stalled) this.end()
  }

  #pull(): Promise<void> | undefined {
    if (this.#isOver) return undefined
    const pulled = new Promise<void>((resolve) => {
      this.#resume = resolve
    })
    this.#send()
    return pulled
  }

  /** Sends what there is, if the client waits for it. */
  #send(): void {
    if (!this.#resume) return
    const text = this.#source.take()
    if (text === undefined) this.end()
    else if (text !== '') this.#write(text)
  }

  #write(text: string): void {
    const resume = this.#resume
    this.#resume = undefined
    this.#sentAt = now()
    this.#controller.enqueue(encoder.encode(text))
    resume?.()
  }
}
