/** Waits for a cancellation: with a promise, or with the thread blocked. */
import { type NamesOf, nonNegative, optional, optionalNonNegative, optionsOf } from './arguments.js'
import { after, block, clockInUse, type SharedWord } from './clock.js'
import type { CancellationError } from './errors.js'
import {
  above,
  type Cancellation,
  discover,
  errorOf,
  expire,
  INDIRECT,
  READ,
  subscribe,
  type TokenNode,
} from './graph.js'
import { promiseUnder } from './promises.js'
import { timeLeft } from './remaining.js'

/** The options of a wait. */
export interface WaitOptions {
  /** Milliseconds until the wait fails with a `TimeoutCancellationError`. Default: never. */
  readonly timeout?: number | undefined
  /**
   * Milliseconds between two polls of the tokens that must be polled: conditions, and counters with `direct: false`.
   * Default: 10.
   */
  readonly step?: number | undefined
  /** Whether the pending wait keeps the process alive. Default: true. */
  readonly hold?: boolean | undefined
}

const BLOCK_OPTIONS: NamesOf<WaitOptions> = ['timeout', 'step']
const WAIT_OPTIONS: NamesOf<WaitOptions> = [...BLOCK_OPTIONS, 'hold']

/** Makes the tokens that a wait needs. */
export interface WaitTokens {
  isNever(node: TokenNode): boolean
  /** Returns the token that the `timeout` of an operation stands for. */
  limit(ms: number, operation: string, of: TokenNode): TokenNode
}

function parse(
  options: WaitOptions | undefined,
  names: NamesOf<WaitOptions>,
): { timeout: number; step: number; hold: boolean } {
  const given = optionsOf(options, names)
  const timeout = optionalNonNegative('timeout', given.timeout) ?? Infinity
  const step = given.step === undefined ? Math.min(10, timeout) : nonNegative('step', given.step)
  if (step > timeout) throw new RangeError(`step must not be longer than timeout, got ${step} and ${timeout}`)
  return { timeout, step, hold: optional('hold', 'boolean', given.hold) ?? true }
}

/** Whether the node, or one of its ancestors, must be polled. */
export function needsPolls(node: TokenNode): boolean {
  return !!node.rules && [...above(node, true)].some(({ polled }) => polled)
}

/**
 * Calls one of two functions: `ring` after `ms`, or `off` when the node is cancelled. Returns a function that prevents
 * both. The node must be live. If a deadline has passed or another thread was quicker, `off` is called before this
 * returns.
 *
 * @param hold whether it keeps the process alive meanwhile, even with an infinite `ms`
 * @param quiet whether the caller polls by itself (G6 in graph.ts)
 */
export function alarm(
  node: TokenNode,
  ms: number,
  ring: () => void,
  off: (error: CancellationError) => void,
  hold: boolean,
  quiet?: boolean,
): () => void {
  let isStopped = false
  let take = () => {
    isStopped = true
  }
  const stop = () => take()
  const called = (error: CancellationError) => {
    stop()
    off(error)
  }
  const due = () => {
    // A deadline of the same moment has passed as well, whichever timer came first. This read then calls `off`.
    if (discover(node, READ)) return
    stop()
    ring()
  }
  const subscriber = subscribe(node, called, quiet)
  // A deadline may have passed since the last read, or another thread may have been quicker: then `off` was called by
  // now.
  if (isStopped) return stop
  const stopTimer = after(ms, due, hold)
  take = () => {
    subscriber.stop()
    stopTimer()
  }
  return stop
}

export function wait(node: TokenNode, options: WaitOptions | undefined, make: WaitTokens): Promise<CancellationError> {
  return promiseUnder(node, (resolve, reject, callOff) => {
    const { timeout, step, hold } = parse(options, WAIT_OPTIONS)
    const limit = make.limit(timeout, 'wait', node)
    const found = discover(node, INDIRECT)
    if (found) return resolve(errorOf(found))
    const clock = clockInUse()
    const finish = (answer: Cancellation) => {
      const missed = clock === clockInUse() ? missedBy(limit, answer) : undefined
      if (missed) callOff(errorOf(missed))
      else resolve(errorOf(answer))
    }
    const poll = () => {
      try {
        const answer = discover(node, INDIRECT)
        if (!answer) stopPolls = after(step, poll, false)
        // Mostly the alarm has finished the wait by now. But a condition without caching answers only the poll itself.
        else {
          stop()
          finish(answer)
        }
      } catch (error) {
        stop()
        reject(error)
      }
    }
    const giveUp = () => {
      stopPolls()
      callOff(expire(limit))
    }
    const told = () => {
      stopPolls()
      finish(node.outcome as Cancellation)
    }
    let stopPolls = after(needsPolls(node) ? step : Infinity, poll, false)
    // Where nothing could end the wait, it does not keep the process alive.
    const holds = hold && (timeout < Infinity || !make.isNever(node))
    const stop = alarm(node, timeout, giveUp, told, holds, true)
  })
}

/** The cancellation of a time limit, if that came before the answer: in a loop that was blocked, timers come late. */
function missedBy(limit: TokenNode, answer: Cancellation): Cancellation | undefined {
  const over = discover(limit, READ)
  return over && over.at < answer.at ? over : undefined
}

/** A rule that another thread may cancel. That thread changes a word, and this thread can sleep on the word. */
interface Shared extends TokenNode {
  readonly word?: SharedWord | readonly SharedWord[]
}

/** The words of the shared tokens among the node and its ancestors. */
function wordsOf(node: TokenNode): SharedWord[] {
  if (!node.rules) return []
  return [...above(node, true)].flatMap(({ word }: Shared) => word ?? [])
}

export function waitSync(node: TokenNode, options: WaitOptions | undefined, make: WaitTokens): CancellationError {
  const { timeout, step } = parse(options, BLOCK_OPTIONS)
  const limit = make.limit(timeout, 'waitSync', node)
  for (;;) {
    // Before the poll: a change of a word after this keeps this thread from falling asleep.
    const words = wordsOf(node)
    const found = discover(node, INDIRECT)
    const missed = found ? missedBy(limit, found) : discover(limit, READ)
    if (missed) throw errorOf(missed)
    if (found) return errorOf(found)
    const left = timeLeft(limit, 0)
    if (words.length === 0 && Math.min(left, timeLeft(node, 0)) === Infinity) {
      throw new TypeError(
        'waitSync: only this thread could cancel the token, so it would hang for ever: give a timeout, or await wait()',
      )
    }
    const isPolled = words.length > 1 || needsPolls(node) // a thread can sleep on one word only
    block(Math.min(left, timeLeft(node, Infinity), isPolled ? Math.max(1, step) : Infinity), words[0])
  }
}
