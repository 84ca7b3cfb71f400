/**
 * The connection of a background hub to its worker. A worker that ends unexpectedly is started again, after waits that double, in the same
 * way as a lost connection to a server is restored.
 */
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import { waitAfter } from '../../core/backoff.js'
import { after, now, type SharedWord } from '../../core/clock.js'
import { closed, HubError } from '../contract/errors.js'
import { Deferred } from '../contract/deferred.js'
import type { Settings } from '../client/options.js'
import { MailboxReceiver, newBell } from './mailbox.js'
import { type Calls, restoreError, type WorkerEvent, type WorkerRequest, type WorkerStart } from './messages.js'

export interface WorkerConnectionEvents {
  event(event: WorkerEvent): void
  /** The worker has ended. Another one is started after `retryIn` milliseconds. */
  lost(error: Error, retryIn: number): void
  /** A new worker was started. It has no state yet. */
  restarted(): void
}

/** The server and the session of the worker. */
export type WorkerTarget = Omit<WorkerStart, 'port' | 'bell'>

interface Pending {
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: Error) => void
}

/** Milliseconds until a worker without a first event counts as another program. The right program sends it without waiting. */
const FIRST_EVENT = 30_000

export class WorkerConnection {
  readonly #target: WorkerTarget
  readonly #settings: Settings
  readonly #program: string | URL | undefined
  readonly #events: WorkerConnectionEvents
  readonly #calls = new Map<number, Pending>()
  #count = 0
  #worker: Worker | undefined
  #mailbox: MailboxReceiver | undefined
  #failures = 0
  /** Whether the present worker has sent an event: see `started`. */
  #isKnown = false
  #stopWaiting: (() => void) | undefined
  #isClosed = false

  constructor(
    target: WorkerTarget,
    settings: Settings,
    program: string | URL | undefined,
    events: WorkerConnectionEvents,
  ) {
    this.#target = target
    this.#settings = settings
    this.#program = program
    this.#events = events
  }

  /** Starts the worker and makes it connect. */
  async open(lazy: boolean): Promise<void> {
    this.#start()
    await this.call('connect', { lazy })
  }

  /** Sends a message. Returns false if there is no worker: {@link WorkerConnectionEvents.restarted} then sends the state to the next one. */
  post(request: WorkerRequest): boolean {
    if (!this.#worker) return false
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    this.#worker.postMessage({ ...request, at: now() })
    return true
  }

  /** Calls the worker. `take` is called with the answer before any later event is handled. */
  call<K extends keyof Calls, T = Calls[K]['answer']>(
    what: K,
    ask: Calls[K]['ask'],
    take: (answer: Calls[K]['answer']) => T = (answer) => answer as T,
  ): Promise<T> {
    if (this.#isClosed) return Promise.reject(closed())
    if (!this.#worker) return Promise.reject(this.#unreachable())
    const call = ++this.#count
    const deferred = new Deferred<T>()
    this.#calls.set(call, {
      resolve: (answer) => deferred.resolve(take(answer as Calls[K]['answer'])),
      reject: (error) => deferred.reject(error),
    })
    this.post({ type: 'call', call, what, ask } as WorkerRequest)
    return deferred.promise
  }

  /** Handles the waiting events. */
  poll(): void {
    this.#mailbox?.poll()
  }

  get word(): SharedWord | undefined {
    return this.#mailbox?.word
  }

  /** Resolves when the worker has ended. */
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
    const mailbox = new MailboxReceiver(port1, bell, (event) => this.#hear(event))
    let failure: unknown
    this.#isKnown = false
    const stop = after(
      FIRST_EVENT,
      () => {
        mailbox.wake()
        if (this.#worker !== worker || this.#isKnown) return
        failure = new Error(`it was silent for ${FIRST_EVENT} ms`)
        void worker.terminate()
      },
      false,
    )
    worker.on('message', () => mailbox.wake())
    worker.on('error', (error) => (failure = error))
    worker.once('exit', (code) => {
      stop()
      mailbox.wake()
      if (this.#worker !== worker) return
      // A worker that was ended before its first event is not another program.
      if (this.#isKnown || (failure === undefined && code !== 0)) this.#lost(this.#unreachable(failure))
      else this.#lost(wrongProgram(failure))
    })
    worker.unref() // must come after `on`, which keeps the process alive
    this.#worker = worker
    this.#mailbox = mailbox
    const start: WorkerStart = { ...this.#target, port: port2, bell }
    try {
      worker.postMessage(start, [port2 as MessagePort & Transferable])
    } catch (cause) {
      void this.close()
      throw new TypeError('options must be plain data with `background`, because they are sent to another thread', {
        cause,
      })
    }
  }

  #launch(): Worker {
    // Without the flags of this process, which may apply to its main program only (`--input-type`).
    if (this.#program !== undefined) return new Worker(this.#program, { execArgv: [] })
    try {
      // Keep this exact form: webpack, Parcel and Vite recognise it and emit a file.
      return new Worker(new URL('./worker.js', import.meta.url), { execArgv: [] })
    } catch (cause) {
      throw wrongProgram(cause) // a bundle of CommonJS has no URL
    }
  }

  #hear(event: WorkerEvent): void {
    this.#isKnown = true
    if (event.type === 'event' && event.event.type === 'connected') this.#failures = 0
    if (event.type === 'ending') return this.#lost(this.#unreachable(event.error && restoreError(event.error)))
    if (event.type !== 'answer') return this.#events.event(event)
    const { call, value, error } = event
    const pending = this.#calls.get(call)
    this.#calls.delete(call)
    if (error) pending?.reject(restoreError(error))
    else pending?.resolve(value)
  }

  #unreachable(cause?: unknown): HubError {
    return new HubError('ERR_HUB_UNREACHABLE', 'the background thread of the hub has ended', { cause })
  }

  #drop(error: Error): void {
    this.#mailbox?.close()
    this.#worker = this.#mailbox = undefined
    for (const { reject } of this.#calls.values()) reject(error)
    this.#calls.clear()
  }

  #lost(error: HubError): void {
    const isOpening = this.#failures === 0 && this.#count <= 1
    this.#drop(error)
    if (this.#isClosed || isOpening) return
    const { first, most } = this.#settings
    const retryIn = waitAfter(this.#failures++, first, most, 2, Math.random())
    this.#stopWaiting = after(retryIn, () => this.#restart(), false)
    this.#events.lost(error, retryIn)
  }

  #restart(): void {
    this.#start()
    // The worker keeps trying and reports its progress by events.
    this.call('connect', { lazy: true }).catch(() => {})
    this.#events.restarted()
  }
}

/** The thread does not run worker.ts. */
function wrongProgram(cause: unknown): HubError {
  const found = cause instanceof Error ? cause.message : 'it ended at once'
  const todo = 'if a bundler left it out, bundle calloff/remote/worker as a separate file and pass its path as `worker`'
  return new HubError('ERR_HUB_WORKER', `the program of the background thread could not be run (${found}): ${todo}`, {
    cause,
  })
}
