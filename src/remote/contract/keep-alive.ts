import { keepAlive } from '../../core/clock.js'

/** The owners of pending promises. */
const owners = new Set<{ readonly owner: object }>()

/**
 * Keeps the process and the owner of a promise alive until the promise settles. If the owner were garbage, the promise would never settle.
 * A rejection that no caller awaits is not reported as unhandled.
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

/** Keeps the process alive until the promise that `what` returns has settled. */
export async function keepProcessAlive<T>(what: () => Promise<T>): Promise<T> {
  const letGo = keepAlive()
  try {
    return await what()
  } finally {
    letGo()
  }
}
