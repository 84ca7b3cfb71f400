// A user's program in the strictest settings, with no types of Node: the root and the testing sub-path need none.
import {
  anyOf,
  type CancellationError,
  type CancellationToken,
  ConditionToken,
  CounterToken,
  from,
  isCancellation,
  scope,
  SimpleToken,
  TimeoutToken,
} from 'calloff'
import * as testing from 'calloff/testing'
import { share, type SharedHandle, SharedToken, startTicker } from 'calloff/threads'

const stop: SimpleToken = new SimpleToken({ name: 'stop' })
const token: CancellationToken = anyOf(stop, new TimeoutToken(1000), new ConditionToken(() => false))
const sum: CancellationToken = token.plus(new CounterToken(3, { direct: false }), new AbortController().signal)
const signal: AbortSignal = sum.signal
const registration = sum.onCancel((error: CancellationError) => error.kind)

export async function work(given?: CancellationToken | AbortSignal): Promise<number> {
  const inner = from(given)
  for await (const turn of inner.turns()) if (turn > 3) break
  const raced: number = await inner.race(() => 1)
  const both: number[] = await scope(inner, (s) => s.map([raced, 2], (n) => n + 1), { concurrency: 2 })
  return inner.retry((_token, attempt) => attempt + both.length)
}

const handle: SharedHandle = share(sum).handle
using ticker = startTicker({ resolution: 1 })

export const facts: readonly boolean[] = [
  stop.cancelled,
  signal.aborted,
  isCancellation(new Error('x')),
  registration.stop(),
  Object.keys(testing).length > 0,
  SharedToken.from(handle).cancelled,
  ticker.isRunning,
]
