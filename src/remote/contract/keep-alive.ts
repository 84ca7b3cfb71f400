import { keepAlive } from '../../core/clock.js'

/** The owners of pending promises. */
const owners = new Set<{ readonly owner: object }>()

/**
 * Until the promise settles, the process lives, and so does its owner: if that were garbage, the promise would never settle. A rejection is
 * not reported as unhandled where the caller does not await it.
 */
export function keepOwnerAlive(promise: Promise<void>, owner: object): Promise<void> {
  const letGo = keepAlive()
  const entry = { owner }
  owners.add(entry)
  const kept = promise.finally(() => {
    letGo()
    owners.delete(entry)
  })
  kept.catch(() => {})
  return kept
}

/** The process lives until the promise that `what` returns has settled. */
export async function keepProcessAlive<T>(what: () => Promise<T>): Promise<T> {
  const letGo = keepAlive()
  try {
    return await what()
  } finally {
    letGo()
  }
}
