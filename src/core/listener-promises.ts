/**
 * The promises that listeners return: a listener whose promise is pending has not reacted yet. Each is kept only until
 * it has settled.
 */
import { now } from './clock.js'
import type { CancellationError } from './errors.js'
import { onResult, surface, type TokenNode } from './graph.js'
import { follow, thenOf } from './reactions.js'

/** A function that listens. If it was bound to an async context, `listener` is the function of the caller. */
export interface Listener {
  readonly name: string
  listener?: Listener
}

/** A listener that was called, and has not reacted yet. */
export interface Reacting {
  readonly node: TokenNode
  readonly listener: Listener
  /** When it was called. */
  readonly at: number
  /** Resolves when it has reacted, by a success or a failure. */
  readonly done: Promise<void>
}

/** The listeners that have not reacted yet, by the error of the cancellation that has called them. */
const reacting = new WeakMap<CancellationError, Set<Reacting>>()

/** Returns the listeners that a cancellation has called and that have not reacted yet. */
export function reactingTo(error: CancellationError): ReadonlySet<Reacting> {
  return reacting.get(error) ?? new Set()
}

/** Follows the result of a listener, if it is a promise or a thenable. Its failure surfaces as an uncaught error. */
export function followResult(result: unknown, listener: Listener, node: TokenNode, error: CancellationError): void {
  const then = thenOf(result)
  if (!then) return
  let all = reacting.get(error)
  if (!all) reacting.set(error, (all = new Set()))
  let react!: () => void
  const done = new Promise<void>((resolve) => (react = resolve))
  const one: Reacting = { node, listener, at: now(), done }
  all.add(one)
  const settled = () => {
    all.delete(one)
    if (!all.size) reacting.delete(error)
    react()
  }
  follow(result as object, then, {
    fulfilled: settled,
    rejected(failure) {
      settled()
      surface(failure)
    },
  })
}

onResult(followResult)
