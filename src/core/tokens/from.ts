import { wrongType } from '../arguments.js'
import type { Form } from '../describe.js'
import { isView, own } from '../graph.js'
import {
  type CancellationToken,
  DefaultToken,
  type ForeignSignal,
  isToken,
  type TokenOrSignal,
  SimpleToken,
  toToken,
} from '../token.js'
import type { TokenView } from '../view.js'

/** Returns a combined token. It is cancelled with the first of the given tokens, as with `plus`. */
export function anyOf(...tokens: TokenOrSignal[]): CancellationToken {
  return new SimpleToken(undefined, ...tokens)
}

/** The token of VS Code and of the language servers. */
export interface EditorToken {
  readonly isCancellationRequested: boolean
  onCancellationRequested(listener: () => unknown): { dispose(): unknown }
}

/** Everything that `from` takes. */
export type TokenLike =
  | TokenOrSignal
  | { readonly signal: TokenOrSignal; abort(reason?: unknown): void }
  | EditorToken
  | null
  | undefined

/**
 * Returns a token for what the caller has. A token of this package is returned as it is, and so is a view. An `AbortSignal`, an
 * `AbortController`, a VS Code token and a token of another copy of this package become a token. `null` and `undefined`
 * become a `DefaultToken`. To cancel the returned token leaves a foreign one alone.
 *
 * Memory: however many tokens derive from one foreign signal, the signal carries one listener of calloff. It carries
 * that listener only while one of these tokens has a listener.
 *
 * Errors: throws `TypeError` for any other value.
 *
 * @example
 * ```ts
 * import { from } from 'calloff'
 *
 * function search(options: { signal?: AbortSignal } = {}) {
 *   const token = from(options.signal)
 *   return token.keepOn() ? 'searching' : `cancelled: ${String(token.reason)}`
 * }
 * console.log(search(), search({ signal: AbortSignal.abort('too late') })) // → searching cancelled: too late
 * ```
 */
export function from(foreign: CancellationToken | ForeignSignal | Exclude<TokenLike, TokenOrSignal>): CancellationToken
/** The same, where the caller may have a view: then the result is one. */
export function from(foreign: TokenLike): TokenView
export function from(foreign: TokenLike): CancellationToken {
  if (foreign === undefined || foreign === null) return new DefaultToken()
  if (isToken(foreign)) return isView(foreign) ? foreign : own(foreign)
  const token = toToken(foreign)
  if (!token) throw wrongType('foreign', 'a token, an AbortSignal or an AbortController', foreign)
  return token instanceof DefaultToken ? token : new FromToken(token)
}

/** Returns the parent that a `token` argument stands for. Undefined if the token is absent, or is never cancelled. */
export function parentOf(token: TokenLike): CancellationToken | undefined {
  if (token === undefined || token === null) return undefined
  const parent = toToken(token)
  if (!parent) throw wrongType('token', 'a token, an AbortSignal or an AbortController', token)
  return parent instanceof DefaultToken ? undefined : parent
}

/** Its text is that of the bridge that it derives from. */
class FromToken extends SimpleToken {
  /** @internal */
  override form(): Form {
    return { call: 'from', through: true }
  }
}
