/** What only some platforms do, or hardly anybody meets: brought about on purpose. */
import assert from 'node:assert/strict'
import process from 'node:process'
import { describe, it, mock, test } from 'node:test'
import {
  allOf,
  CancellationToken,
  ConditionToken,
  CounterToken,
  from,
  isCancellation,
  SimpleToken,
  TimeoutToken,
} from 'calloff'
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

test('waitSync says so when the clock is stopped, rather than wait for ever', () => {
  const now = mock.method(performance, 'now', () => 1_000)
  try {
    assert.throws(() => new TimeoutToken(5).waitSync(), /clock stands still/)
  } finally {
    now.mock.restore()
  }
})

test('a token says in one word why it was cancelled', () => {
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

test('a sleep that finds the token over is cancelled instead', async () => {
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

describe('a chain of 20,000 tokens with a rule each', () => {
  const kinds: readonly (readonly [string, (above: CancellationToken) => CancellationToken])[] = [
    ['deadlines', (above) => new TimeoutToken(1e9, above)],
    ['counters', (above) => new CounterToken(1e9, { direct: false }, above)],
    ['sums with a deadline each', (above) => new SimpleToken(new TimeoutToken(1e9), above)],
    ['graces', (above) => above.grace(0)],
    ['all-ofs', (above) => allOf(above)],
  ]
  for (const [name, derive] of kinds) {
    it(`is made, polled, listened to and cancelled in linear time and memory: ${name}`, () => {
      const root = new SimpleToken()
      let token: CancellationToken = root
      for (let i = 0; i < 20_000; i++) token = derive(token)
      assert.equal(token.cancelled, false)
      assert.equal(token.remaining > 1e8, true)
      let heard = 0
      token.onCancel(() => heard++).stop()
      token.onCancel(() => heard++)
      const { signal } = name === 'deadlines' ? new SimpleToken() : token
      root.cancel('over')
      assert.deepEqual({ heard, reason: token.reason }, { heard: 1, reason: 'over' })
      if (name !== 'deadlines') assert.equal(signal.reason, token.error)
    })
  }
})

test('a deadline above very many rules is found by a poll, and its signal fires', () => {
  using clock = manualClock()
  let token: CancellationToken = new TimeoutToken(50)
  for (let i = 0; i < 40; i++) token = new SimpleToken(new TimeoutToken(1_000 + i), token)
  token = new TimeoutToken(2_000, token)
  const other = new SimpleToken(token, new SimpleToken())
  const { signal } = token
  assert.equal(other.remaining, 50)
  clock.tick(50)
  assert.deepEqual([signal.aborted, other.kind, token.kind], [true, 'timeout', 'timeout'])
  assert.equal(new SimpleToken(token).cancelled, true)
})

test('the base class is abstract, and can be extended', () => {
  const Base = CancellationToken as unknown as new (...nested: unknown[]) => CancellationToken
  for (const args of [[], [{}], [undefined, [new SimpleToken()]]]) {
    assert.throws(() => new Base(...args), /CancellationToken is abstract/)
  }
  class Mine extends CancellationToken {}
  const mine = new Mine()
  assert.equal(String(mine.cancel()), 'Mine({ cancelled: true })')
})

test('what is no plain object is not taken for options', () => {
  const Loose = SimpleToken as unknown as new (...nested: unknown[]) => SimpleToken
  assert.throws(() => new Loose([new SimpleToken()]), {
    name: 'TypeError',
    message: /^options must be .* spread an array/,
  })
  for (const wrong of [Promise.resolve(), new Date(), new Map()]) {
    assert.throws(() => new Loose(wrong), { name: 'TypeError', message: /^options must be a plain object, got/ })
  }
  assert.equal(new Loose(Object.assign(Object.create(null) as object, { name: 'bare' })).name, 'bare')
})

test('the reason of a foreign signal is known as the cancellation of its token, and of no other', () => {
  const why = new Error('the user has left')
  const token = from(AbortSignal.abort(why))
  assert.equal(isCancellation(why, token), true)
  assert.equal(isCancellation('stop', from(AbortSignal.abort('stop'))), true)
  assert.equal(isCancellation(why, new SimpleToken().cancel('other')), false)
  const failure = new Error('disk full')
  assert.equal(isCancellation(failure, new SimpleToken().cancel(failure)), false)
})

test('a mere Error named TimeoutError is no timeout of the platform', () => {
  const mere = Object.assign(new Error('socket'), { name: 'TimeoutError' })
  assert.equal(from(AbortSignal.abort(mere)).kind, 'signal')
  assert.equal(from(AbortSignal.abort(new DOMException('late', 'TimeoutError'))).kind, 'timeout')
})

test('a class whose name says it is a cancellation', () => {
  class CancelError extends Error {}
  assert.equal(isCancellation(new CancelError()), true)
})

test('a token goes into JSON as its text', () => {
  assert.equal(JSON.stringify({ token: new TimeoutToken(5) }), '{"token":"TimeoutToken(5)"}')
  const disposed = from(new AbortController().signal)
  disposed[Symbol.dispose]()
  assert.equal(JSON.stringify(disposed), '"from({ cancelled: true })"')
})

test('a condition that is async by mistake is said at the first poll, and its failure is no unhandled rejection', async () => {
  const unhandled: unknown[] = []
  const note = (error: unknown) => unhandled.push(error)
  process.on('unhandledRejection', note)
  const fails = (() => Promise.reject(new Error('late'))) as unknown as () => boolean
  assert.throws(() => new ConditionToken(fails).cancelled, { name: 'TypeError', message: /async/ })
  assert.throws(() => new ConditionToken(fails, { suppressExceptions: false }).cancelled, TypeError)
  await assert.rejects(new SimpleToken().race([Promise.reject(new Error('orphan'))], { timeout: -1 }), RangeError)
  await new Promise((resolve) => setTimeout(resolve, 5))
  process.off('unhandledRejection', note)
  assert.deepEqual(unhandled, [])
})

test('what every() and iterate() give can be iterated again by hand', async () => {
  const items: number[] = []
  for await (const item of new SimpleToken().iterate([1, 2])[Symbol.asyncIterator]() as AsyncIterableIterator<number>) {
    items.push(item)
  }
  using clock = manualClock()
  const ticks = new SimpleToken().every(5)[Symbol.asyncIterator]() as AsyncIterableIterator<number>
  const again = ticks[Symbol.asyncIterator]()
  assert.equal(again, ticks)
  const tick = again.next()
  clock.tick(5)
  assert.deepEqual([items, await tick], [[1, 2], { done: false, value: 1 }])
  await again.return?.()
})

test('a function with a strange name is λ', () => {
  const strange = Object.defineProperty(() => true, 'name', { value: 5 })
  assert.equal(String(new ConditionToken(strange)), 'ConditionToken(λ)')
})

test('a poll finds a deadline above very many rules without listeners', () => {
  using clock = manualClock()
  let token: CancellationToken = new TimeoutToken(50)
  for (let i = 0; i < 40; i++) token = new SimpleToken(new TimeoutToken(1_000 + i), token)
  const own = new TimeoutToken(2_000, token)
  assert.deepEqual([token.cancelled, own.cancelled], [false, false])
  clock.tick(50)
  assert.deepEqual([own.cancelled, token.cancelled, own.error], [true, true, token.error])
})

describe('an all-of learns of what had ended, unseen, before the first listener', () => {
  const controller = new AbortController()
  const counter = new CounterToken(1, { direct: false })
  const ended: readonly (readonly [string, SimpleToken | AbortSignal, () => unknown])[] = [
    ['a foreign signal', controller.signal, () => controller.abort()],
    ['an empty counter', counter, () => new SimpleToken(counter).cancelled],
  ]
  for (const [name, source, end] of ended) {
    it(name, () => {
      const first = new SimpleToken()
      const all = allOf(first, source)
      end()
      let heard = 0
      all.onCancel(() => heard++)
      first.cancel()
      assert.equal(heard, 1)
    })
  }
})

describe('a token that ends between a read and its first listener', () => {
  /** A clock that goes on by a millisecond whenever it is read: sooner or later a deadline passes just then. */
  async function hurried(
    run: (token: CancellationToken) => Promise<unknown>,
    below: (token: CancellationToken) => CancellationToken,
  ): Promise<void> {
    for (let ms = 1; ms < 30; ms++) {
      let at = 0
      const clock = mock.method(performance, 'now', () => at++)
      let over: Promise<unknown>
      try {
        over = run(below(new TimeoutToken(ms)))
      } finally {
        clock.mock.restore()
      }
      let timer: NodeJS.Timeout | undefined
      const late = new Promise((resolve) => {
        timer = setTimeout(resolve, 20_000, 'late')
      })
      assert.notEqual(await Promise.race([over, late]), 'late', `after ${ms} ms`)
      clearTimeout(timer)
    }
  }
  const nothing = new Promise<never>(() => {})
  async function* deaf(): AsyncGenerator<never> {
    await nothing
  }
  const ways: Record<string, (token: CancellationToken) => Promise<unknown>> = {
    wait: (token) => token.wait(),
    sleep: (token) => token.sleep(100_000).catch(() => {}),
    every: (token) => token.every(100_000)[Symbol.asyncIterator]().next(),
    iterate: (token) => Promise.resolve(token.iterate(deaf())[Symbol.asyncIterator]().next()).catch(() => {}),
    race: (token) => token.race(nothing).catch(() => {}),
  }
  for (const [name, run] of Object.entries(ways)) {
    it(`ends ${name}`, () => hurried(run, (token) => token))
    it(`ends ${name}, below an all-of`, () =>
      hurried(run, (token) => allOf(new SimpleToken(token), new SimpleToken(token))))
  }
})
