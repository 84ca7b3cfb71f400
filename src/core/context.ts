/**
 * The async context, for the parts that need it.
 *
 * A snapshot of the context takes ten times as long as adding a listener (40 ns and 4 ns on Node 20). So the core takes
 * none by itself. `calloff/node` sets the functions here. While they are not set, they cost one read of a variable.
 */
import type { CancellationToken } from './token.js'

export type Binder = <A extends unknown[], R>(callback: (...args: A) => R) => (...args: A) => R

export let bind: Binder | undefined

/** Sets the function that every listener goes through when it is added from now on. Returns the former function. */
export function bindListeners(binder: Binder | undefined): Binder | undefined {
  const before = bind
  bind = binder
  return before
}

/** Keeps the current token of each async context. */
export interface Ambient {
  /** Returns the current token. Where there is none, it returns a token that is never cancelled. */
  current(): CancellationToken
  /** Calls `what` with `token` as the current one. It stays the current one in everything that `what` has begun. */
  run<T>(token: CancellationToken, what: () => T): T
}

let ambient: Ambient | undefined

/** Sets the keeper that the option `ambient` uses from now on. */
export function useAmbient(keeper: Ambient): void {
  ambient = keeper
}

/** `{ ambient: true }` was given, but `calloff/node`, which keeps the current token, was not imported. */
export class NoAmbientError extends Error {
  /** For tests that hold across copies of the package. */
  readonly code = 'ERR_NO_AMBIENT'
  override readonly name = 'NoAmbientError'
}

/** Returns the keeper of the current token, if the option is true. Throws `NoAmbientError` where there is none. */
export function ambientIf(asked: boolean | undefined): Ambient | undefined {
  if (!asked) return undefined
  if (!ambient)
    throw new NoAmbientError("ambient must not be true before 'calloff/node' is imported, which keeps the token")
  return ambient
}
