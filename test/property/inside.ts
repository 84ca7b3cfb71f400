/** What nobody should see from outside, and a test of leaks must: whether a token still stands in somebody's list. */
import type { CancellationToken } from 'calloff'

interface Place {
  readonly next?: Place
}

interface Inside {
  readonly extras?: {
    /** The heads of two rings: those who listen, and the tokens below that are listened to. */
    readonly listeners?: Place
    readonly below?: Place
    readonly disarm?: unknown
  }
}

/** How many stand in the token's lists. */
export function subscribers(token: CancellationToken): number {
  const { extras } = token as Inside
  let count = 0
  for (const head of [extras?.listeners, extras?.below]) {
    for (let at = head; at !== undefined; at = at.next === head ? undefined : at.next) count++
  }
  return count
}

/** Whether a timer, a poller or a foreign listener of its own is running. */
export function isDriven(token: CancellationToken): boolean {
  return (token as Inside).extras?.disarm !== undefined
}
