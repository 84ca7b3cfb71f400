import { describe, it } from 'node:test'
import assert from 'node:assert/strict'
import { anyOf, type CancellationToken, ConditionToken, CounterToken, SimpleToken, TimeoutToken } from 'calloff'
import { manualClock } from 'calloff/testing'
import { directPolls } from './helpers.js'
import { deadKinds, endingKinds } from './kinds.js'

const forbidden = (): boolean => assert.fail('this condition should not be asked')

describe('1. a poll asks first whether it was cancelled by hand', () => {
  const born = [
    ['SimpleToken', (...nested: CancellationToken[]) => new SimpleToken({ cancelled: true }, ...nested)],
    ['TimeoutToken', (...nested: CancellationToken[]) => new TimeoutToken(0, { cancelled: true }, ...nested)],
    ['CounterToken', (...nested: CancellationToken[]) => new CounterToken(0, { cancelled: true }, ...nested)],
    [
      'ConditionToken',
      (...nested: CancellationToken[]) =>
        new ConditionToken(forbidden, { cancelled: true, suppressExceptions: false }, ...nested),
    ],
  ] as const
  for (const [name, make] of born) {
    it(`a ${name} born cancelled is so by hand, whatever its rule and its sources say`, () => {
      for (const token of [make(), make(new SimpleToken()), make(new SimpleToken().cancel('nested'))]) {
        assert.equal(token.cancelled, true)
        assert.equal(token.cancelledBy, token)
        assert.equal(token.error?.kind, 'manual')
        assert.equal(token.reason, undefined)
      }
    })
  }

  it('cancelling goes before a rule that was not polled yet', () => {
    const token = new ConditionToken(forbidden, { suppressExceptions: false }).cancel('by hand')
    assert.equal(token.cancelled, true)
    assert.equal(token.error?.kind, 'manual')
  })

  it('a counter that was cancelled by hand is not consumed any more', () => {
    const token = new CounterToken(5)
    token.cancel()
    for (let i = 0; i < 10; i++) assert.equal(token.cancelled, true)
    assert.equal(token.counter, 5)
  })

  it('`cancelled: false` is the same as nothing', () => {
    assert.equal(new SimpleToken({ cancelled: false }).cancelled, false)
    assert.equal(new TimeoutToken(1_000, { cancelled: false }).cancelled, false)
    assert.equal(new SimpleToken({ cancelled: false }, new SimpleToken().cancel()).cancelled, true)
  })
})

describe('1. a poll asks next its own rule, then each nested token in order', () => {
  for (const own of endingKinds) {
    for (const nested of deadKinds) {
      it(`${own.name} ends by its own rule though it was given ${nested.name}`, () => {
        const token = own.make(nested.make())
        assert.equal(token.cancelled, true)
        assert.equal(token.cancelledBy, token)
        assert.equal(token.error?.kind, own.kind)
        assert.ok(token.error instanceof own.error)
      })
    }
  }

  it('a rule that says no leaves the word to the nested tokens', () => {
    const rows = [
      [new TimeoutToken(1_000_000, new TimeoutToken(0)), 'timeout'],
      [new CounterToken(1, new CounterToken(0)), 'counter'],
      [new ConditionToken(() => false, new ConditionToken(() => true)), 'condition'],
      [new ConditionToken(() => false, new SimpleToken().cancel()), 'manual'],
    ] as const
    for (const [token, kind] of rows) {
      assert.equal(token.cancelled, true)
      assert.notEqual(token.cancelledBy, token)
      assert.equal(token.error?.kind, kind)
    }
  })

  it('of two cancelled tokens, the first in order is named', () => {
    const a = new SimpleToken()
    const b = new SimpleToken()
    const token = new SimpleToken(a, b)
    b.cancel('b, the earlier in time')
    a.cancel('a, the earlier in order')
    assert.equal(token.cancelledBy, a)
    assert.equal(token.reason, 'a, the earlier in order')
  })

  it('everything at and above the first nested token goes before the second', () => {
    const deep = new SimpleToken()
    const late = new SimpleToken()
    const token = anyOf(new SimpleToken(new SimpleToken(new SimpleToken(), deep)), late)
    late.cancel()
    deep.cancel()
    assert.equal(token.cancelledBy, deep)
  })

  it('nested tokens after the first that says yes are not asked', () => {
    const token = new SimpleToken(
      new ConditionToken(() => true),
      new ConditionToken(forbidden, { suppressExceptions: false }),
    )
    assert.equal(token.cancelled, true)
  })

  it('nested tokens are polled indirectly, the token itself directly', () => {
    const nested = new CounterToken(3)
    const token = new CounterToken(3, nested)
    assert.equal(token.cancelled, false)
    assert.deepEqual([token.counter, nested.counter], [2, 3])
  })

  it('a condition that several ways lead to is asked once in a poll', () => {
    let asked = 0
    const condition = new ConditionToken(() => ++asked > 100)
    const token = new SimpleToken(condition, new SimpleToken(condition), new SimpleToken(condition, condition))
    assert.equal(token.cancelled, false)
    assert.equal(asked, 1)
  })

  it('a condition may cancel the very token that asks', () => {
    const token: CancellationToken = new SimpleToken(
      new ConditionToken(() => {
        token.cancel('from inside')
        return false
      }),
    )
    assert.equal(token.cancelled, true)
    assert.equal(token.cancelledBy, token)
    assert.equal(token.reason, 'from inside')
  })

  it('a condition may cancel a source that was asked before it', () => {
    const first = new SimpleToken()
    const token = new SimpleToken(
      first,
      new ConditionToken(() => {
        first.cancel('too late to be missed')
        return false
      }),
    )
    assert.equal(token.cancelled, true)
    assert.equal(token.cancelledBy, first)
  })
})

