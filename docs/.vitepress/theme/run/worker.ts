/** Runs one program. It ends as it would in Node: when its code is through and no timer is left that holds it. */
import { format, inspect } from 'node-inspect-extracted'
import type { Said } from './program.js'

const say = (said: Said): void => postMessage(said)
const { setTimeout: realSet, clearTimeout: realClear, setInterval: realRepeat, clearInterval: realEnd } = globalThis

for (const method of ['log', 'info', 'debug', 'warn', 'error'] as const) {
  console[method] = (...values: unknown[]) => say({ print: format(...values) })
}

// ---- Timers, as Node has them: objects that can let go of the program

const holding = new Set<Timer>()

class Timer {
  readonly id: number

  constructor(set: typeof realSet, callback: () => void, ms: number) {
    this.id = set(callback, ms)
    holding.add(this)
  }

  unref(): this {
    holding.delete(this)
    endIfIdle()
    return this
  }

  ref(): this {
    holding.add(this)
    return this
  }
}

type Callback = (...args: unknown[]) => void

const timers = {
  setTimeout(callback: Callback, ms = 0, ...args: unknown[]): Timer {
    const timer: Timer = new Timer(realSet, () => attempt(() => callback(...args), timer), ms)
    return timer
  },
  setInterval: (callback: Callback, ms = 0, ...args: unknown[]): Timer =>
    new Timer(realRepeat as typeof realSet, () => attempt(() => callback(...args)), ms),
  clearTimeout: clear,
  clearInterval: clear,
}

function clear(timer?: Timer): void {
  if (timer === undefined) return
  realClear(timer.id)
  realEnd(timer.id)
  timer.unref()
}

function attempt(work: () => void, timer?: Timer): void {
  try {
    work()
  } catch (error) {
    fail(error)
  } finally {
    timer?.unref()
  }
}

// ---- The end

let isThrough = false

/** What is left of promises is let through first. */
function endIfIdle(): void {
  if (isThrough && holding.size === 0) realSet(() => holding.size === 0 && say({ end: 'ended' }), 0)
}

function fail(error: unknown): void {
  say({ print: `Uncaught ${error instanceof Error ? String(error) : inspect(error)}` })
  say({ end: 'failed' })
}

addEventListener('unhandledrejection', (event) => fail(event.reason))

addEventListener('message', ({ data }: MessageEvent<string>) => void run(data))

async function run(body: string): Promise<void> {
  try {
    Object.assign(globalThis, timers)
    // After the timers: the package reads some of them when it is loaded.
    const calloff = await import('calloff')
    await new AsyncFunction('calloff', body)(calloff)
    isThrough = true
    endIfIdle()
  } catch (error) {
    fail(error)
  }
}

const AsyncFunction = (async () => {}).constructor as new (
  ...names: string[]
) => (...values: unknown[]) => Promise<void>
