/** Waiting for a cancellation: as a promise, or with the thread blocked. */
import { nonNegative, optionalNonNegative, optionsOf } from './arguments.js'
import { block, hold, now, Timer } from './clock.js'
import type { CancellationError } from './errors.js'
import { discover, end, errorOf, INDIRECT, LOOK, needsPolls, Subscriber, subscribe, type TokenNode } from './graph.js'
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

const STEP = 10

function parse(options: WaitOptions | undefined): { timeout: number; step: number } {
  const given = optionsOf(options)
  const timeout = optionalNonNegative('timeout', given.timeout) ?? Infinity
  if (given.step === undefined) return { timeout, step: Math.min(STEP, timeout) }
  const step = nonNegative('step', given.step)
  if (step > timeout) throw new RangeError(`step must not be longer than timeout, got ${step} and ${timeout}`)
  return { timeout, step }
}

export function wait(node: TokenNode, options: WaitOptions | undefined, deadline: MakeDeadline): Promise<CancellationError> {
  return new Promise((resolve, reject) => {
    const { timeout, step } = parse(options)
    const found = discover(node, INDIRECT)
    if (found !== undefined) return resolve(errorOf(found))
    let limit: Timer | undefined
    let poller: Timer | undefined
    const stop = () => {
      subscriber.stop()
      limit?.stop()
      poller?.stop()
      hold(-1)
    }
    const subscriber = new Subscriber(
      undefined,
      (error) => {
        stop()
        resolve(error)
      },
      true,
    )
    const fail = (error: unknown) => {
      stop()
      reject(error)
    }
    // The poll that finds something tells the subscriber itself.
    const poll = () => {
      try {
        if (discover(node, INDIRECT) === undefined) poller = new Timer(poll, step, false)
      } catch (error) {
        fail(error)
      }
    }
    hold(1)
    subscribe(node, subscriber)
    if (timeout < Infinity) {
      const late = deadline(timeout)
      limit = new Timer(
        () => {
          if (discover(node, LOOK) === undefined) fail(end(late, 'timeout'))
        },
        timeout,
        false,
      )
    }
    if (needsPolls(node)) poller = new Timer(poll, step, false)
  })
}

export function waitSync(node: TokenNode, options: WaitOptions | undefined, deadline: MakeDeadline): CancellationError {
  const { timeout, step } = parse(options)
  const giveUp = now() + timeout
  const late = deadline(timeout)
  for (;;) {
    const found = discover(node, INDIRECT)
    if (found !== undefined) return errorOf(found)
    const left = giveUp - now()
    if (left <= 0) throw end(late, 'timeout')
    if (left === Infinity && timeLeft(node, 0) === Infinity) {
      throw new TypeError(
        'waitSync: only this thread could cancel the token, and it would be blocked for ever: give a timeout, or await wait()',
      )
    }
    block(Math.min(left, timeLeft(node, Infinity), needsPolls(node) ? step : Infinity))
  }
}
