import { describe, it } from 'node:test'
import assert from 'node:assert/strict'
import {
  allOf,
  anyOf,
  CANCELLED,
  type CancellationToken,
  ConditionToken,
  CounterToken,
  DefaultToken,
  from,
  ImpossibleCancelError,
  isCancellation,
  NEVER,
  SimpleToken,
  TimeoutToken,
} from 'calloff'
import { manualClock } from 'calloff/testing'
import { stateOf, thrown } from './helpers.js'
import { deadKinds, kinds, nestingKinds } from './kinds.js'

describe('4. a DefaultToken', () => {
  it('cannot be cancelled, and stays as it is', () => {
    for (const token of [new DefaultToken(), NEVER]) {
      for (const reason of [undefined, 'why']) {
        const error = thrown(() => (token as CancellationToken).cancel(reason))
        assert.ok(error instanceof ImpossibleCancelError)
        assert.equal(error.token, token)
      }
      assert.equal(token.cancelled, false)
      assert.equal(token.signal.aborted, false)
    }
    assert.equal(DefaultToken.error, ImpossibleCancelError)
  })

  it('takes nothing', () => {
    const Loose = DefaultToken as unknown as new (...args: unknown[]) => DefaultToken
    for (const argument of [{}, new SimpleToken(), { name: 'x' }, 5]) {
      assert.throws(() => new Loose(argument), TypeError)
    }
  })

  it('disappears as a nested token', () => {
    // What is left until a date changes from one millisecond to the next.
    const text = (token: CancellationToken) => String(token).replace(/\d{7}/, 'an hour')
    for (const { name, make } of nestingKinds) {
      assert.equal(text(make(NEVER)), text(make()), name)
      assert.equal(text(make(new DefaultToken(), NEVER)), text(make()), name)
    }
  })

  it('vanishes from a combined token, on either side', () => {
    const token = new SimpleToken()
    assert.equal(String(NEVER.plus(token)), 'SimpleToken(SimpleToken())')
    assert.equal(String(token.plus(NEVER)), 'SimpleToken(SimpleToken())')
    assert.equal(String(NEVER.plus()), 'SimpleToken()')
    assert.equal(String(NEVER.plus(NEVER, new DefaultToken())), 'SimpleToken()')
    assert.equal(String(anyOf(NEVER)), 'SimpleToken()')
    assert.equal(String(anyOf()), 'SimpleToken()')
  })

  it('leaves a combined token that lives, can be cancelled and follows the others', () => {
    const empty = NEVER.plus(new DefaultToken())
    assert.equal(empty.cancelled, false)
    assert.equal(empty.cancel('fine').reason, 'fine')
    const token = new SimpleToken()
    const combined = NEVER.plus(token, NEVER)
    token.cancel()
    assert.equal(combined.cancelledBy, token)
    assert.equal(NEVER.cancelled, false)
  })

  it('never calls a listener, and says whether one was taken back', () => {
    const registration = NEVER.onCancel(() => assert.fail('called'))
    assert.equal(registration.stop(), true)
    assert.equal(registration.stop(), false)
  })

  it('CANCELLED is its opposite', () => {
    assert.equal(CANCELLED.cancelled, true)
    assert.equal(CANCELLED.error?.kind, 'manual')
    assert.equal(new SimpleToken(CANCELLED).cancelledBy, CANCELLED)
    assert.ok(isCancellation(CANCELLED.error, CANCELLED))
  })
})

