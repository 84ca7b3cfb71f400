/** The token of the async context, so that it need not be handed through every call. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { useAmbient } from '../../core/context.js'
import type { CancellationToken } from '../../core/token.js'
import { NEVER } from '../../core/tokens/constants.js'
import { wrongType } from '../../core/arguments.js'
import { type TokenLike, from } from '../../core/tokens/from.js'

const tokens = new AsyncLocalStorage<CancellationToken>()

/**
 * The token of this async context: of the innermost `withToken`, or of a scope, a task or a race with `{ ambient: true }`;
 * `NEVER` outside of all of them.
 *
 * Timing: asked when it is called. What was begun within (timers, promises, streams) keeps the token of where it was begun;
 * what was begun outside does not get it. An event emitter calls its listeners in the context of whoever emits.
 */
export function currentToken(): CancellationToken {
  return tokens.getStore() ?? NEVER
}

/**
 * Calls `run` with `token` as the current one, for it and for all that it begins; gives what it gives. Nothing is cancelled or
 * waited for. `withToken(undefined, …)` does without a current token within.
 *
 * @param token a token, an AbortSignal or whatever `from` takes
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
  return tokens.run(from(token), run)
}

useAmbient({ current: currentToken, run: (token, what) => tokens.run(token, what) })
