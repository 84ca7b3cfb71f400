/** Waits until all listeners of a token have reacted to its cancellation. */
import { type NamesOf, optionalNonNegative, optionsOf } from './arguments.js'
import { keepAlive, now } from './clock.js'
import { functionText } from './describe.js'
import type { CancellationError } from './errors.js'
import { above, type Cancellation, discover, errorOf, READ, type TokenNode } from './graph.js'
import { type Reacting, reactingTo } from './listener-promises.js'
import { race, type RaceTokens } from './race.js'
import { wait } from './wait.js'

/** The options of `settled`. */
export interface SettledOptions {
  /** Milliseconds, from the call on, after which it resolves with what is pending. Default: never. */
  readonly timeout?: number | undefined
}

const SETTLED_OPTIONS: NamesOf<SettledOptions> = ['timeout']

/** A listener whose promise is pending. */
export interface PendingListener {
  /** The name of the function, `λ` if it has none. */
  readonly listener: string
  /** The name of the token that it listens to. */
  readonly token: string | undefined
  /** Milliseconds since it was called. */
  readonly ms: number
}

/** The result of `settled`. */
export interface SettledReport {
  /** Whether the token is cancelled. False only if the time was over before. */
  readonly cancelled: boolean
  /** The listeners that have not reacted. Empty unless the time was over before. */
  readonly pending: readonly PendingListener[]
}

export async function settled<Token>(
  node: TokenNode,
  options: SettledOptions | undefined,
  make: RaceTokens<Token>,
): Promise<SettledReport> {
  const timeout = optionalNonNegative('timeout', optionsOf(options, SETTLED_OPTIONS).timeout) ?? Infinity
  const limit = make.limit(timeout, 'settled', node)
  const first = make.child(node, limit)
  await wait(first, { hold: timeout < Infinity || !make.isNever(node) }, make)
  const cancellation = discover(first, READ) as Cancellation
  if (cancellation.origin === limit) return { cancelled: false, pending: [] }
  const error = errorOf(cancellation)
  const letGo = keepAlive()
  let isInTime = true
  try {
    // A listener that is added meanwhile is called at once, and must react, too.
    for (let all; (all = pendingOf(node, error)).length;) {
      await race(limit, Promise.all(all.map(({ done }) => done)), undefined, make)
    }
  } catch {
    isInTime = false
  }
  letGo()
  return { cancelled: true, pending: isInTime ? [] : pendingOf(node, error).map(reportOf) }
}

/** The listeners of the node, and of the nodes that derive from it, that have not reacted yet. */
function pendingOf(node: TokenNode, error: CancellationError): Reacting[] {
  return [...reactingTo(error)].filter((one) => above(one.node, true).has(node))
}

function reportOf({ listener, node, at }: Reacting): PendingListener {
  return {
    listener: functionText(listener.listener ?? listener),
    token: (node as TokenNode & { readonly name: string | undefined }).name,
    ms: now() - at,
  }
}
