/** someOf(k, …): cancelled with the k-th of its tokens. */
import { describe, it } from 'node:test'
import assert from 'node:assert/strict'
import {
  allOf,
  anyOf,
  type CancellationToken,
  ConditionToken,
  CounterToken,
  NEVER,
  SimpleToken,
  someOf,
  TimeoutToken,
} from 'calloff'
import { manualClock } from 'calloff/testing'
import { thrown } from './helpers.js'
import { deadKinds, kinds } from './kinds.js'

const simple = (count: number) => Array.from({ length: count }, (_, i) => new SimpleToken({ name: `t${i}` }))

describe('someOf', () => {
  it('is cancelled with the k-th of its tokens, whichever they are, and carries the error of that one', () => {
    for (let n = 1; n <= 4; n++) {
      for (let k = 1; k <= n; k++) {
        for (const isHeard of [false, true]) {
          const tokens = simple(n)
          const some = someOf(k, ...tokens)
          let told: unknown
          if (isHeard) some.onCancel((error) => (told = error))
          const order = tokens.toReversed()
          for (const [i, token] of order.entries()) {
            assert.equal(some.cancelled, i >= k, `${k} of ${n}, after ${i}`)
            token.cancel()
          }
          assert.equal(some.error, order[k - 1]?.error)
          assert.equal(some.cancelledBy, order[k - 1])
          if (isHeard) assert.equal(told, some.error)
          assert.deepEqual(some.path, [order[k - 1], some])
        }
      }
    }
  })

  for (const { name, make } of kinds) {
    it(`takes ${name}`, () => {
      const [one, two] = [make(), make()]
      const some = someOf(2, one, new SimpleToken(), two)
      const told: unknown[] = []
      some.onCancel((error) => told.push(error))
      one.cancel()
      assert.equal(some.cancelled, false)
      two.cancel()
      assert.equal(some.cancelled, true)
      assert.deepEqual(told, [two.error])
    })
  }

  for (const { name, make } of deadKinds) {
    it(`counts ${name} at the first poll`, () => {
      const [one, two] = [make(), make()]
      assert.equal(someOf(3, one, two, new SimpleToken()).cancelled, false)
      const some = someOf(2, one, new SimpleToken(), two)
      assert.equal(some.cancelled, true)
      assert.ok([one.error, two.error].includes(some.error))
    })
  }

  it('takes the first in order where nothing has listened, and the earliest where something has', () => {
    const find = (isHeard: boolean) => {
      const [a, b, c] = simple(3) as [SimpleToken, SimpleToken, SimpleToken]
      const some = someOf(2, a, b, c)
      if (isHeard) some.onCancel(() => {})
      for (const one of [c, b, a]) one.cancel()
      return some.cancelledBy?.name
    }
    assert.equal(find(true), 't1') // c, then b
    assert.equal(find(false), 't0') // of a and b, a was cancelled last
  })

  it('of one is like anyOf, and of all like allOf', () => {
    for (let last = 0; last < 3; last++) {
      const tokens = simple(3)
      const pairs = [
        [someOf(1, ...tokens), anyOf(...tokens)],
        [someOf(3, ...tokens), allOf(...tokens)],
      ] as const
      for (let i = 0; i < 3; i++) {
        tokens[(last + i) % 3]?.cancel()
        for (const [some, like] of pairs) assert.equal(some.error, like.error)
      }
    }
  })

  it('never counts a DefaultToken', () => {
    const token = new SimpleToken()
    const [one, two] = [someOf(1, token, NEVER), someOf(2, token, NEVER)]
    token.cancel()
    assert.deepEqual([one.cancelled, two.cancelled], [true, false])
    two.cancel()
    assert.equal(two.cancelled, true)
  })

  it('polls no more of its tokens than it needs to know', () => {
    const asked: string[] = []
    const condition = (name: string, answer: boolean) =>
      new ConditionToken(() => (asked.push(name), answer), { caching: false })
    const counter = new CounterToken(5, { direct: false })
    // Two of three: when two live, the third does not matter; when two are cancelled neither.
    assert.equal(someOf(2, condition('a', false), condition('b', false), counter).cancelled, false)
    assert.equal(counter.counter, 5)
    assert.equal(someOf(2, condition('c', true), condition('d', true), counter).cancelled, true)
    assert.equal(counter.counter, 5)
    assert.equal(someOf(2, condition('e', true), condition('f', false), counter).cancelled, false)
    assert.equal(counter.counter, 4)
    assert.deepEqual(asked, ['a', 'b', 'c', 'd', 'e', 'f'])
  })

  it('lasts until the k-th of its deadlines, and hears conditions', async () => {
    using clock = manualClock()
    const [a, b, c] = [new TimeoutToken(30), new TimeoutToken(10), new TimeoutToken(20)]
    const left = (token: CancellationToken) => Math.round(token.remaining)
    assert.deepEqual(
      [1, 2, 3].map((k) => left(someOf(k, a, b, c))),
      [10, 20, 30],
    )
    assert.equal(someOf(2, a, new SimpleToken()).remaining, Infinity)
    let over = false
    const some = someOf(2, a, new ConditionToken(() => over), NEVER)
    const waiting = some.wait()
    over = true
    await clock.advance(30)
    assert.equal(await waiting, a.error)
    assert.equal(someOf(2, b.grace(100), c, new TimeoutToken(1_000)).remaining, 80)
  })

  it('does not read all of many tokens again at each cancellation', () => {
    const tokens = simple(20_000)
    const some = someOf(19_999, ...tokens)
    let calls = 0
    some.onCancel(() => calls++)
    for (const token of tokens) token.cancel()
    assert.deepEqual([calls, some.cancelledBy], [1, tokens[19_998]])
  })

  it('is cancelled by hand without touching its tokens', () => {
    const tokens = simple(2)
    const some = someOf(2, ...tokens).cancel('enough')
    assert.equal(some.reason, 'enough')
    assert.deepEqual(
      tokens.map(({ cancelled }) => cancelled),
      [false, false],
    )
  })

  it('reads as the call that makes it', () => {
    assert.equal(String(someOf(1, new SimpleToken(), NEVER)), 'someOf(1, SimpleToken(), DefaultToken())')
  })

  it('refuses a k that is no whole number from 1 to the number of tokens, and what is no token', () => {
    const loose = someOf as unknown as (...args: unknown[]) => unknown
    for (const [k, n] of [
      [0, 2],
      [-1, 2],
      [3, 2],
      [1, 0],
      [1.5, 2],
      [Number.NaN, 2],
      [Infinity, 2],
    ] as const) {
      const error = thrown(() => someOf(k, ...simple(n)))
      assert.ok(error instanceof RangeError)
      assert.equal(error.message, `k must be a whole number from 1 to the number of tokens, ${n}, got ${k}`)
    }
    for (const k of ['2', undefined, null, new SimpleToken()]) {
      const error = thrown(() => loose(k, new SimpleToken(), new SimpleToken()))
      assert.ok(error instanceof TypeError)
      assert.match(error.message, /^k must be a number, got/)
    }
    assert.match(
      String(thrown(() => loose(1, [new SimpleToken()]))),
      /TypeError: token must be a token.*spread an array/,
    )
  })
})
