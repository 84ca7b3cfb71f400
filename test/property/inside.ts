/** What nobody should see from outside, and a test of leaks must: whether a token still stands in somebody's list. */
import type { CancellationToken } from 'calloff'

interface Inside {
  readonly hub?: {
    readonly first?: { readonly next?: unknown }
    readonly driver?: unknown
    readonly links?: readonly unknown[]
  }
}

/** How many stand in the token's list: listeners, and tokens below that are listened to. */
export function subscribers(token: CancellationToken): number {
  let count = 0
  for (
    let at: { readonly next?: unknown } | undefined = (token as Inside).hub?.first;
    at !== undefined;
    at = at.next as typeof at
  )
    count++
  return count
}

/** Whether a timer, a poller or a foreign listener of its own is running. */
export function isDriven(token: CancellationToken): boolean {
  return (token as Inside).hub?.driver !== undefined
}
