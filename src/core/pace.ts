/** Steps of a loop under a token: sleep, checkpoint, every, and turns. */
import { nonNegative } from './arguments.js'
import { after, now, turn } from './clock.js'
import {
  type Cancellation,
  DIRECT,
  discover,
  errorOf,
  INDIRECT,
  READ,
  newWalk,
  type Subscriber,
  subscribe,
  type TokenNode,
} from './graph.js'
import { handled, promiseUnder } from './promises.js'
import { alarm } from './wait.js'

/** @param canEnd false if nothing can ever cancel the node: then an endless sleep does not keep the process alive. */
export function sleep(node: TokenNode, ms: number, canEnd = true): Promise<void> {
  return promiseUnder(node, (resolve, _, rejectCancelled) => {
    nonNegative('ms', ms)
    const dead = discover(node, INDIRECT)
    if (dead) rejectCancelled(errorOf(dead))
    else alarm(node, ms, resolve, rejectCancelled, canEnd || ms < Infinity)
  })
}

/**
 * A time slice: the milliseconds, half a frame, and the number of checkpoints until the event loop gets its turn. The
 * number counts where the clock stands still.
 */
const SLICE_MS = 8
const SLICE_TURNS = 1_000
let sliceEnd = 0
let sliceLeft = 0

/** Calls back at once. When the time slice is used up, it calls back after the event loop has turned. */
function breathe(callback: () => void): void {
  if (--sliceLeft > 0 && now() < sliceEnd) return callback()
  turn(() => {
    sliceEnd = now() + SLICE_MS
    sliceLeft = SLICE_TURNS
    callback()
  })
}

/**
 * A direct poll, a turn of the event loop where it is due, and a read of what happened meanwhile. All of it is one
 * walk, so that a counter is used up once.
 */
async function pause(node: TokenNode): Promise<Cancellation | undefined> {
  const walk = newWalk()
  const dead = discover(node, DIRECT, walk)
  if (dead) return dead
  await new Promise<void>(breathe)
  return discover(node, READ, walk)
}

export function checkpoint(node: TokenNode): Promise<void> {
  const promise: Promise<void> = pause(node).then((dead) => {
    if (!dead) return
    void handled(promise)
    throw errorOf(dead)
  })
  return promise
}

/** Counts 0, 1, 2 … until the token is cancelled. Each turn is a direct poll, or, with `for await`, a checkpoint. */
export function turns(node: TokenNode): Iterable<number> & AsyncIterable<number> {
  return { [Symbol.iterator]: () => pollingTurns(node), [Symbol.asyncIterator]: () => pausingTurns(node) }
}

function* pollingTurns(node: TokenNode): Generator<number, undefined> {
  for (let n = 0; !discover(node, DIRECT); n++) yield n
}

async function* pausingTurns(node: TokenNode): AsyncGenerator<number, undefined> {
  for (let n = 0; !(await pause(node)); n++) yield n
}

type Settle<T> = (result: IteratorResult<T, undefined>) => void
const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined }

/**
 * Ticks at the multiples of `ms` from its start on. It does not drift, and skips the periods that the consumer was too
 * slow for.
 */
export function every(node: TokenNode, ms: number, canEnd: boolean): AsyncIterable<number> {
  nonNegative('ms', ms)
  return { [Symbol.asyncIterator]: () => ticks(node, ms, canEnd || ms < Infinity) }
}

function ticks(node: TokenNode, ms: number, hold: boolean): AsyncIterableIterator<number, undefined> {
  const began = now()
  /** The milliseconds that the timers have reached, for fakes that move the timers without the clock. */
  let reached = 0
  /** Functions that end the pending ticks. */
  const pending = new Set<() => void>()
  let subscriber: Subscriber | undefined
  let last = 0
  let over = false

  const finish = () => {
    over = true
    subscriber?.stop()
    for (const giveUp of pending) giveUp()
  }

  return {
    next: () =>
      new Promise((resolve) => {
        try {
          if (!over && discover(node, INDIRECT)) finish()
        } catch (error) {
          // A condition has thrown: no further tick is waited for.
          finish()
          throw error
        }
        if (over) return resolve(DONE)
        subscriber ??= subscribe(node, finish)
        if (over) return resolve(DONE) // cancelled since the poll
        const elapsed = Math.max(reached, now() - began)
        const value = (last = Math.max(last, ms && Math.floor(elapsed / ms)) + 1)
        const settle: Settle<number> = (result) => {
          pending.delete(giveUp)
          resolve(result)
        }
        const giveUp = () => {
          stop()
          settle(DONE)
        }
        const ring = () => {
          reached = ms && value * ms
          if (discover(node, READ)) finish()
          else settle({ done: false, value })
        }
        const stop = after(ms && value * ms - elapsed, ring, hold)
        pending.add(giveUp)
      }),
    return() {
      finish()
      return Promise.resolve(DONE)
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}
