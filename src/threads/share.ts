import { wrongType } from '../core/arguments.js'
import { type TokenOrSignal, toToken } from '../core/token.js'
import { SharedToken, STANDS, type Standing } from './shared-token.js'

/**
 * Makes a token that other threads can see from any token: a combined token, a deadline, a condition, a process signal,
 * an `AbortSignal`. The shared token is cancelled with `token`, on every side, and says who started the cancellation
 * and why. Cancelling the shared token does not cancel `token`.
 *
 * A deadline is shared as a deadline: a busy loop of a worker sees it pass even while the thread that shared it is
 * blocked. A counter is shared too: all threads use up the same polls. A poll of the shared token polls `token`,
 * directly if the poll is direct.
 *
 * Memory: once the `handle` of the shared token has been read, `token` keeps the shared token in memory, because the
 * other holders of the handle are unknown. If `token` lives on, dispose of the shared token (`using`) when the task is
 * done.
 *
 * @example
 * ```ts
 * import { SimpleToken, TimeoutToken } from 'calloff'
 * import { share, SharedToken } from 'calloff/threads'
 *
 * const request = new SimpleToken({ name: 'request' })
 * using shared = share(request.plus(new TimeoutToken(5_000)))
 * const there = SharedToken.from(structuredClone(shared.handle)) // what a worker makes of the handle it is posted
 * console.log(there.remaining > 4_000) // → true
 * request.cancel('the client left')
 * console.log(there.cancelled, there.cancelledBy?.name, there.reason) // → true request the client left
 * ```
 */
export function share(token: TokenOrSignal): SharedToken {
  const source = toToken(token)
  if (!source) throw wrongType('token', 'a token or an AbortSignal', token)
  const options: Standing = { name: source.name, [STANDS]: true }
  return new SharedToken(options, source)
}
