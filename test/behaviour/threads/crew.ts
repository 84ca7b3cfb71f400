/** A worker for the tests of threads. */
import assert from 'node:assert/strict'
import { Worker } from 'node:worker_threads'
import type { Order, Seen } from './worker.child.js'

type Message = 'begun' | { readonly result: unknown } | { readonly failed: string }

export class Crew {
  readonly #worker = new Worker(new URL('worker.child.js', import.meta.url))
  readonly #messages: Message[] = []
  #wake: (() => void) | undefined

  constructor() {
    this.#worker.on('message', (message: Message) => {
      this.#messages.push(message)
      this.#wake?.()
    })
  }

  async #next(): Promise<Message> {
    while (this.#messages.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    return this.#messages.shift()!
  }

  /** Gives a job that begins at once and ends at some time. */
  order(order: Order): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    this.#worker.postMessage(order)
  }

  /** Gives a job, and waits until it has begun. */
  async start(order: Order): Promise<void> {
    this.order(order)
    assert.equal(await this.#next(), 'begun')
  }

  /** What the job has come to. */
  async result(): Promise<unknown> {
    const message = await this.#next()
    assert.ok(typeof message === 'object')
    assert.ok('result' in message, JSON.stringify(message))
    return message.result
  }

  async seen(): Promise<Seen> {
    return (await this.result()) as Seen
  }

  async dismiss(): Promise<void> {
    await this.#worker.terminate()
  }
}