describe('1. the first yes is remembered, and fixes everything for good', () => {
  for (const [poll, keepsOn] of directPolls) {
    it(`what ${poll} found stays, though an earlier source is cancelled later`, async () => {
      const a = new SimpleToken()
      const b = new SimpleToken()
      const token = new SimpleToken(a, b)
      b.cancel('b')
      assert.equal(await keepsOn(token), false)
      const error = token.error
      a.cancel('a')
      token.cancel('itself')
      assert.equal(await keepsOn(token), false)
      assert.equal(token.error, error)
      assert.equal(token.cancelledBy, b)
      assert.equal(token.reason, 'b')
    })
  }

  it('what an indirect poll or a read found stays as well', () => {
    for (const find of [
      (token: CancellationToken) => token.isCancelled({ direct: false }),
      (token: CancellationToken) => token.error,
      (token: CancellationToken) => token.cancelledBy,
      (token: CancellationToken) => token.reason,
      (token: CancellationToken) => String(token),
      (token: CancellationToken) => new SimpleToken(token).cancelled,
      (token: CancellationToken) => token.remaining,
    ]) {
      const a = new SimpleToken()
      const b = new SimpleToken()
      const token = new SimpleToken(a, b)
      b.cancel()
      find(token)
      a.cancel()
      assert.equal(token.cancelledBy, b)
    }
  })

  it('cancel() on a token that is dead through a source changes nothing, even if it was not read since', () => {
    const source = new SimpleToken()
    const token = new SimpleToken(source)
    source.cancel('source')
    assert.equal(token.cancel('too late'), token)
    assert.equal(token.cancelledBy, source)
    assert.equal(token.reason, 'source')
  })

  it('cancel() on a token whose deadline has passed, or whose counter is empty, changes nothing', () => {
    using clock = manualClock()
    const timeout = new TimeoutToken(5)
    const counter = new CounterToken(1)
    assert.equal(counter.keepOn(), true)
    clock.tick(5)
    assert.equal(timeout.cancel('late').error?.kind, 'timeout')
    assert.equal(counter.cancel('late').error?.kind, 'counter')
    assert.equal(timeout.reason, undefined)
  })

  it('a second cancel() keeps the first reason and error', () => {
    const token = new SimpleToken().cancel('first')
    const error = token.error
    assert.equal(token.cancel('second').error, error)
    assert.equal(token.reason, 'first')
    assert.equal(token.error?.cause, 'first')
  })

  it('a token cancelled before its source keeps its own reason: Go’s causes', () => {
    const parent = new SimpleToken()
    const child = new SimpleToken(parent)
    const grandchild = new SimpleToken(child)
    child.cancel('child')
    parent.cancel('parent')
    assert.deepEqual([parent.reason, child.reason, grandchild.reason], ['parent', 'child', 'child'])
  })

  it('what its own rule would say later does not matter any more', () => {
    using clock = manualClock()
    const source = new SimpleToken()
    const token = new TimeoutToken(10, source)
    source.cancel('source')
    assert.equal(token.cancelled, true)
    clock.tick(20)
    assert.equal(token.cancelledBy, source)
  })
})

describe('1. of two sources cancelled in turn', () => {
  const listening = [
    ['a listener', (token: CancellationToken) => token.onCancel(() => {})],
    ['a wait', (token: CancellationToken) => token.wait()],
    ['a listener on its signal', (token: CancellationToken) => token.signal.addEventListener('abort', () => {})],
    ['a listener on a token below', (token: CancellationToken) => new SimpleToken(token).onCancel(() => {})],
  ] as const
  for (const [name, listen] of listening) {
    it(`the earlier in time wins where there was ${name}`, () => {
      const a = new SimpleToken()
      const b = new SimpleToken()
      const token = new SimpleToken(a, b)
      void listen(token)
      b.cancel('b')
      a.cancel('a')
      assert.equal(token.cancelledBy, b)
      assert.equal(token.reason, 'b')
    })
  }

  it('the earlier in order wins where a listener was stopped', () => {
    const a = new SimpleToken()
    const b = new SimpleToken()
    const token = new SimpleToken(a, b)
    token.onCancel(() => assert.fail('was stopped')).stop()
    b.cancel()
    a.cancel()
    assert.equal(token.cancelledBy, a)
  })

  it('a deadline that passed unseen goes before a source that was cancelled before it', () => {
    using clock = manualClock()
    const source = new SimpleToken()
    const unseen = new TimeoutToken(10, source)
    const seen = new TimeoutToken(10, source)
    seen.onCancel(() => {})
    clock.tick(5)
    source.cancel()
    clock.tick(10)
    assert.equal(unseen.cancelledBy, unseen)
    assert.equal(seen.cancelledBy, source)
  })
})

describe('a condition that cancels another rule of the same sum', () => {
  it('ends the poll there: the other one is not asked, nor consumed', () => {
    const counter = new CounterToken(3, { direct: false })
    const never = new ConditionToken(forbidden)
    for (const other of [counter, never]) {
      const first = new ConditionToken(() => other.cancel('enough') !== other)
      const sum = anyOf(first, other)
      assert.equal(sum.cancelled, true)
      assert.equal(sum.cancelledBy, other)
    }
    assert.equal(counter.counter, 3)
  })
})