describe('4. a combined token', () => {
  const combined: readonly (readonly [string, (...tokens: CancellationToken[]) => CancellationToken])[] = [
    ['plus', (first, ...rest) => (first ?? NEVER).plus(...rest)],
    ['plus, one by one', (first, ...rest) => rest.reduce((before, token) => before.plus(token), first ?? NEVER)],
    ['anyOf', (...tokens) => anyOf(...tokens)],
    ['nesting', (...tokens) => new SimpleToken(...tokens)],
  ]
  for (const [name, combine] of combined) {
    for (const dead of deadKinds) {
      it(`by ${name} with ${dead.name} is born cancelled, by that source`, () => {
        for (const at of [0, 1, 2]) {
          const sources = [new SimpleToken(), new SimpleToken(), new SimpleToken()]
          const source = dead.make()
          source.keepOn() // a condition is cancelled by a poll alone
          sources.splice(at, 1, source)
          const token = combine(...sources)
          assert.equal(token.error, source.error)
          assert.equal(token.cancelled, true)
          assert.equal(token.signal.aborted, true)
        }
      })
    }

    it(`by ${name} of several that are cancelled is so by the first in order`, () => {
      const [live, a, b] = [new SimpleToken(), new SimpleToken(), new SimpleToken()]
      b.cancel()
      a.cancel()
      assert.equal(combine(live, a, b).cancelledBy, a)
    })

    it(`by ${name} ends with each of its sources`, () => {
      for (const at of [0, 1, 2]) {
        const sources = [new SimpleToken(), new SimpleToken(), new SimpleToken()]
        const token = combine(...sources)
        sources[at]?.cancel(at)
        assert.equal(token.cancelled, true)
        assert.equal(token.reason, at)
        assert.equal(token.cancelledBy, sources[at])
      }
    })

    it(`by ${name} is cancelled without touching its sources, of whatever kind`, () => {
      const sources = kinds.map(({ make }) => make())
      const told: unknown[] = []
      for (const source of sources) source.onCancel((error) => told.push(error))
      combine(...sources).cancel('the combined token')
      for (const source of sources) assert.equal(source.cancelled, false)
      assert.deepEqual(told, [])
    })
  }

  it('takes AbortSignals as sources', () => {
    const controller = new AbortController()
    for (const token of [
      new SimpleToken().plus(controller.signal),
      anyOf(controller.signal),
      new SimpleToken(controller.signal),
      new TimeoutToken(100_000, { name: 'x' }, controller.signal),
    ]) {
      assert.equal(token.cancelled, false)
    }
    const token = NEVER.plus(controller.signal)
    controller.abort('stop')
    assert.equal(token.reason, 'stop')
  })

  it('may hold the same token twice', () => {
    const source = new SimpleToken()
    const token = source.plus(source, source)
    let calls = 0
    token.onCancel(() => calls++)
    source.cancel()
    assert.equal(calls, 1)
    assert.equal(token.cancelledBy, source)
  })

  it('is a token of its own, not one of its sources', () => {
    const [a, b] = [new SimpleToken(), new SimpleToken()]
    const combined = a.plus(b)
    assert.ok(combined !== a && combined !== b)
    assert.ok(a.plus() !== a)
    assert.equal(String(combined), 'SimpleToken(SimpleToken(), SimpleToken())')
  })

  it('of a limit of time, of turns and a condition ends for each of its three reasons', () => {
    using clock = manualClock()
    for (const kind of ['timeout', 'counter', 'condition']) {
      let turns = 0
      const token = new ConditionToken(() => kind === 'condition' && turns >= 7).plus(
        new CounterToken(kind === 'counter' ? 8 : 1_000, { direct: false }),
        new TimeoutToken(kind === 'timeout' ? 7 : 1_000),
      )
      while (token.keepOn()) {
        turns++
        clock.tick(1)
      }
      assert.equal(token.error?.kind, kind)
      assert.equal(turns, kind === 'counter' ? 8 : 7)
    }
  })
})

