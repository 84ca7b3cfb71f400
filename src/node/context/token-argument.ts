import { constants } from 'node:os'
import { optional, wrongType } from '../../core/arguments.js'
import { type CancellationToken, toToken } from '../../core/token.js'
import { NEVER } from '../../core/tokens/constants.js'
import type { TokenLike } from '../../core/tokens/from.js'

/** A token for what a caller has given as `token`: nothing is nobody who could cancel. */
export function tokenArgument(token: TokenLike, argument = 'token'): CancellationToken {
  if (token === undefined || token === null) return NEVER
  const found = toToken(token)
  if (!found) throw wrongType(argument, 'a token, an AbortSignal or an AbortController', token)
  return found
}

/** For functions that stand for one of the platform's, which takes a signal. */
export const TOKEN_FOR_SIGNAL: Readonly<Record<string, string>> = { signal: 'give the signal as "token"' }

/** The name of a process signal, or absent. */
export function signalArgument(argument: string, signal: unknown): NodeJS.Signals | undefined {
  const name = optional(argument, 'string', signal as string | undefined)
  if (name !== undefined && !(name in constants.signals)) {
    throw new TypeError(`${argument} must be the name of a process signal, got ${JSON.stringify(name)}`)
  }
  return name as NodeJS.Signals | undefined
}

/** One or several. */
export function signalsArgument(argument: string, signals: unknown): readonly NodeJS.Signals[] | undefined {
  if (Array.isArray(signals)) return signals.map((one) => signalArgument(argument, one ?? null) as NodeJS.Signals)
  const one = signalArgument(argument, signals)
  return one && [one]
}
