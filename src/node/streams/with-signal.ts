import { after } from '../../core/clock.js'
import { isCancellation } from '../../core/errors.js'
import { promiseUnder } from '../../core/promises.js'
import { holdFor } from '../../core/remaining.js'
import type { CancellationToken } from '../../core/token.js'

/** Milliseconds that an aborted operation gets to end: streams close, buffers are written. */
const GRACE = 1_000

/**
 * Gives an operation of the platform a signal of its own, for as long as the operation runs. Listeners that the
 * platform forgets to remove from the signal are garbage together with the signal. Nothing of them is on the token.
 *
 * The result is the token's error itself, where the platform wraps it (in an `AbortError`, or an `AggregateError` of
 * several) or drops it. An error that is no cancellation is passed on unchanged, even if the operation was cancelled.
 *
 * Rejects with the errors that `tokenOf` throws. A rejection with the token's error is handled from the start.
 *
 * A deadline ends the operation even if nothing else keeps the process alive. An operation that has not ended a second
 * after it was aborted (a stream that never closes, a sink that never answers) is not waited for any longer.
 */
export function lendSignal<T>(
  tokenOf: () => CancellationToken,
  operation: (signal: AbortSignal, token: CancellationToken) => PromiseLike<T>,
): Promise<T> {
  return promiseUnder(undefined, (resolve, reject, rejectCancelled) => {
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
      if (token.error && isCancellation(error, token)) rejectCancelled(token.error)
      else reject(error)
    }
    const begin = async () => operation(controller.signal, token)
    begin().then(ended, failed)
  })
}
