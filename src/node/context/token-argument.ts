import { constants } from 'node:os'
import { optional, wrongType } from '../../core/arguments.js'
import { type CancellationToken, toToken } from '../../core/token.js'
import { NEVER } from '../../core/tokens/constants.js'
import type { TokenLike } from '../../core/tokens/from.js'

/** Returns the token for the argument `token`. An absent argument gives a token that is never cancelled. */
export function tokenArgument(token: TokenLike, argument = 'token'): CancellationToken {
  if (token === undefined || token === null) return NEVER
  const found = toToken(token)
  if (!found) throw wrongType(argument, 'a token, an AbortSignal or an AbortController', token)
  return found
}

/** The hint for functions that replace a function of the platform, which takes a signal. */
export const TOKEN_FOR_SIGNAL: Readonly<Record<string, string>> = { signal: 'give the signal as "token"' }

/** Checks the name of a process signal. Returns undefined if it is absent. */
export function signalArgument(argument: string, signal: unknown): NodeJS.Signals | undefined {
  const name = optional(argument, 'string', signal as string | undefined)
  if (name !== undefined && !(name in constants.signals)) {
    throw new TypeError(`${argument} must be the name of a process signal, got ${JSON.stringify(name)}`)
  }
  return name as NodeJS.Signals | undefined
}

/** Checks one or several names of process signals. */
export function signalsArgument(argument: string, signals: unknown): readonly NodeJS.Signals[] | undefined {
  if (Array.isArray(signals)) return signals.map((one) => signalArgument(argument, one ?? null) as NodeJS.Signals)
  const one = signalArgument(argument, signals)
  return one && [one]
}
