import { wrongType } from '../core/arguments.js'
import { type CancellationToken, toToken } from '../core/token.js'
import { NEVER } from '../core/tokens/constants.js'
import type { Foreign } from '../core/tokens/from.js'

/** A token for what a caller has given as `token`: nothing is nobody who could cancel. */
export function tokenArgument(token: Foreign): CancellationToken {
  if (token === undefined || token === null) return NEVER
  const found = toToken(token)
  if (!found) throw wrongType('token', 'a token, an AbortSignal or an AbortController', token)
  return found
}
