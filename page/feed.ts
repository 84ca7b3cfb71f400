/** The stream of changes. It reconnects after every loss, and continues where it was. */
import { Refusal, type Server } from './server.js'

export interface StreamEvent {
  readonly event: string
  readonly data: string
  readonly id: string | undefined
}

export type Connection =
  | { readonly state: 'connecting' }
  | { readonly state: 'connected' }
  /** `again`: when the next attempt begins, as `Date.now()`. */
  | { readonly state: 'lost'; readonly why: string; readonly again: number }
  /** 401: the server does not know the user. 403: the user may not see the names. */
  | { readonly state: 'refused'; readonly status: number; readonly why: string }

/** After how long without a byte a stream counts as lost, in milliseconds. The server sends a comment every 15 seconds. */
const SILENCE = 40_000
/** The longest pause before another attempt to connect, in milliseconds. */
const LONGEST_PAUSE = 15_000
/** After how many milliseconds of reading events the page gets time to paint and to react to its user. */
const SLICE = 20

export class Feed {
  readonly #server: Server
  readonly #onEvent: (event: StreamEvent) => void
  readonly #onChange: () => void
  connection: Connection = { state: 'connecting' }
  #last: string | undefined
  #run = new AbortController()
  #wake: () => void = () => {}

  constructor(server: Server, onEvent: (event: StreamEvent) => void, onChange: () => void) {
    this.#server = server
    this.#onEvent = onEvent
    this.#onChange = onChange
    addEventListener('online', () => this.#wake())
    document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && this.#wake())
  }

  /** Starts, or starts again: with another token, or because the user does not want to wait. */
  start(): void {
    this.#run.abort()
    this.#run = new AbortController()
    void this.#follow(this.#run.signal)
  }

  #become(connection: Connection): void {
    this.connection = connection
    this.#onChange()
  }

  async #follow(signal: AbortSignal): Promise<void> {
    for (let failures = 0; !signal.aborted; failures++) {
      this.#become({ state: 'connecting' })
      let wait = 0
      let why = 'the server has ended the stream'
      try {
        await this.#read(signal, () => (failures = 0))
      } catch (error) {
        if (signal.aborted) return
        if (error instanceof Refusal) {
          const { status, message } = error
          if (status === 401 || status === 403) return this.#become({ state: 'refused', status, why: message })
          wait = error.retryAfter
        }
        why = error instanceof Refusal ? error.message : 'the server cannot be reached'
      }
      if (signal.aborted) return
      // The first attempt after a stream that has worked comes soon. A random part keeps the pages of a restarted server apart.
      const pause = Math.max(wait, Math.min(LONGEST_PAUSE, 250 * 2 ** failures) * (0.5 + Math.random() / 2))
      this.#become({ state: 'lost', why, again: Date.now() + pause })
      await this.#pause(pause, signal)
    }
  }

  #pause(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.#wake = resolve
      signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true })
    })
  }

  async #read(signal: AbortSignal, worked: () => void): Promise<void> {
    const own = new AbortController()
    const end = () => own.abort()
    signal.addEventListener('abort', end, { once: true })
    let silence = setTimeout(end, SILENCE)
    try {
      const headers: Record<string, string> = { accept: 'text/event-stream' }
      if (this.#last !== undefined) headers['last-event-id'] = this.#last
      const response = await this.#server.send('events', { prefix: '' }, { headers, signal: own.signal })
      if (response.body === null) throw new TypeError('no body')
      worked()
      this.#become({ state: 'connected' })
      const reader = response.body.getReader()
      const decode = decoder()
      let begin = performance.now()
      for (;;) {
        const { done, value } = await reader.read()
        if (done || signal.aborted) return
        clearTimeout(silence)
        silence = setTimeout(end, SILENCE)
        for (const event of decode(value)) {
          this.#onEvent(event)
          if (event.id !== undefined) this.#last = event.id
          if (performance.now() - begin < SLICE) continue
          await new Promise((resolve) => setTimeout(resolve))
          if (signal.aborted) return
          begin = performance.now()
        }
      }
    } finally {
      clearTimeout(silence)
      signal.removeEventListener('abort', end)
      own.abort()
    }
  }
}

/** Returns a function that takes the bytes of a stream piece by piece, and yields the events that are complete. */
export function decoder(): (bytes: Uint8Array) => Generator<StreamEvent> {
  const utf8 = new TextDecoder()
  let rest = ''
  let [event, data, id] = ['', '', undefined as string | undefined]
  return function* (bytes) {
    const text = rest + utf8.decode(bytes, { stream: true })
    const lines = text.split(/\r\n|\n|\r(?=.)/s)
    rest = lines.pop() as string
    for (const line of lines) {
      if (line === '') {
        if (event !== '' || data !== '') yield { event, data, id }
        ;[event, data, id] = ['', '', undefined]
        continue
      }
      const colon = line.indexOf(':')
      const field = colon < 0 ? line : line.slice(0, colon)
      const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
      if (field === 'event') event = value
      else if (field === 'data') data += data === '' ? value : `\n${value}`
      else if (field === 'id') id = value
    }
  }
}
