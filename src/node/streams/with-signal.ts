import { after } from '../../core/clock.js'
import { isCancellation } from '../../core/errors.js'
import { promiseUnder } from '../../core/promises.js'
import { holdFor } from '../../core/remaining.js'
import type { CancellationToken } from '../../core/token.js'

/** Milliseconds that an operation gets to end once it was aborted: streams close, buffers are written. */
const GRACE = 1_000

/**
 * Lends an operation of the platform a signal of its own, for as long as it takes. What the platform forgets to take off the
 * signal, or holds on to, goes with it; nothing of it is on the token.
 *
 * What comes out is the token's error itself, where the platform wraps it (`AbortError`, an `AggregateError` of several) or
 * drops it. An error that is no cancellation comes out as it is, also of an operation that was cancelled.
 *
 * It rejects with what `tokenOf` throws. A rejection with the token's error is handled from birth.
 *
 * A deadline ends it even if nothing else keeps the process alive. An operation that has not ended a second after it was
 * aborted (a stream that never closes, a sink that never answers) is waited for no longer.
 */
export function lendSignal<T>(
  tokenOf: () => CancellationToken,
  operation: (signal: AbortSignal, token: CancellationToken) => PromiseLike<T>,
): Promise<T> {
  return promiseUnder(undefined, (resolve, reject, callOff) => {
    const token = tokenOf()
    const controller = new AbortController()
    token.isCancelled({ direct: false })
    let stopTimer: (() => void) | undefined
    const registration = token.onCancel((error) => {
      stopTimer = after(GRACE, () => failed(error), true)
      controller.abort(error)
    })
    const letGo = holdFor(token)
    const rest = () => {
      registration.stop()
      letGo?.()
      stopTimer?.()
    }
    const ended = (value: T) => {
      rest()
      resolve(value)
    }
    const failed = (error: unknown) => {
      rest()
      if (token.error && isCancellation(error, token)) callOff(token.error)
      else reject(error)
    }
    const begin = async () => operation(controller.signal, token)
    begin().then(ended, failed)
  })
}
