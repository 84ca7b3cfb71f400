/**
 * A thread that counts milliseconds in shared memory, so that a poll of a deadline reads a word instead of the clock.
 *
 * core/clock.ts explains how polls use it, and why a ticker without processor time does no harm.
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
  /**
   * Whether the ticker runs. Without shared memory, or if no thread can be started, it does not run, and polls read the
   * clock.
   */
  readonly isRunning: boolean
  /**
   * Resolves with the first tick, and keeps the process alive until then. In a browser a thread starts only when the
   * page yields: await `ready` before a long loop.
   */
  readonly ready: Promise<void>
  /**
   * Ends the thread, unless other callers in this thread have started a ticker too. Disposing of the ticker does the
   * same.
   */
  stop(): void
}

// The whole program of the thread, as text, so that no bundler must find a file for it. It continues from the last tick
// of an earlier ticker, so that time never jumps back.
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
  /** The ticks: milliseconds, counted up. */
  readonly ticks: Int32Array
  /** Not 0 when the thread must stop. */
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

/** Starts the thread. Throws if the runtime cannot start one. */
function launch(order: Order, tell: () => void): void {
  const host = globalThis as Host
  const threads = host.process?.getBuiltinModule?.('node:worker_threads')
  if (threads) {
    const worker = new threads.Worker(IN_NODE, { eval: true, workerData: order, stdout: false })
    worker.on('message', tell)
    worker.on('error', tell) // it may die before its first tick: then the clock is read, and `ready` still resolves
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
  /** Resolves `ready`. */
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
    return undefined // because of a content security policy, or because this runtime has no threads
  }
  useTicks(true)
  return { stop, ready, tell, users: 0 }
}

/**
 * Starts a ticker: from then on, polls of deadlines in this thread read shared memory instead of the clock. This
 * applies to `TimeoutToken`s and to the deadlines of shared tokens. It is for loops that poll every few nanoseconds.
 * Without this call the thread of the ticker does not exist.
 *
 * Timing: a poll notices a deadline up to one tick late. If the ticker's thread gets no processor time, at the latest
 * the 64th poll of a deadline notices it. Never early. Before the first tick (10 to 200 ms) every 64th poll reads the
 * clock, and the other polls use its result.
 *
 * Several tickers of one thread share one thread, with the resolution of the first. A ticker does not keep the process
 * alive. Where none runs (`isRunning` is false), a loop can poll every n-th turn instead: see docs/guides/threads.md.
 *
 * Errors: `RangeError` for a resolution that is not above 0, or not finite.
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
