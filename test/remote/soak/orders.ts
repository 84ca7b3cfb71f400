/** How the processes of the soak are told what to do, and tell what they weigh. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import process from 'node:process'
import { fileURLToPath } from 'node:url'

export interface Footprint {
  /** Bytes that are in use after a full collection: of the heap, and of buffers beside it. */
  readonly bytes: number
  readonly rss: number
  /** Whatever keeps a process going: sockets, timers and the like. */
  readonly handles: number
}

export function footprint(): Footprint {
  for (let i = 0; i < 2; i++) (globalThis as unknown as { gc(): void }).gc()
  const { heapUsed, external, rss } = process.memoryUsage()
  return { bytes: heapUsed + external, rss, handles: process.getActiveResourcesInfo().length }
}

type Orders = Readonly<Record<string, () => unknown>>

/** In a child: does what it is told. After `end` nothing but its own handles keeps it alive. */
export function obey(orders: Orders): void {
  const work = async (id: number, what: string): Promise<void> => {
    try {
      const answer = await orders[what]?.()
      process.send?.({ id, answer })
    } catch (error) {
      process.send?.({ id, error: String((error as Error).stack) })
    }
    if (what === 'end') process.disconnect()
  }
  process.on('message', (message) => {
    const { id, what } = message as { id: number; what: string }
    void work(id, what)
  })
}

/** A child that does as it is told. */
export class Helper {
  readonly #child: ChildProcess
  readonly #exited: Promise<unknown[]>
  readonly #waiting = new Map<number, { resolve: (answer: never) => void; reject: (error: Error) => void }>()
  #ids = 0

  constructor(file: string, ...given: string[]) {
    const { NODE_TEST_CONTEXT: _context, NODE_OPTIONS: _options, ...env } = process.env
    this.#child = fork(file.startsWith('/') ? file : fileURLToPath(new URL(file, import.meta.url)), given, {
      execArgv: ['--expose-gc'],
      env,
    })
    this.#exited = once(this.#child, 'exit')
    this.#child.on('message', (message) => {
      const { id, answer, error } = message as { id: number; answer?: unknown; error?: string }
      const waiting = this.#waiting.get(id)
      this.#waiting.delete(id)
      if (error === undefined) waiting?.resolve(answer as never)
      else waiting?.reject(new Error(error))
    })
    this.#child.on('exit', (code, signal) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`${file} has ended: ${code ?? signal}`))
    })
  }

  ask<T>(what: string): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting.set(++this.#ids, { resolve, reject })
      this.#child.send({ id: this.#ids, what })
    })
  }

  /** How it ends by itself, once it was told to; killed after so many milliseconds. */
  async exited(within: number): Promise<unknown> {
    const late = setTimeout(() => this.kill(), within)
    const [code, signal] = await this.#exited
    clearTimeout(late)
    return code ?? signal
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }
}
