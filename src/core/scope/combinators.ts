/** Several tasks with one answer: all outcomes, the first success, or the first task to settle. */
import { bind } from '../context.js'
import { isCancellation } from '../errors.js'
import { discover, end, errorOf, READ } from '../graph.js'
import { reports } from '../observation.js'
import { type CancellationToken, SimpleToken } from '../token.js'
import { alarm } from '../wait.js'
import { type ScopeState, fail, submit, nothing, type ScopeTask } from './scope-state.js'

/** The options of `any` and `race`. */
export interface CompeteOptions {
  /**
   * Milliseconds that a task gets before the next one is started beside it. After a task that fails sooner, the next
   * one starts at once. Default: all are started together.
   */
  readonly hedge?: number | undefined
}

/**
 * Lets tasks compete. The answer is that of the first task to succeed, or, with `failuresCount`, of the first to
 * settle. The other tasks are then cancelled. The answer is given once they have settled.
 */
export function compete<T>(
  state: ScopeState,
  tasks: readonly ScopeTask<T>[],
  hedge: number | undefined,
  place: Error | undefined,
  failuresCount: boolean,
  resolve: (value: T) => void,
  reject: (error: unknown) => void,
): void {
  // One token for each task, so that the result of the winner (a response with a body to read) is not cancelled with
  // the losers.
  const tokens = tasks.map(() => new SimpleToken(state.token))
  const names = namesOf(tasks)
  const errors: unknown[] = []
  /** Settles the promise, once there is an answer. */
  let answer: (() => void) | undefined
  let isCancelled = false
  let next = 0
  let working = 0
  let isStarting = false
  let isOver = false
  let stopTimer = nothing

  const decide = (winner: number, give: () => void) => {
    if (answer) return
    answer = give
    stopTimer()
    for (const token of tokens) if (token !== tokens[winner]) end(token, 'race')
  }
  const oneHasSettled = () => {
    working--
    if (isStarting) return // start() goes on
    if (!answer && next < tasks.length) start()
    else concludeIfOver()
  }
  const concludeIfOver = () => {
    if (working || isOver) return
    isOver = true
    const dead = isCancelled && discover(state.token, READ)
    if (answer) answer()
    else if (dead) reject(errorOf(dead))
    else {
      const error = new AggregateError(errors, `all ${tasks.length} tasks have failed`)
      fail(state, error)
      reject(error)
    }
  }
  const startNext = () => {
    const at = next++
    const task = tasks[at] as ScopeTask<T>
    const succeeded = (value: T) => {
      decide(at, () => resolve(value))
      oneHasSettled()
    }
    const failed = (error: unknown, own: CancellationToken) => {
      errors[at] = error
      if (answer) reports?.failedLate(error, failuresCount ? 'race' : 'any', own)
      const wasCancelled = isCancellation(error, own)
      isCancelled ||= wasCancelled
      // A cancellation from outside decides nothing: one of the tasks may still tell of a failure.
      if (failuresCount && !answer && !(wasCancelled && discover(state.token, READ))) {
        decide(at, () => reject(error))
        if (!wasCancelled) fail(state, error)
      }
      oneHasSettled()
    }
    working++
    const parent = tokens[at] as CancellationToken
    submit(state, { parent, task, name: names[at], place, resolve: succeeded, reject: failed })
  }
  /**
   * Starts the next task, and further ones as long as they settle within their start. Without `hedge` it starts all.
   */
  const start = () => {
    stopTimer()
    isStarting = true
    do startNext()
    while (!answer && next < tasks.length && (hedge === undefined || !working))
    isStarting = false
    if (!answer && next < tasks.length)
      stopTimer = alarm(state.token, hedge as number, ring, nothing, (hedge as number) < Infinity)
    else concludeIfOver()
  }
  const ring = bind ? bind(start) : start

  start()
}

/** Collects the outcome of each task, in order. A failure among them is no failure of the scope. */
export function settleAll(
  state: ScopeState,
  tasks: readonly ScopeTask<unknown>[],
  place: Error | undefined,
  conclude: (outcomes: PromiseSettledResult<unknown>[]) => void,
): void {
  const outcomes: PromiseSettledResult<unknown>[] = []
  const parent: CancellationToken = state.token
  const names = namesOf(tasks)
  let left = tasks.length
  const settle = (at: number, outcome: PromiseSettledResult<unknown>) => {
    outcomes[at] = outcome
    if (!--left) conclude(outcomes)
  }
  if (!left) conclude(outcomes)
  tasks.forEach((task, at) => {
    const resolve = (value: unknown) => settle(at, { status: 'fulfilled', value })
    const reject = (reason: unknown) => settle(at, { status: 'rejected', reason })
    submit(state, { parent, task, name: names[at], place, resolve, reject })
  })
}

/** The names of the tasks. They are read before the first task is started, because a getter may throw. */
function namesOf(tasks: readonly ScopeTask<unknown>[]): (string | undefined)[] {
  return tasks.map(({ name }) => name || undefined)
}