describe('4. allOf', () => {
  it('is cancelled with the last of its tokens, and carries that one’s error', () => {
    for (const order of [
      [0, 1, 2],
      [2, 1, 0],
      [1, 0, 2],
    ]) {
      const tokens = [new SimpleToken(), new SimpleToken(), new SimpleToken()]
      const all = allOf(...tokens)
      const below = new SimpleToken(all)
      for (const at of order) {
        assert.equal(all.cancelled, false)
        assert.equal(below.cancelled, false)
        tokens[at]?.cancel(at)
      }
      assert.equal(all.cancelled, true)
      assert.equal(all.error, tokens[order[2] as number]?.error)
      assert.equal(below.error, all.error)
    }
  })

  it('of tokens that were cancelled in the same moment, the one cancelled last is the last', () => {
    using clock = manualClock()
    for (const order of [
      [0, 1],
      [1, 0],
    ]) {
      const tokens = [new SimpleToken(), new SimpleToken()]
      const [seen, unseen] = [allOf(...tokens), allOf(...tokens)]
      seen.onCancel(() => {})
      for (const at of order) tokens[at]?.cancel(at)
      assert.equal(clock.now, 0)
      assert.deepEqual([seen.reason, unseen.reason], [order[1], order[1]])
    }
  })

  it('carries the error of the last in time also if none was read since', () => {
    using clock = manualClock()
    const tokens = [new SimpleToken(), new TimeoutToken(5), new SimpleToken()]
    const all = allOf(...tokens)
    tokens[2]?.cancel()
    clock.tick(3)
    tokens[0]?.cancel()
    clock.tick(10)
    assert.equal(all.error?.kind, 'timeout')
    assert.equal(all.cancelledBy, tokens[1])
  })

  describe('of which one is live, at the first listener', () => {
    const listening = [
      ['a listener', (all: CancellationToken) => all.onCancel(() => {})],
      ['a wait', (all: CancellationToken) => all.wait()],
      ['a signal', (all: CancellationToken) => all.signal],
      ['a listener on a token below', (all: CancellationToken) => new SimpleToken(all).onCancel(() => {})],
      ['a listener on another all-of', (all: CancellationToken) => allOf(new SimpleToken(), all).onCancel(() => {})],
    ] as const
    for (const [name, listen] of listening) {
      it(`sees of the others what came first in order, by ${name}`, () => {
        using clock = manualClock()
        const foreign = new AbortController()
        const byHand = new SimpleToken()
        const deadlines = [new TimeoutToken(50), new TimeoutToken(40)] as const
        const combined = [deadlines[0].plus(byHand), deadlines[1].plus(from(foreign.signal))]
        const all = allOf(new SimpleToken(), ...combined)
        byHand.cancel()
        clock.tick(60)
        foreign.abort()
        void listen(all)
        const errors = combined.map(({ error }) => error)
        all.cancel() // a wait would keep the process alive
        assert.deepEqual(
          errors,
          deadlines.map(({ error }) => error),
        )
      })
    }
  })

  it('tells who listens, waits or holds its signal, when the last one is', async () => {
    const [a, b] = [new SimpleToken(), new SimpleToken()]
    const all = allOf(a, b)
    const told: unknown[] = []
    all.onCancel((error) => told.push(error))
    const waiting = all.wait()
    const { signal } = new SimpleToken(all)
    a.cancel()
    assert.deepEqual(told, [])
    assert.equal(signal.aborted, false)
    assert.equal(await stateOf(waiting), 'pending')
    b.cancel()
    assert.deepEqual(told, [b.error])
    assert.equal(await waiting, b.error)
    assert.equal(signal.reason, b.error)
  })

  it('of nothing never ends, nor with a DefaultToken in it', () => {
    const dead = new SimpleToken().cancel()
    for (const token of [allOf(), allOf(NEVER), allOf(dead, new DefaultToken()), allOf(NEVER, dead, dead)]) {
      assert.equal(token.cancelled, false)
      assert.equal(token.error, undefined)
      assert.equal(token.remaining, Infinity)
      assert.equal(token.cancel('by hand').reason, 'by hand')
    }
  })

  it('of one token is cancelled with it, and at once if one of them is cancelled already', () => {
    const a = new SimpleToken()
    const one = allOf(a)
    a.cancel()
    assert.equal(one.error, a.error)
    const b = new SimpleToken().cancel()
    assert.equal(allOf(a, b).error, b.error)
    assert.equal(allOf(b, a).error, b.error)
    assert.equal(allOf(b, b).error, b.error)
  })

  it('takes signals, and lasts as long as its longest deadline', () => {
    using clock = manualClock()
    const controller = new AbortController()
    const all = allOf(controller.signal, new TimeoutToken(5), new TimeoutToken(20))
    controller.abort()
    clock.tick(10)
    assert.equal(all.cancelled, false)
    clock.tick(10)
    assert.equal(all.cancelled, true)
    assert.equal(allOf(new TimeoutToken(5), new TimeoutToken(20)).remaining, 20)
  })

  it('asks its conditions, and polls those that are still to come true', () => {
    using clock = manualClock()
    let [first, second] = [false, false]
    const all = allOf(new ConditionToken(() => first), new ConditionToken(() => second))
    assert.equal(all.cancelled, false)
    first = true
    assert.equal(all.cancelled, false)
    second = true
    assert.equal(all.cancelled, true)

    ;[first, second] = [false, false]
    const told: number[] = []
    allOf(new ConditionToken(() => first), new ConditionToken(() => second)).onCancel(() => told.push(clock.now))
    first = true
    clock.tick(50)
    second = true
    clock.tick(50)
    assert.deepEqual(told, [60])
  })

  it('is cancelled by hand without touching its tokens', () => {
    const [a, b] = [new SimpleToken(), new SimpleToken()]
    const all = allOf(a, b)
    all.cancel('enough')
    assert.equal(all.cancelledBy, all)
    assert.deepEqual([a.cancelled, b.cancelled], [false, false])
  })

  it('of combined, in combined, of itself works as it reads', () => {
    const [a, b, c] = [new SimpleToken(), new SimpleToken(), new SimpleToken()]
    const token = anyOf(allOf(a.plus(b), allOf(b, c)), new SimpleToken())
    b.cancel()
    assert.equal(token.cancelled, false)
    c.cancel()
    assert.equal(token.cancelled, true)
    assert.equal(token.cancelledBy, c)
  })
})
