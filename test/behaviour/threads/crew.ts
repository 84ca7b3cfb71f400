/** A worker for the tests of threads. */
import assert from 'node:assert/strict'
import { Worker } from 'node:worker_threads'
import type { Numbered, Order, Said, Seen } from './worker.child.js'

export class Crew {
  readonly #worker = new Worker(new URL('worker.child.js', import.meta.url))
  #number = 0
  /** What was said of the last order. */
  readonly #said: Said[] = []
  #wake: (() => void) | undefined

  constructor() {
    this.#worker.on('message', ({ number, said }: { number: number; said: Said }) => {
      // A test that has failed may have left an earlier job to itself: what comes of that is no answer to the next test.
      if (number !== this.#number) return
      this.#said.push(said)
      this.#wake?.()
    })
  }

  async #next(): Promise<Said> {
    while (this.#said.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    return this.#said.shift()!
  }

  /** Gives a job that begins at once and ends at some time. Who gives the next one no longer hears of it. */
  order(order: Order): void {
    this.#said.length = 0
    const numbered: Numbered = { ...order, number: ++this.#number }
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    this.#worker.postMessage(numbered)
  }

  /** Gives a job, and waits until it has begun. */
  async start(order: Order): Promise<void> {
    this.order(order)
    assert.deepEqual(await this.#next(), { begun: true })
  }

  /** What the job has come to. */
  async result(): Promise<unknown> {
    const said = await this.#next()
    assert.ok('result' in said, JSON.stringify(said))
    return said.result
  }

  async seen(): Promise<Seen> {
    return (await this.result()) as Seen
  }

  async dismiss(): Promise<void> {
    await this.#worker.terminate()
  }
}
