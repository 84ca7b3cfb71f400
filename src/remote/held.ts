import { keepAlive } from '../core/clock.js'

/** The process lives while it is pending. Who asked for it and does not wait misses nothing by a rejection. */
export function held(promise: Promise<void>): Promise<void> {
  const mine = promise.finally(keepAlive())
  mine.catch(() => {})
  return mine
}
