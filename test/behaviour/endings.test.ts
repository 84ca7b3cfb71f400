import { describe, it } from 'node:test'
import assert from 'node:assert/strict'
import {
  type CancellationError,
  ConditionToken,
  CounterToken,
  DefaultToken,
  from,
  NEVER,
  SimpleToken,
  TimeoutToken,
} from 'calloff'
import { manualClock } from 'calloff/testing'
import { OtherSignal, rejection, thrown } from './helpers.js'

describe('17. dispose', () => {
  it('is a cancel of kind dispose: listeners run and derived tokens end', () => {
    const token = new SimpleToken({ name: 'scope' })
    const below = new SimpleToken(token)
    const told: CancellationError[] = []
    for (const one of [token, below]) one.onCancel((error) => told.push(error))
    const { signal } = below
    token[Symbol.dispose]()
    assert.deepEqual(
      told.map(({ kind }) => kind),
      ['dispose', 'dispose'],
    )
    assert.equal(signal.aborted, true)
    assert.equal(below.cancelledBy, token)
    assert.equal(token.reason, undefined)
    assert.equal(
      thrown(() => below.check()),
      told[0],
    )
  })

  it('happens when a scope is left, however it is left', async () => {
    const tokens: SimpleToken[] = []
    const scope = (leave: () => void) => {
      using token = new SimpleToken()
      tokens.push(token)
      assert.equal(token.cancelled, false)
      leave()
    }
    scope(() => {})
    assert.throws(() => scope(() => assert.fail('left by an error')))
    const waiting = (() => {
      using token = new SimpleToken()
      return token.wait()
    })()
    assert.equal((await waiting).kind, 'dispose')
    for (const token of tokens) assert.equal(token.error?.kind, 'dispose')
  })

  it('leaves its sources alone, and holds nothing of them', () => {
    using clock = manualClock()
    const signal = new OtherSignal()
    const source = new SimpleToken(signal)
    let asked = 0
    const token = new SimpleToken(source, new ConditionToken(() => ++asked < 0), new TimeoutToken(50))
    token.onCancel(() => {})
    assert.equal(signal.listeners.size, 1)
    token[Symbol.dispose]()
    assert.equal(signal.listeners.size, 0)
    clock.tick(1_000)
    assert.equal(asked, 0)
    assert.equal(source.cancelled, false)
    assert.equal(token.error?.kind, 'dispose')
  })

  it('of a cancelled token changes nothing', () => {
    const token = new SimpleToken().cancel('first')
    token[Symbol.dispose]()
    assert.equal(token.error?.kind, 'manual')
    const expired = new TimeoutToken(0)
    expired[Symbol.dispose]()
    assert.equal(expired.error?.kind, 'timeout')
    const counter = new CounterToken(0)
    counter[Symbol.dispose]()
    assert.equal(counter.error?.kind, 'counter')
  })

  it('of a token whose source is cancelled keeps the source’s error', () => {
    const source = new SimpleToken()
    const token = new SimpleToken(source)
    source.cancel('source')
    token[Symbol.dispose]()
    assert.equal(token.error, source.error)
    assert.equal(String(token.cancelledBy), String(source))
  })

  it('on a DefaultToken does nothing', () => {
    {
      using token = new DefaultToken()
      using never = NEVER
      assert.ok(token && never)
    }
    NEVER[Symbol.dispose]()
    assert.equal(NEVER.cancelled, false)
    assert.equal(new SimpleToken(NEVER).cancelled, false)
  })

  it('ends what goes on under it: waits, sleeps and races', async () => {
    const token = new SimpleToken()
    const outcomes = [token.wait(), rejection(token.sleep(1_000_000)), rejection(token.race(new Promise(() => {})))]
    token[Symbol.dispose]()
    for (const error of await Promise.all(outcomes)) assert.equal(error, token.error)
  })
})

