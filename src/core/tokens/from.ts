import { wrongType } from '../arguments.js'
import type { Form } from '../describe.js'
import { own } from '../graph.js'
import { type CancellationToken, DefaultToken, isToken, type TokenOrSignal, SimpleToken, toToken } from '../token.js'

/** A token that is cancelled with the first of the given ones: the same as summing them. */
export function anyOf(...tokens: TokenOrSignal[]): CancellationToken {
  return new SimpleToken(undefined, ...tokens)
}

/** VS Code's token, and those of the language servers. */
export interface EditorToken {
  readonly isCancellationRequested: boolean
  onCancellationRequested(listener: () => unknown): { dispose(): unknown }
}

/** What else can call something off. */
export type TokenLike =
  | TokenOrSignal
  | { readonly signal: TokenOrSignal; abort(reason?: unknown): void }
  | EditorToken
  | null
  | undefined

/**
 * A token for whatever somebody gives: one of ours as it is, an `AbortSignal` or `AbortController`, a VS Code token, a token
 * of another copy of this package; nothing becomes a `DefaultToken`. Cancelling what it gives leaves a foreign one alone.
 *
 * Memory: however many tokens derive from one foreign signal, it carries one listener of ours, and only while somebody
 * listens below.
 *
 * Errors: `TypeError` for anything else.
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
export function from(foreign: TokenLike): CancellationToken {
  if (foreign === undefined || foreign === null) return new DefaultToken()
  if (isToken(foreign)) return own(foreign)
  const token = toToken(foreign)
  if (!token) throw wrongType('foreign', 'a token, an AbortSignal or an AbortController', foreign)
  return token instanceof DefaultToken ? token : new FromToken(token)
}

/** Reads as the bridge it stands on. */
class FromToken extends SimpleToken {
  /** @internal */
  override form(): Form {
    return { call: 'from', through: true }
  }
}
