import { keepAlive } from '../core/clock.js'
import { isCancellation } from '../core/errors.js'
import type { CancellationToken } from '../core/token.js'

/**
 * Lends an operation of the platform a signal of its own, for as long as it takes. What the platform forgets to take off the
 * signal, or holds on to, goes with it; nothing of it is on the token.
 *
 * What comes out is the token's error itself, where the platform wraps it (`AbortError`, an `AggregateError` of several) or
 * drops it. An error that is no cancellation comes out as it is, also of an operation that was called off.
 *
 * A deadline ends it even if nothing else keeps the process alive.
 */
export async function lendSignal<T>(
  token: CancellationToken,
  operation: (signal: AbortSignal) => PromiseLike<T>,
): Promise<T> {
  const controller = new AbortController()
  token.isCancelled({ direct: false })
  const registration = token.onCancel((error) => controller.abort(error))
  const letGo = token.rules ? keepAlive() : undefined
  try {
    return await operation(controller.signal)
  } catch (error) {
    throw token.error && isCancellation(error, token) ? token.error : error
  } finally {
    registration.stop()
    letGo?.()
  }
}
