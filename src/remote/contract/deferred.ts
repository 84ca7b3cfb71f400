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
