/** Repeats a task that has failed, after delays, within the time that is left. */
import {
  type NamesOf,
  nonNegative,
  optional,
  optionalCount,
  optionalNonNegative,
  optionsOf,
  wrongType,
} from './arguments.js'
import { waitAfter } from './backoff.js'
import { turn } from './clock.js'
import type { CancellationError } from './errors.js'
import { discover, end, errorOf, INDIRECT, READ, subscribe, type TokenNode } from './graph.js'
import { reports } from './observation.js'
import { sleep } from './pace.js'
import { asyncUnder } from './promises.js'
import { awaitedThenOf, follow, type Reaction } from './reactions.js'
import { holdFor, timeLeft } from './remaining.js'
import type { CancellationToken } from './token.js'

/** The options of a retry. */
export interface RetryOptions {
  /** The number of attempts in all: a whole number from 1 on, or `Infinity`. Default: 3. */
  readonly attempts?: number | undefined
  /**
   * Milliseconds between the first attempt and the second. Default: 100.
   *
   * A function returns the delay after each failure, such as the `Retry-After` of a server. Attempts count from 1.
   * `factor` then has no effect, and `maxDelay` and `jitter` change the delay only if they are given. An answer that is
   * no number rejects with `TypeError`. A negative one, or `NaN`, rejects with `RangeError`.
   */
  readonly delay?: number | ((error: unknown, attempt: number) => number) | undefined
  /** Each further delay is this many times as long as the delay before it. Default: 2. */
  readonly factor?: number | undefined
  /** The longest delay, in milliseconds. Default: 30,000. */
  readonly maxDelay?: number | undefined
  /**
   * Whether each delay is taken at random between its half and its whole, so that callers that have failed together do
   * not come back together. A function takes the place of `Math.random`: it returns a number from 0 to 1. Default:
   * true.
   */
  readonly jitter?: boolean | (() => number) | undefined
  /** Milliseconds that an attempt needs. With less time left, no attempt is started. Default: 0. */
  readonly minAttemptTime?: number | undefined
  /**
   * Whether a failure is worth another attempt: a boolean, or a promise of one. Attempts count from 1. The third
   * argument is the token on which `retry` was called: once it is cancelled, the promise is waited for no longer.
   * Default: every failure is.
   */
  readonly when?:
    | ((error: unknown, attempt: number, token: CancellationToken) => boolean | PromiseLike<boolean>)
    | undefined
}

const RETRY_OPTIONS: NamesOf<RetryOptions> = [
  'attempts',
  'delay',
  'factor',
  'maxDelay',
  'jitter',
  'minAttemptTime',
  'when',
]

/**
 * The time that is left allows no further attempt. `cause` is the failure of the last attempt. It is absent where there
 * was no time for a first attempt.
 */
export class RetryBudgetError extends Error {
  /** For tests that hold across copies of the package. */
  readonly code = 'ERR_RETRY_BUDGET'
  override readonly name = 'RetryBudgetError'

  constructor(
    message: string,
    /** The number of attempts that have failed. */
    readonly attempts: number,
    options?: { readonly cause?: unknown },
  ) {
    super(message, options)
  }
}

export function retry<Token, T>(
  node: TokenNode,
  task: (token: Token, attempt: number) => T | PromiseLike<T>,
  options: RetryOptions | undefined,
  child: (source: TokenNode) => Token & TokenNode,
  receiver: CancellationToken,
): Promise<T> {
  return asyncUnder(node, () => tryAgain(node, task, options, child, receiver))
}

async function tryAgain<Token, T>(
  node: TokenNode,
  task: (token: Token, attempt: number) => T | PromiseLike<T>,
  options: RetryOptions | undefined,
  child: (source: TokenNode) => Token & TokenNode,
  /** What the method was called on: the node, a proxy, or a view. */
  receiver: CancellationToken,
): Promise<T> {
  const given = optionsOf(options, RETRY_OPTIONS)
  if (typeof task !== 'function') throw wrongType('task', 'a function', task)
  const attempts = optionalCount('attempts', given.attempts) ?? 3
  const factor = optionalNonNegative('factor', given.factor) ?? 2
  const maxDelay = optionalNonNegative('maxDelay', given.maxDelay)
  const minAttemptTime = optionalNonNegative('minAttemptTime', given.minAttemptTime) ?? 0
  const when = optional('when', 'function', given.when)
  const { delay = 100, jitter = typeof delay === 'number' } = given
  if (!/^(boolean|function)$/.test(typeof jitter)) throw wrongType('jitter', 'a boolean or a function', jitter)
  if (typeof delay !== 'function') nonNegative('delay', delay)
  let pause = 0
  let last: { readonly cause: unknown } | undefined

  for (let attempt = 1; ; attempt++) {
    const dead = discover(node, INDIRECT)
    if (dead) throw errorOf(dead)
    const left = timeLeft(node, Infinity)
    if ((pause && pause >= left) || pause + minAttemptTime > left) {
      const wanted = `${Math.ceil(pause + minAttemptTime)} ms wanted, ${Math.floor(left)} ms left`
      throw new RetryBudgetError(`no time for attempt ${attempt}: ${wanted}`, attempt - 1, last)
    }
    if (attempt > 1) await sleep(node, pause)
    const token = child(node)
    try {
      return await heeded(node, task(token, attempt))
    } catch (error) {
      end(token, 'dispose')
      // A cancelled retry has ended. A failure that came at the same time is the last one.
      if (discover(node, READ) || attempt >= attempts) throw error
      if (when && !isYes(await heeded(node, when(error, attempt, receiver)))) throw error
      last = { cause: error }
      const chance = jitter ? share(jitter) : 1
      pause =
        typeof delay === 'function'
          ? waitAfter(0, nonNegative('delay', delay(error, attempt)), maxDelay ?? Infinity, 1, chance)
          : waitAfter(attempt - 1, delay, maxDelay ?? 30_000, factor, chance)
    }
  }
  /* c8 ignore next -- the loop above never ends without a result */
}

/**
 * The outcome of foreign code: of an attempt, or of `when`. Once the token is cancelled, the code has one turn of the
 * event loop to settle. After that it is waited for no longer.
 */
function heeded<T>(node: TokenNode, given: T | PromiseLike<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const then = awaitedThenOf(given)
    if (!then) return resolve(given)
    const letGo = holdFor(node)
    const callOff = (error: CancellationError) => turn(() => rejected(error))
    const dead = discover(node, READ)
    const subscriber = dead ? undefined : subscribe(node, callOff)
    if (dead) callOff(errorOf(dead))
    let reaction: Reaction | undefined = undefined
    const rest = () => {
      subscriber?.stop()
      letGo?.()
      reaction?.leave(follower)
      if (reaction && reports) reaction.unheard = (error) => reports?.failedLate(error, 'retry', node)
    }
    const fulfilled = (value: T) => {
      rest()
      resolve(value)
    }
    const rejected = (error: unknown) => {
      rest()
      reject(error)
    }
    const follower = { fulfilled, rejected }
    reaction = follow(given as object, then, follower)
  })
}

function isYes(answer: unknown): boolean {
  if (typeof answer !== 'boolean') throw wrongType('when', 'a function that gives a boolean', answer)
  return answer
}

/** Returns a number from 0 to 1. `Math.random` is read at each call, so that a replacement counts. */
function share(random: true | (() => number)): number {
  const value = typeof random === 'function' ? random() : Math.random()
  if (!(value >= 0 && value <= 1)) throw new RangeError(`jitter must give a number from 0 to 1, got ${String(value)}`)
  return value
}
