import { after } from '../../core/clock.js'

/** A promise that its holder settles. A rejection that no caller awaits is not reported as unhandled. */
export class Deferred<T> {
  readonly promise: Promise<T>
  resolve!: (value: T) => void
  reject!: (error: Error) => void

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
    this.promise.catch(() => {})
  }
}

/** An event that happens once or never. Its promise is made when it is first read. */
export class Milestone {
  #outcome: true | Error | undefined
  #deferred: Deferred<void> | undefined

  get isReached(): boolean {
    return this.#outcome === true
  }

  settle(error?: Error): void {
    if (this.#outcome) return
    this.#outcome = error ?? true
    if (error) this.#deferred?.reject(error)
    else this.#deferred?.resolve()
  }

  get promise(): Promise<void> {
    if (!this.#deferred) {
      this.#deferred = new Deferred()
      if (this.#outcome === true) this.#deferred.resolve()
      else if (this.#outcome) this.#deferred.reject(this.#outcome)
    }
    return this.#deferred.promise
  }
}

/** Resolves with undefined if the promise takes longer than `ms` milliseconds. */
export async function inTime<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  const late = new Deferred<undefined>()
  const stop = after(ms, () => late.resolve(undefined), false)
  try {
    return await Promise.race([promise, late.promise])
  } finally {
    stop()
  }
}

export function pause(ms: number, hold = true): Promise<void> {
  return new Promise((resolve) => void after(ms, resolve, hold))
}

/** Calls back again and again, each time after `ms()` milliseconds. Does not keep the process alive. Returns a function that ends it. */
export function repeat(ms: () => number, callback: () => void): () => void {
  let stop: () => void
  const wait = () => {
    stop = after(
      ms(),
      () => {
        wait()
        callback()
      },
      false,
    )
  }
  wait()
  return () => stop()
}
