import { after } from '../../core/clock.js'

/** A promise, and what settles it. Nobody has to look at it. */
export class Later<T> {
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

/** Resolves with undefined if that takes longer than so many milliseconds. */
export async function inTime<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  const late = new Later<undefined>()
  const stop = after(ms, () => late.resolve(undefined), false)
  try {
    return await Promise.race([promise, late.promise])
  } finally {
    stop()
  }
}
