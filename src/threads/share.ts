import { wrongType } from '../core/arguments.js'
import { type TokenOrSignal, toToken } from '../core/token.js'
import { SharedToken, STANDS, type Standing } from './shared-token.js'

/**
 * Makes any token one that other threads see: a sum, a deadline, a condition, a process signal, an `AbortSignal`. The shared
 * token ends with it, on every side, and tells who started it and why. Cancelling the shared one leaves `token` alone.
 *
 * A deadline is carried as one: a worker's busy loop sees it pass even while the thread that shared it is blocked. So is a counter:
 * all threads use up the same polls. To poll the shared token is to poll `token`, directly where that is a direct poll.
 *
 * Memory: from when its `handle` is read, `token` keeps it, since nobody can know who else has it. Dispose of it (`using`)
 * when the work is done, if `token` lives on.
 *
 * @example
 * ```ts
 * import { SimpleToken, TimeoutToken } from 'calloff'
 * import { share, SharedToken } from 'calloff/threads'
 *
 * const request = new SimpleToken({ name: 'request' })
 * using shared = share(request.plus(new TimeoutToken(5_000)))
 * const there = SharedToken.from(structuredClone(shared.handle)) // what a worker makes of the handle it is posted
 * console.log(Math.ceil(there.remaining / 100)) // → 50
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
