/**
 * The line to the thread of a background hub. A thread that has ended without being asked to is started again, after waits that
 * double, as a lost connection is made again.
 */
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import { after, now, type SharedWord } from '../../core/clock.js'
import { closed } from '../client/connection.js'
import { HubError } from '../contract/errors.js'
import { Later } from '../contract/deferred.js'
import type { Settings } from '../client/options.js'
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

/** Milliseconds until a thread that has said nothing counts as another program: it has nothing to wait for. */
const FIRST_WORD = 30_000

export class Line {
  readonly #order: Errand
  readonly #settings: Settings
  readonly #program: string | URL | undefined
  readonly #events: LineEvents
  readonly #calls = new Map<number, Pending>()
  #count = 0
  #worker: Worker | undefined
  #inbox: Inbox | undefined
  #failures = 0
  /** Whether the thread that runs has said anything: see `started`. */
  #isKnown = false
  #stopWaiting: (() => void) | undefined
  #isClosed = false

  constructor(order: Errand, settings: Settings, program: string | URL | undefined, events: LineEvents) {
    this.#order = order
    this.#settings = settings
    this.#program = program
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
    const worker = this.#launch()
    const { port1, port2 } = new MessageChannel()
    const bell = newBell()
    const inbox = new Inbox(port1, bell, (news) => this.#hear(news))
    let failure: unknown
    this.#isKnown = false
    const stop = after(
      FIRST_WORD,
      () => {
        inbox.wake()
        if (this.#worker !== worker || this.#isKnown) return
        failure = new Error(`it has said nothing for ${FIRST_WORD} ms`)
        void worker.terminate()
      },
      false,
    )
    worker.on('message', () => inbox.wake())
    worker.on('error', (error) => (failure = error))
    worker.once('exit', (code) => {
      stop()
      inbox.wake()
      if (this.#worker !== worker) return
      // One that was ended before its first word is no other program.
      if (this.#isKnown || (failure === undefined && code !== 0)) this.#broken(this.#unreachable(failure))
      else this.#broken(wrongProgram(failure))
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

  #launch(): Worker {
    // Without the flags of this process, which may be for its main program alone (`--input-type`).
    if (this.#program !== undefined) return new Worker(this.#program, { execArgv: [] })
    try {
      // In just these words: webpack, Parcel and Vite make a file of it.
      return new Worker(new URL('./worker.js', import.meta.url), { execArgv: [] })
    } catch (cause) {
      throw wrongProgram(cause) // a bundle of CommonJS has no URL
    }
  }

  #hear(news: News): void {
    this.#isKnown = true
    if (news.type === 'event' && news.event.type === 'connected') this.#failures = 0
    if (news.type === 'ending') return this.#broken(this.#unreachable(news.error && errorFrom(news.error)))
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

  #broken(error: HubError): void {
    const isOpening = this.#failures === 0 && this.#count <= 1
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

/** What runs in the thread, if anything does, is not worker.ts. */
function wrongProgram(cause: unknown): HubError {
  const found = cause instanceof Error ? cause.message : 'it has ended at once'
  const todo =
    'where a bundler has left it out, bundle calloff/remote/worker as a file of its own and give its place as `worker`'
  return new HubError('ERR_HUB_WORKER', `the program of the hub's thread could not be run (${found}): ${todo}`, {
    cause,
  })
}
