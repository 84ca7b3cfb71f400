// What every program may do, in a page as well as in Node. What it finds does not depend on the tool that has bundled it.
import {
  allOf,
  anyOf,
  CancellationError,
  ConditionToken,
  CounterToken,
  from,
  isCancellation,
  NEVER,
  scope,
  SimpleToken,
  TimeoutToken,
} from 'calloff'
import { manualClock } from 'calloff/testing'
import { share, SharedToken, startTicker } from 'calloff/threads'

async function raced() {
  const token = new SimpleToken({ name: 'race' })
  const never = token.race(() => new Promise(() => {})).catch((error) => error)
  token.cancel('stop')
  const error = await never
  return [await NEVER.race(() => 'won'), error.message, error === token.error, error instanceof CancellationError]
}

async function scoped() {
  const found = []
  const sum = await scope(new SimpleToken(), async (s) => {
    s.run((token) => token.wait().then(({ kind }) => found.push(kind)))
    const [a, b] = await s.map([1, 2], (n) => n * 2)
    s.cancel('enough')
    return a + b
  }).catch((error) => error.message)
  return [sum, ...found]
}

function timed() {
  const clock = manualClock()
  const token = new TimeoutToken(1_000)
  const before = token.cancelled
  clock.tick(1_000)
  const { name, kind } = token.error
  clock[Symbol.dispose]()
  return [before, name, kind]
}

async function signalled() {
  const token = new SimpleToken({ name: 'signal' })
  const { signal } = token
  const derived = new SimpleToken(from(signal))
  const heard = []
  signal.addEventListener('abort', () => heard.push('abort'))
  token.onCancel(({ kind }) => heard.push(kind))
  token.cancel('over')
  await null
  return [signal instanceof AbortSignal, signal.reason === token.error, derived.error === token.error, ...heard.sort()]
}

async function shared() {
  if (typeof SharedArrayBuffer !== 'function') return 'no shared memory'
  const token = new SimpleToken()
  const twin = SharedToken.from(share(token).handle)
  const ticker = startTicker()
  await ticker.ready
  const { isRunning } = ticker
  ticker.stop()
  token.cancel('seen')
  return [twin.cancelled, twin.reason, isRunning, String(new SharedToken())]
}

class Named extends SimpleToken {}

export async function everyday() {
  const counter = new CounterToken(3)
  let turns = 0
  for (const _ of counter.turns()) turns++
  return {
    texts: [
      new SimpleToken(new TimeoutToken(5_000)),
      new SimpleToken({ name: 'job' }, new CounterToken(3, { direct: false })),
      anyOf(new SimpleToken(), new ConditionToken(() => false)),
      allOf(new SimpleToken(), new TimeoutToken(7)),
      new SimpleToken().grace(10),
      NEVER,
      from(new AbortController().signal),
    ].map(String),
    own: new Named().cancelled,
    turns,
    kinds: [counter, new TimeoutToken(0), new ConditionToken(() => true), new SimpleToken().cancel()].map((token) => {
      token.isCancelled()
      return `${token.error?.kind} ${token.error?.name} ${token.error?.code} ${isCancellation(token.error, token)}`
    }),
    statics: [SimpleToken, TimeoutToken, CounterToken].map(({ error }) => error.prototype instanceof Error),
    raced: await raced(),
    scoped: await scoped(),
    timed: timed(),
    signalled: await signalled(),
    shared: await shared(),
  }
}
