/** What else can cancel: platform signals, VS Code's tokens, tokens of another copy of this package, all seen by their shape. */
import type { CancellationError } from './errors.js'

// `Symbol.for`, so that two copies of the package recognise each other's tokens.
export const BRAND: unique symbol = Symbol.for('calloff.CancellationToken') as never

/** Something foreign that can cancel. */
export interface Foreign {
  /** The object itself; a controller's signal. */
  readonly key: object
  /** What it is called in the text of a token. */
  readonly label: string
  /** A token of another copy of the package. Without an error when it is over, it is a condition without caching. */
  readonly isToken: boolean
  /** Whether something at or above it must be polled. */
  isPolled(): boolean
  /** Whether it is over. `look`: without consuming or calling anything. */
  isOver(look: boolean): boolean
  /** What it gives as reason, once it is over. */
  reason(): unknown
  /** Calls back when it is over; gives what takes that back. */
  listen(callback: () => void): () => void
  /** Milliseconds until it ends by itself. */
  remaining(): number
}

/** The part of another copy's token that we rely on. */
interface OtherToken {
  /** Tells whether a token must be polled. */
  readonly [BRAND]?: (token: OtherToken) => boolean
  isCancelled(options: { direct: boolean }): boolean
  readonly error: CancellationError | undefined
  readonly remaining: number
  toString(): string
  onCancel(listener: () => void): { stop(): boolean }
}

interface SignalLike {
  readonly aborted: boolean
  readonly reason?: unknown
  addEventListener(type: 'abort', listener: () => void): void
  removeEventListener(type: 'abort', listener: () => void): void
}

/** VS Code's and the language servers' token. */
interface EditorToken {
  readonly isCancellationRequested: boolean
  onCancellationRequested(listener: () => void): { dispose(): void }
}

const never = () => Infinity

function ofSignal(signal: SignalLike): Foreign {
  return {
    key: signal,
    label: 'AbortSignal',
    isToken: false,
    isPolled: () => false,
    isOver: () => signal.aborted,
    reason: () => signal.reason,
    listen(callback) {
      signal.addEventListener('abort', callback)
      return () => signal.removeEventListener('abort', callback)
    },
    remaining: never,
  }
}

function ofEditor(token: EditorToken): Foreign {
  return {
    key: token,
    label: 'CancellationToken',
    isToken: false,
    isPolled: () => false,
    isOver: () => token.isCancellationRequested,
    reason: () => undefined,
    listen(callback) {
      const registration = token.onCancellationRequested(callback)
      return () => registration.dispose()
    },
    remaining: never,
  }
}

function ofOther(token: OtherToken): Foreign {
  return {
    key: token,
    label: String(token),
    isToken: true,
    isPolled: () => typeof token[BRAND] === 'function' && token[BRAND](token),
    isOver: (look) => (look ? token.error !== undefined : token.isCancelled({ direct: false })),
    reason: () => token.error,
    listen(callback) {
      const registration = token.onCancel(callback)
      return () => void registration.stop()
    },
    remaining: () => token.remaining,
  }
}

/** What there is to know of something foreign that can cancel; undefined if it cannot. */
export function foreignOf(value: unknown): Foreign | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const it = value as Partial<OtherToken & SignalLike & EditorToken & { signal: SignalLike; abort: unknown }>
  if (it[BRAND]) return ofOther(it as OtherToken)
  if (typeof it.aborted === 'boolean' && typeof it.addEventListener === 'function') return ofSignal(it as SignalLike)
  if (typeof it.isCancellationRequested === 'boolean' && typeof it.onCancellationRequested === 'function')
    return ofEditor(it as EditorToken)
  if (typeof it.abort === 'function' && typeof it.signal === 'object') return foreignOf(it.signal)
  return undefined
}
