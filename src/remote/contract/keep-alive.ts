import { keepAlive } from '../../core/clock.js'

/** What somebody awaits something of. */
const awaited = new Set<{ readonly owner: object }>()

/**
 * While it is pending the process lives, and so does its owner, which is garbage otherwise if nobody keeps it: then nobody would
 * ever settle it. Who asked for it and does not wait misses nothing by a rejection.
 */
export function held(promise: Promise<void>, owner: object): Promise<void> {
  const letGo = keepAlive()
  const place = { owner }
  awaited.add(place)
  const mine = promise.finally(() => {
    letGo()
    awaited.delete(place)
  })
  mine.catch(() => {})
  return mine
}

/** The process lives until it is settled. */
export async function alive<T>(what: () => Promise<T>): Promise<T> {
  const letGo = keepAlive()
  try {
    return await what()
  } finally {
    letGo()
  }
}
