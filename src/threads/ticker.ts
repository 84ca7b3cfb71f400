/**
 * A thread that counts milliseconds in shared memory, so that a poll of a deadline reads a word instead of the clock.
 *
 * How the polls use it, and why a ticker that gets no processor does no harm, stands in core/clock.ts.
 */
import { type NamesOf, nonNegative, optionsOf } from '../core/arguments.js'
import { keepAlive, ticks, useTicks } from '../core/clock.js'

/** How the ticker ticks. */
export interface TickerOptions {
  /** Milliseconds between two ticks, more than 0. Default: 1. */
  readonly resolution?: number | undefined
}

const TICKER_OPTIONS: NamesOf<TickerOptions> = ['resolution']

/** A running ticker. */
export interface Ticker extends Disposable {
  /** Whether there is one: without shared memory, or where no thread can be started, the clock is read as ever. */
  readonly isRunning: boolean
  /** Resolves with the first tick, and keeps the process alive until then. In a browser a thread starts only when the page yields: await it before a long loop. */
  readonly ready: Promise<void>
  /** Ends the thread, unless somebody else of this thread has started a ticker too. The same as its dispose. */
  stop(): void
}

// The thread's whole program, as text, so that no bundler has to find a file for it.
// It goes on from where another has stopped, so that time never jumps back.
const PROGRAM = `function tick({ ticks, stop, resolution }, tell) {
  const start = performance.now() - Atomics.load(ticks, 0)
  for (let told = false; Atomics.wait(stop, 0, 0, resolution) === 'timed-out'; told = true) {
    Atomics.store(ticks, 0, (performance.now() - start + 1) | 0)
    if (!told) tell()
  }
}`
const IN_NODE = `${PROGRAM}
const { parentPort, workerData } = require('node:worker_threads')
tick(workerData, () => parentPort.postMessage(0))`
const ON_THE_WEB = `${PROGRAM}
onmessage = ({ data }) => { tick(data, () => postMessage(0)); close() }`

interface Order {
  /** Counted up: milliseconds. */
  readonly ticks: Int32Array
  /** Whether to stop. */
  readonly stop: Int32Array
  readonly resolution: number
}

interface NodeWorker {
  on(event: 'message' | 'error', listener: () => void): void
  unref(): void
}

interface Host {
  readonly process?: {
    getBuiltinModule?(name: 'node:worker_threads'): {
      readonly Worker: new (program: string, options: object) => NodeWorker
    }
  }
  readonly Worker?: typeof Worker
}

/** Starts the thread. Throws where none can be started. */
function launch(order: Order, tell: () => void): void {
  const host = globalThis as Host
  const threads = host.process?.getBuiltinModule?.('node:worker_threads')
  if (threads) {
    const worker = new threads.Worker(IN_NODE, { eval: true, workerData: order, stdout: false })
    worker.on('message', tell)
    worker.on('error', tell) // it dies before its first tick: the clock is read, and nobody waits for ever
    worker.unref()
    return
  }
  /* c8 ignore start -- in browsers only */
  const address = URL.createObjectURL(new Blob([ON_THE_WEB], { type: 'text/javascript' }))
  const worker = new Worker(address)
  worker.addEventListener('message', () => {
    URL.revokeObjectURL(address)
    tell()
  })
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  worker.postMessage(order)
  /* c8 ignore stop */
}

interface Running {
  readonly stop: Int32Array<SharedArrayBuffer>
  readonly ready: Promise<void>
  /** Makes it ready. */
  readonly tell: () => void
  users: number
}

let running: Running | undefined

function start(resolution: number): Running | undefined {
  if (typeof SharedArrayBuffer !== 'function') return undefined
  const stop = new Int32Array(new SharedArrayBuffer(4))
  let tell!: () => void
  let ready: Promise<void>
  try {
    ready = new Promise((resolve) => {
      tell = resolve
    })
    launch({ ticks, stop, resolution }, tell)
  } catch {
    return undefined // by a content security policy, or because this runtime has no threads
  }
  useTicks(true)
  return { stop, ready, tell, users: 0 }
}

/**
 * Makes the polls of deadlines of this thread, `TimeoutToken`s and those that shared tokens carry, read shared memory instead
 * of the clock: for loops that poll every few nanoseconds. Without it there is no such thread.
 *
 * Timing: a deadline is noticed up to a tick late; if the ticker's thread gets no processor, at the latest at the 64th poll of
 * a deadline. Never early. Before the first tick (10 to 200 ms) every 64th poll reads the clock and the others rely on it.
 *
 * Several tickers of one thread are one, with the first one's resolution. It does not keep the process alive. Where there is
 * none (`isRunning`), a loop can poll every n-th turn instead: see docs/threads.md.
 *
 * Errors: `RangeError` for a resolution that is not above 0.
 *
 * @example
 * ```ts
 * import { TimeoutToken } from 'calloff'
 * import { startTicker } from 'calloff/threads'
 *
 * using ticker = startTicker({ resolution: 1 })
 * await ticker.ready
 * const token = new TimeoutToken(20)
 * let polls = 0
 * while (token.keepOn()) polls++
 * console.log(ticker.isRunning, polls > 0, token.kind) // → true true timeout
 * ```
 */
export function startTicker(options?: TickerOptions): Ticker {
  const { resolution = 1 } = optionsOf(options, TICKER_OPTIONS)
  if (nonNegative('resolution', resolution) === 0 || resolution === Infinity) {
    throw new RangeError(`resolution must be above 0 and finite, got ${resolution}`)
  }
  const mine = (running ??= start(resolution))
  if (mine) mine.users++
  let isStopped = false
  const stop = () => {
    if (isStopped) return
    isStopped = true
    if (!mine || --mine.users > 0) return
    running = undefined
    useTicks(false)
    Atomics.store(mine.stop, 0, 1)
    Atomics.notify(mine.stop, 0)
    mine.tell() // its thread may end before its first tick
  }
  return {
    get isRunning() {
      return mine !== undefined && !isStopped
    },
    get ready() {
      return mine?.ready.then(keepAlive()) ?? Promise.resolve()
    },
    stop,
    [Symbol.dispose]: stop,
  }
}
