/** The token of the async context, so that calls need not pass it on. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { useAmbient } from '../../core/context.js'
import { isView } from '../../core/graph.js'
import { type CancellationToken, SimpleToken, type TokenOrSignal } from '../../core/token.js'
import { NEVER } from '../../core/tokens/constants.js'
import { wrongType } from '../../core/arguments.js'
import { type TokenLike, from } from '../../core/tokens/from.js'

const tokens = new AsyncLocalStorage<CancellationToken>()

/**
 * Returns the token of this async context. It is that of the innermost `withToken`, or of a scope, a task or a race
 * with `{ ambient: true }`. Outside of all of them it is `NEVER`.
 *
 * Timing: the context is read at the call. An operation that was begun within (timers, promises, streams) keeps the
 * token of the place where it was begun. An operation that was begun outside does not get the token. An event emitter
 * calls its listeners in the context of the caller of `emit`.
 */
export function currentToken(): CancellationToken {
  return tokens.getStore() ?? NEVER
}

/**
 * Calls `run` with `token` as the current token, for `run` and for all operations that it begins. Returns the result of
 * `run`. Does not cancel the token, and does not wait. `withToken(undefined, …)` runs without a current token.
 *
 * @param token a token, an AbortSignal or any other value that `from` accepts
 *
 * @example
 * ```ts
 * import { SimpleToken } from 'calloff'
 * import { currentToken, withToken } from 'calloff/node'
 *
 * const query = async () => currentToken().sleep(60_000) // nobody has handed it a token
 * const request = new SimpleToken({ name: 'request' })
 * const answer = withToken(request, query)
 * request.cancel('the client has left')
 * console.log(await answer.catch(String)) // → AbortError: token "request" was cancelled: the client has left
 * ```
 */
export function withToken<T>(token: TokenLike, run: () => T): T {
  if (typeof run !== 'function') throw wrongType('run', 'a function', run)
  // Not the view itself: the current token is one with all methods.
  const current = isView(token) ? new SimpleToken(token as TokenOrSignal) : (from(token) as CancellationToken)
  return tokens.run(current, run)
}

useAmbient({ current: currentToken, run: (token, what) => tokens.run(token, what) })
