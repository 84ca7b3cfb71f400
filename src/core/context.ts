/**
 * The async context, where somebody asks for it.
 *
 * Taking a snapshot costs ten times what adding a listener does (40 ns beside 4 on Node 20), so the core takes none by
 * itself; `calloff/node` sets these slots. Unset, they cost one look at a variable.
 */
import type { CancellationToken } from './token.js'

export type Binder = <A extends unknown[]>(callback: (...args: A) => void) => (...args: A) => void

export let bind: Binder | undefined

/** Every listener that is added from now on goes through `binder`; gives the one that was there. */
export function bindListeners(binder: Binder | undefined): Binder | undefined {
  const before = bind
  bind = binder
  return before
}

/** What keeps the current token of each async context. */
export interface Ambient {
  /** The current token; one that never ends where there is none. */
  current(): CancellationToken
  /** Calls `what` with `token` as the current one, for as long as what it has begun goes on. */
  run<T>(token: CancellationToken, what: () => T): T
}

let ambient: Ambient | undefined

/** From now on the option `ambient` goes by this. */
export function useAmbient(keeper: Ambient): void {
  ambient = keeper
}

/** `{ ambient: true }` was asked for, and `calloff/node`, which keeps the current token, has not been imported. */
export class NoAmbientError extends Error {
  /** For tests that hold across copies of the package. */
  readonly code = 'ERR_NO_AMBIENT'
  override readonly name = 'NoAmbientError'
}

/** What keeps the current token, if it is asked for. */
export function ambientIf(asked: boolean | undefined): Ambient | undefined {
  if (!asked) return undefined
  if (!ambient)
    throw new NoAmbientError("ambient must not be true before 'calloff/node' is imported, which keeps the token")
  return ambient
}