describe('18. grace(ms)', () => {
  it('lives on for ms, counted from the call of cancel, with the same error', () => {
    using clock = manualClock()
    const token = new SimpleToken()
    const grace = token.grace(100)
    clock.tick(1_000)
    assert.equal(grace.cancelled, false)
    assert.equal(grace.remaining, Infinity)
    token.cancel('stop')
    assert.equal(grace.cancelled, false)
    assert.equal(grace.remaining, 100)
    clock.tick(60)
    assert.equal(grace.remaining, 40)
    assert.equal(grace.error, undefined)
    clock.tick(40)
    assert.equal(grace.cancelled, true)
    assert.equal(grace.error, token.error)
    assert.equal(grace.cancelledBy, token)
    assert.equal(grace.reason, 'stop')
    assert.equal(grace.remaining, 0)
  })

  it('counts from the deadline itself, looked at or not', () => {
    using clock = manualClock()
    const [seen, unseen] = [new TimeoutToken(50), new TimeoutToken(50)]
    const [first, second] = [seen.grace(30), new SimpleToken(unseen).grace(30)]
    assert.deepEqual([first.remaining, second.remaining], [80, 80])
    clock.tick(50)
    assert.equal(seen.cancelled, true)
    clock.tick(20)
    assert.deepEqual([first.remaining, second.remaining], [10, 10])
    assert.deepEqual([first.cancelled, second.cancelled], [false, false])
    clock.tick(10)
    assert.deepEqual([first.cancelled, second.cancelled], [true, true])
    assert.equal(first.error, seen.error)
    assert.equal(second.error?.kind, 'timeout')
  })

  it('asked for after the cancellation, has what is left of it', () => {
    using clock = manualClock()
    const token = new SimpleToken()
    token.cancel()
    clock.tick(70)
    assert.equal(token.grace(100).remaining, 30)
    assert.equal(token.grace(70).cancelled, true)
    assert.equal(token.grace(0).error, token.error)
    assert.equal(new TimeoutToken(0).grace(5).remaining, 5)
  })

  it('counts from the cancellation of a source that was not read since', () => {
    using clock = manualClock()
    const source = new SimpleToken()
    const token = new SimpleToken(new SimpleToken(source))
    const grace = token.grace(100)
    source.cancel()
    clock.tick(99)
    assert.equal(grace.cancelled, false)
    clock.tick(1)
    assert.equal(grace.cancelled, true)
  })

  it('of 0 ends with its token, of Infinity never', () => {
    using clock = manualClock()
    const token = new SimpleToken()
    const [none, endless] = [token.grace(0), token.grace(Infinity)]
    assert.equal(none.cancelled, false)
    token.cancel()
    assert.equal(none.cancelled, true)
    clock.tick(1e12)
    assert.equal(endless.cancelled, false)
    assert.equal(endless.remaining, Infinity)
  })

  it('reaches listeners, waits and signals when it is cancelled', async () => {
    using clock = manualClock()
    const token = new TimeoutToken(50)
    const grace = token.grace(30)
    const told: number[] = []
    grace.onCancel(() => told.push(clock.now))
    new SimpleToken(grace).onCancel(() => told.push(clock.now))
    token.onCancel(() => told.push(clock.now))
    const { signal } = new SimpleToken(grace)
    const waiting = grace.wait()
    await clock.advance(79)
    assert.deepEqual(told, [50])
    assert.equal(signal.aborted, false)
    await clock.advance(1)
    assert.deepEqual(told, [50, 80, 80])
    assert.equal(signal.reason, token.error)
    assert.equal(await waiting, token.error)
  })

  it('can be cancelled by itself, before and during, without touching its token', () => {
    using clock = manualClock()
    const token = new SimpleToken()
    const [before, during] = [token.grace(100), token.grace(100)]
    before.cancel('impatient')
    assert.equal(before.reason, 'impatient')
    assert.equal(token.cancelled, false)
    token.cancel('stop')
    clock.tick(50)
    during.cancel('impatient')
    assert.equal(during.cancelledBy, during)
    assert.equal(during.reason, 'impatient')
    assert.equal(token.reason, 'stop')
  })

  it('is a budget for cleaning up: tighter ones, and graces of graces, hold', () => {
    using clock = manualClock()
    const token = new SimpleToken()
    const budget = new TimeoutToken(1_000, token.grace(100))
    const second = token.grace(100).grace(50)
    token.cancel()
    assert.equal(budget.remaining, 100)
    assert.equal(second.remaining, 150)
    clock.tick(100)
    assert.equal(budget.cancelled, true)
    assert.equal(second.cancelled, false)
    clock.tick(50)
    assert.equal(second.cancelled, true)
    assert.equal(second.error, token.error)
  })

  it('of a foreign signal and of a disposed token works as well', () => {
    using clock = manualClock()
    const controller = new AbortController()
    const token = new SimpleToken()
    const graces = [from(controller.signal).grace(20), token.grace(20)]
    for (const grace of graces) grace.onCancel(() => {})
    controller.abort()
    token[Symbol.dispose]()
    clock.tick(19)
    for (const grace of graces) assert.equal(grace.cancelled, false)
    clock.tick(1)
    assert.deepEqual(
      graces.map((grace) => grace.error?.kind),
      ['signal', 'dispose'],
    )
  })

  it('of a DefaultToken never ends', () => {
    using clock = manualClock()
    const grace = NEVER.grace(5)
    clock.tick(100)
    assert.equal(grace.cancelled, false)
    assert.equal(grace.remaining, Infinity)
  })
})
