/** Waiting for a cancellation: as a promise, or with the thread blocked. */
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
  LOOK,
  subscribe,
  type TokenNode,
} from './graph.js'
import { promiseUnder } from './promises.js'
import { timeLeft } from './remaining.js'

/** How to wait. */
export interface WaitOptions {
  /** Give up after so many milliseconds, with a `TimeoutCancellationError`. Default: never. */
  readonly timeout?: number | undefined
  /** Milliseconds between two polls of what must be polled: conditions, and counters with `direct: false`. Default: 10. */
  readonly step?: number | undefined
  /** Whether the pending wait keeps the process alive. Default: true. */
  readonly hold?: boolean | undefined
}

const BLOCK_OPTIONS: NamesOf<WaitOptions> = ['timeout', 'step']
const WAIT_OPTIONS: NamesOf<WaitOptions> = [...BLOCK_OPTIONS, 'hold']

/** Makes the tokens a wait needs. */
export interface WaitTokens {
  isNever(node: TokenNode): boolean
  /** What the `timeout` of an operation stands for. */
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

/** Whether something at or above the node must be polled. */
export function needsPolls(node: TokenNode): boolean {
  return !!node.rules && [...above(node, true)].some(({ polled }) => polled)
}

/**
 * Calls one of the two: `ring` after `ms`, or `off` when the node is cancelled. Gives what takes it back.
 *
 * @param hold whether it keeps the process alive meanwhile, be `ms` infinite
 * @param quiet polls by itself (G6 in graph.ts)
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
    // A deadline of the same moment has passed as well, whichever timer came first.
    if (discover(node, LOOK)) return
    stop()
    ring()
  }
  const subscriber = subscribe(node, called, quiet)
  // A deadline may have passed since somebody looked, or another thread have been quicker: then it has been called by now.
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
        // Mostly the alarm has been told by now, but a condition without caching tells only who asks.
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
    // Nothing could end it: then it holds nothing.
    const holds = hold && (timeout < Infinity || !make.isNever(node))
    const stop = alarm(node, timeout, giveUp, told, holds, true)
  })
}

/** The end of a time limit, if that came before the answer: in a loop that was blocked, timers come late. */
function missedBy(limit: TokenNode, answer: Cancellation): Cancellation | undefined {
  const over = discover(limit, LOOK)
  return over && over.at < answer.at ? over : undefined
}

/** A rule that another thread may end: it changes a word, on which this thread can sleep. */
interface Shared extends TokenNode {
  readonly word?: SharedWord | readonly SharedWord[]
}

/** The words of the shared tokens at or above the node. */
function wordsOf(node: TokenNode): SharedWord[] {
  if (!node.rules) return []
  return [...above(node, true)].flatMap(({ word }: Shared) => word ?? [])
}

export function waitSync(node: TokenNode, options: WaitOptions | undefined, make: WaitTokens): CancellationError {
  const { timeout, step } = parse(options, BLOCK_OPTIONS)
  const limit = make.limit(timeout, 'waitSync', node)
  for (;;) {
    // Before the look: what changes after it keeps this thread from falling asleep.
    const words = wordsOf(node)
    const found = discover(node, INDIRECT)
    const missed = found ? missedBy(limit, found) : discover(limit, LOOK)
    if (missed) throw errorOf(missed)
    if (found) return errorOf(found)
    const left = timeLeft(limit, 0)
    if (words.length === 0 && Math.min(left, timeLeft(node, 0)) === Infinity) {
      throw new TypeError(
        'waitSync: only this thread could cancel the token, so it would hang for ever: give a timeout, or await wait()',
      )
    }
    const isPolled = words.length > 1 || needsPolls(node) // one can sleep on one word alone
    block(Math.min(left, timeLeft(node, Infinity), isPolled ? Math.max(1, step) : Infinity), words[0])
  }
}
