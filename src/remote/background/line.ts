/**
 * The line to the thread of a background hub. A thread that has ended without being asked to is started again, after waits that
 * double, as a lost connection is made again.
 */
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import { after, now, type SharedWord } from '../../core/clock.js'
import { closed } from '../connection.js'
import { HubError } from '../errors.js'
import { Later } from '../later.js'
import type { Settings } from '../settings.js'
import { Inbox, newBell } from './mailbox.js'
import { type Calls, errorFrom, type News, type Order, type Request } from './messages.js'

export interface LineEvents {
  news(news: News): void
  /** The thread has ended; another one is started after so many milliseconds. */
  broken(error: Error, retryIn: number): void
  /** It has been started, and knows nothing. */
  again(): void
}

/** Where to connect, and as whom. */
export type Errand = Omit<Order, 'port' | 'bell'>

interface Pending {
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: Error) => void
}

export class Line {
  readonly #order: Errand
  readonly #settings: Settings
  readonly #events: LineEvents
  readonly #calls = new Map<number, Pending>()
  #count = 0
  #worker: Worker | undefined
  #inbox: Inbox | undefined
  #failures = 0
  #stopWaiting: (() => void) | undefined
  #isClosed = false

  constructor(order: Errand, settings: Settings, events: LineEvents) {
    this.#order = order
    this.#settings = settings
    this.#events = events
  }

  /** Starts the thread, and has it connect. */
  async open(lazy: boolean): Promise<void> {
    this.#start()
    await this.call('connect', { lazy })
  }

  /** Says something; a thread that is not there is told later, see {@link LineEvents.again}. */
  say(request: Request): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    this.#worker?.postMessage({ ...request, at: now() })
  }

  /** Asks something. `take` gets the answer in the same breath as all other news: nothing that comes after it is heard before. */
  call<K extends keyof Calls, T = Calls[K]['answer']>(
    what: K,
    ask: Calls[K]['ask'],
    take: (answer: Calls[K]['answer']) => T = (answer) => answer as T,
  ): Promise<T> {
    if (this.#isClosed) return Promise.reject(closed())
    if (!this.#worker) return Promise.reject(this.#unreachable())
    const call = ++this.#count
    const later = new Later<T>()
    this.#calls.set(call, {
      resolve: (answer) => later.resolve(take(answer as Calls[K]['answer'])),
      reject: (error) => later.reject(error),
    })
    this.say({ type: 'call', call, what, ask } as Request)
    return later.promise
  }

  /** Hears what there is to hear. */
  poll(): void {
    this.#inbox?.poll()
  }

  get word(): SharedWord | undefined {
    return this.#inbox?.word
  }

  /** Resolves when the thread has ended. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#stopWaiting?.()
    const worker = this.#worker
    this.#drop(closed())
    await worker?.terminate()
  }

  #start(): void {
    const { port1, port2 } = new MessageChannel()
    const bell = newBell()
    // Without the flags of this process, which may be for its main program alone (`--input-type`).
    const worker = new Worker(new URL('./hub-thread.js', import.meta.url), { execArgv: [] })
    const inbox = new Inbox(port1, bell, (news) => this.#hear(news))
    let failure: unknown
    worker.on('message', () => inbox.wake())
    worker.on('error', (error) => (failure = error))
    worker.once('exit', () => {
      inbox.wake()
      if (this.#worker === worker) this.#broken(failure)
    })
    worker.unref() // now, for listening to it holds it
    this.#worker = worker
    this.#inbox = inbox
    const order: Order = { ...this.#order, port: port2, bell }
    try {
      worker.postMessage(order, [port2 as MessagePort & Transferable])
    } catch (cause) {
      void this.close()
      throw new TypeError('options must be plain data with `background`: they go along to another thread', { cause })
    }
  }

  #hear(news: News): void {
    if (news.type === 'event' && news.event.type === 'connected') this.#failures = 0
    if (news.type === 'ending') return this.#broken(news.error && errorFrom(news.error))
    if (news.type !== 'answer') return this.#events.news(news)
    const { call, value, error } = news
    const pending = this.#calls.get(call)
    this.#calls.delete(call)
    if (error) pending?.reject(errorFrom(error))
    else pending?.resolve(value)
  }

  #unreachable(cause?: unknown): HubError {
    return new HubError('ERR_HUB_UNREACHABLE', 'the thread of the hub has ended', { cause })
  }

  #drop(error: Error): void {
    this.#inbox?.close()
    this.#worker = this.#inbox = undefined
    for (const { reject } of this.#calls.values()) reject(error)
    this.#calls.clear()
  }

  #broken(cause: unknown): void {
    const isOpening = this.#failures === 0 && this.#count <= 1
    const error = this.#unreachable(cause)
    this.#drop(error)
    if (this.#isClosed || isOpening) return
    const { first, most } = this.#settings
    const retryIn = Math.min(most, first * 2 ** this.#failures++)
    this.#stopWaiting = after(retryIn, () => this.#restart(), false)
    this.#events.broken(error, retryIn)
  }

  #restart(): void {
    this.#start()
    // It keeps trying, and tells by events how that goes.
    this.call('connect', { lazy: true }).catch(() => {})
    this.#events.again()
  }
}
