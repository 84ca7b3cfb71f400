/** What only some platforms do, or hardly anybody meets: brought about on purpose. */
import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { ConditionToken, CounterToken, SimpleToken, TimeoutToken } from 'calloff'
import { manualClock } from 'calloff/testing'

test('waitSync says so where a thread may not block, as in a page', () => {
  const refusal = new TypeError('Atomics.wait cannot be called in this context')
  const wait = mock.method(Atomics, 'wait', () => {
    throw refusal
  })
  try {
    assert.throws(
      () => new TimeoutToken(50).waitSync(),
      (error: Error) => error instanceof TypeError && /may not block/.test(error.message) && error.cause === refusal,
    )
  } finally {
    wait.mock.restore()
  }
})

test('waitSync says so when the clock stands still, rather than wait for ever', () => {
  const now = mock.method(performance, 'now', () => 1_000)
  try {
    assert.throws(() => new TimeoutToken(5).waitSync(), /clock stands still/)
  } finally {
    now.mock.restore()
  }
})

test('a token says in one word why it is over', () => {
  const token = new SimpleToken(new TimeoutToken(0))
  assert.equal(token.kind, 'timeout')
  assert.equal(new SimpleToken().kind, undefined)
})

test('thousands of signals of one root are aborted with it', () => {
  const root = new SimpleToken()
  const signals = Array.from({ length: 2_000 }, () => new SimpleToken(root).signal)
  root.cancel('over')
  for (const signal of signals) assert.equal(signal.reason, root.error)
})

test('options of all types stand in the text', () => {
  const before = () => {}
  const after = (() => () => {})()
  assert.equal(
    String(new ConditionToken(() => true, { before, after, pollEvery: 5, default: true, name: "it's" })),
    "ConditionToken(λ, { default: true, before: before, after: λ, pollEvery: 5, name: 'it\\'s' })",
  )
})

test('a tick that finds the token over ends the loop instead', async () => {
  using clock = manualClock()
  const counter = new CounterToken(1)
  const ticks = counter.every(10)[Symbol.asyncIterator]()
  const tick = ticks.next()
  assert.equal(counter.keepOn(), true)
  clock.tick(10)
  assert.deepEqual(await tick, { done: true, value: undefined })
})

test('iterate refuses a source whose next() gives no object', async () => {
  const source = { [Symbol.asyncIterator]: () => ({ next: () => Promise.resolve(5 as never) }) }
  const items = new SimpleToken().iterate(source)[Symbol.asyncIterator]()
  await assert.rejects(items.next(), /the result of next\(\) must be an object, got 5/)
})

test('a sleep that finds the token over is called off instead', async () => {
  using clock = manualClock()
  const counter = new CounterToken(1)
  const sleep = counter.sleep(10)
  assert.equal(counter.keepOn(), true)
  clock.tick(10)
  await assert.rejects(sleep, { kind: 'counter' })
})

test('a poller that finds a deadline above passed does not ask its condition', () => {
  using clock = manualClock()
  let asked = 0
  const token = new ConditionToken(() => asked++ > 5, { pollEvery: 10 }, new TimeoutToken(10))
  const kinds: string[] = []
  token.onCancel(({ kind }) => kinds.push(kind))
  clock.tick(10)
  assert.deepEqual({ kinds, asked }, { kinds: ['timeout'], asked: 0 })
})

test('what a timer is too early by is waited for', () => {
  let time = 1_000
  const now = mock.method(performance, 'now', () => time)
  mock.timers.enable({ apis: ['setTimeout'] })
  try {
    let called = 0
    new TimeoutToken(50).onCancel(() => called++)
    time += 49.5
    mock.timers.tick(50)
    assert.equal(called, 0)
    time += 0.5
    mock.timers.tick(1)
    assert.equal(called, 1)
  } finally {
    mock.timers.reset()
    now.mock.restore()
  }
})

test('the text of a ladder of diamonds ends somewhere', () => {
  let token = new SimpleToken()
  for (let i = 0; i < 40; i++) token = new SimpleToken(token, token)
  assert.match(String(token), /^SimpleToken\(SimpleToken\(.*…$/)
})
