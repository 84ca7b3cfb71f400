/** Waiting for a cancellation: as a promise, or with the thread blocked. */
import { nonNegative, optionalNonNegative, optionsOf } from './arguments.js'
import { after, block, keepAlive } from './clock.js'
import type { CancellationError } from './errors.js'
import { above, discover, end, errorOf, INDIRECT, LOOK, subscribe, type TokenNode } from './graph.js'
import { timeLeft } from './remaining.js'

/** How to wait. */
export interface WaitOptions {
  /** Give up after so many milliseconds, with a `TimeoutCancellationError`. Default: never. */
  readonly timeout?: number | undefined
  /** Milliseconds between two polls of what must be polled: conditions, and counters with `direct: false`. Default: 10. */
  readonly step?: number | undefined
}

/** Makes the token that a `timeout` stands for. */
export type MakeDeadline = (ms: number) => TokenNode

function parse(options: WaitOptions | undefined): { timeout: number; step: number } {
  const given = optionsOf(options)
  const timeout = optionalNonNegative('timeout', given.timeout) ?? Infinity
  const step = given.step === undefined ? Math.min(10, timeout) : nonNegative('step', given.step)
  if (step > timeout) throw new RangeError(`step must not be longer than timeout, got ${step} and ${timeout}`)
  return { timeout, step }
}

/** Whether something at or above the node must be polled. */
function needsPolls(node: TokenNode): boolean {
  return !!node.rules && [...above(node, true)].some(({ polled }) => polled)
}

export function wait(
  node: TokenNode,
  options: WaitOptions | undefined,
  deadline: MakeDeadline,
): Promise<CancellationError> {
  return new Promise((resolve, reject) => {
    const { timeout, step } = parse(options)
    const found = discover(node, INDIRECT)
    if (found) return resolve(errorOf(found))
    const late = deadline(timeout)
    const stop = () => {
      subscriber.stop()
      letGo()
      stopLimit()
      stopPolls()
    }
    const fail = (error: unknown) => {
      stop()
      reject(error)
    }
    const giveUp = () => {
      if (!discover(node, LOOK)) fail(end(late, 'timeout'))
    }
    const told = (error: CancellationError) => {
      stop()
      resolve(error)
    }
    const poll = () => {
      try {
        const answer = discover(node, INDIRECT)
        // Mostly the subscriber has been told by now, but a condition without caching tells only who asks.
        if (answer) told(errorOf(answer))
        else stopPolls = after(step, poll, false)
      } catch (error) {
        fail(error)
      }
    }
    const subscriber = subscribe(node, told, true)
    const letGo = keepAlive()
    const stopLimit = after(timeout, giveUp, false)
    let stopPolls = after(needsPolls(node) ? step : Infinity, poll, false)
  })
}

export function waitSync(node: TokenNode, options: WaitOptions | undefined, deadline: MakeDeadline): CancellationError {
  const { timeout, step } = parse(options)
  const late = deadline(timeout)
  for (;;) {
    const found = discover(node, INDIRECT)
    if (found) return errorOf(found)
    if (discover(late, LOOK)) throw end(late, 'timeout')
    const left = timeLeft(late, 0)
    if (Math.min(left, timeLeft(node, 0)) === Infinity) {
      throw new TypeError(
        'waitSync: only this thread could cancel the token, so it would hang for ever: give a timeout, or await wait()',
      )
    }
    block(Math.min(left, timeLeft(node, Infinity), needsPolls(node) ? step : Infinity))
  }
}
