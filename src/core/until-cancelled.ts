/** A cancellation as a value: the result of a task, or undefined. */
import { type NamesOf, optionalNonNegative, optionsOf } from './arguments.js'
import { isCancellation } from './errors.js'
import type { TokenNode } from './graph.js'
import { check, race, type RaceTokens, type TaskOf } from './race.js'
import type { CancellationToken } from './token.js'

/** The options of `untilCancelled`. */
export interface UntilCancelledOptions {
  /**
   * Milliseconds, from the moment of the cancellation on, in which the task may still end. A failure in this time
   * rejects. A value in this time is dropped. With `Infinity` it waits until the task has ended. Default: it does not
   * wait for the task.
   */
  readonly grace?: number | undefined
}

const UNTIL_OPTIONS: NamesOf<UntilCancelledOptions> = ['grace']

/** Makes the tokens that `untilCancelled` needs. */
export interface UntilCancelledTokens<Token> extends RaceTokens<Token> {
  grace(node: TokenNode, ms: number): TokenNode
}

export async function untilCancelled<Token, T>(
  node: TokenNode,
  task: TaskOf<Token, T>,
  options: UntilCancelledOptions | undefined,
  make: UntilCancelledTokens<Token>,
): Promise<T | undefined> {
  const grace = optionalNonNegative('grace', optionsOf(options, UNTIL_OPTIONS).grace)
  check(task)
  let running: Promise<T> | undefined
  // One promise for both races: a mere thenable may start its task again at each call of `then`.
  const run = (result: T | PromiseLike<T>) => (running = Promise.resolve(result))
  const once = grace === undefined ? task : typeof task === 'function' ? (token: Token) => run(task(token)) : run(task)
  try {
    try {
      return await race(node, once, undefined, make)
    } catch (error) {
      if (grace === undefined || !running || !isCancellation(error, node as CancellationToken)) throw error
      await race(make.grace(node, grace), running, undefined, make)
    }
  } catch (error) {
    if (!isCancellation(error, node as CancellationToken)) throw error
  }
  return undefined
}
