/**
 * A stand-in for `node:worker_threads` in a browser, over its own workers: as much of it as the universal tests use. What a
 * worker is given as `workerData` comes to it as the first message.
 */
type Told = (value: never) => void
type Kind = 'message' | 'error'

interface Scope {
  postMessage(message: unknown): void
  addEventListener(type: 'message', listener: (event: { readonly data: unknown }) => void): void
}

interface Options {
  readonly workerData?: unknown
}

export class Worker {
  readonly #worker: globalThis.Worker

  constructor(file: URL, options: Options = {}) {
    const { workerData, ...unknown } = options
    if (Object.keys(unknown).length > 0)
      throw new TypeError(`no option of workers is called ${Object.keys(unknown)} here`)
    this.#worker = new globalThis.Worker(file, { type: 'module' })
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    this.#worker.postMessage(workerData)
  }

  on(kind: Kind, told: Told): this {
    if (kind === 'message') this.#worker.addEventListener(kind, ({ data }) => told(data as never))
    else this.#worker.addEventListener(kind, (event) => told(new Error(event.message) as never))
    return this
  }

  postMessage(message: unknown): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    this.#worker.postMessage(message)
  }

  /** A page does not wait for its workers anyway. */
  unref(): void {}

  async terminate(): Promise<void> {
    this.#worker.terminate()
  }
}

class ParentPort {
  readonly #scope = globalThis as unknown as Scope
  /** What has come before anybody listens, the first of it being `workerData`. */
  readonly #early: unknown[] = []
  #told: ((message: unknown) => void) | undefined

  /** From now on nothing is missed. Resolves with the first message. */
  open(): Promise<unknown> {
    return new Promise((resolve) => {
      let isFirst = true
      this.#scope.addEventListener('message', ({ data }) => {
        if (isFirst) resolve(data)
        else if (this.#told) this.#told(data)
        else this.#early.push(data)
        isFirst = false
      })
    })
  }

  on(kind: 'message', told: (message: unknown) => void): void {
    if (kind !== 'message' || this.#told) throw new TypeError('one listener, for messages, is all there is here')
    this.#told = told
    for (const message of this.#early.splice(0)) told(message)
  }

  postMessage(message: unknown): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    this.#scope.postMessage(message)
  }
}

const isPage = 'document' in globalThis
export const parentPort = isPage ? null : new ParentPort()
export const workerData: unknown = await parentPort?.open()
