import { describe, it } from 'node:test'
import assert from 'node:assert/strict'
import { ConditionToken, CounterCancellationError, CounterToken, SimpleToken } from 'calloff'
import { manualClock } from 'calloff/testing'
import { directPolls, looks, thrown, turn } from './helpers.js'

describe('2. a counter of n lasts exactly n direct polls', () => {
  for (const n of [0, 1, 5, 15]) {
    for (const [poll, keepsOn] of directPolls) {
      it(`${n} times ${poll}`, async () => {
        const token = new CounterToken(n)
        let turns = 0
        while (await keepsOn(token)) assert.ok(++turns <= n)
        assert.equal(turns, n)
        assert.equal(token.counter, 0)
        assert.ok(token.error instanceof CounterCancellationError)
        assert.equal(await keepsOn(token), false)
        assert.equal(token.counter, 0)
      })
    }

    it(`${n} turns of a loop over it`, async () => {
      let turns = 0
      for (const turn of new CounterToken(n).turns()) assert.equal(turn, turns++)
      assert.equal(turns, n)
      turns = 0
      for await (const turn of new CounterToken(n).turns()) assert.equal(turn, turns++)
      assert.equal(turns, n)
    })
  }

  for (const [poll, keepsOn] of directPolls) {
    it(`${poll} costs one, and nothing when it is empty`, async () => {
      for (const [before, after] of [
        [50, 49],
        [5, 4],
        [1, 0],
        [0, 0],
      ] as const) {
        const token = new CounterToken(before)
        await keepsOn(token)
        assert.equal(token.counter, after)
      }
    })
  }

  it('a quarter of a million turns are counted as well as five', () => {
    const token = new CounterToken(250_000)
    let turns = 0
    while (token.keepOn()) turns++
    assert.equal(turns, 250_000)
  })
})

describe('2. polled through another token', () => {
  for (const [poll, keepsOn] of directPolls) {
    it(`a counter is left alone by ${poll}, unless it was made with direct: false`, async () => {
      for (const [counter, left] of [
        [new CounterToken(5), 5],
        [new CounterToken(5, { direct: true }), 5],
        [new CounterToken(5, { direct: false }), 4],
      ] as const) {
        const token = new SimpleToken(counter)
        assert.equal(await keepsOn(token), true)
        assert.equal(counter.counter, left)
        assert.equal(counter.keepOn(), true)
        assert.equal(counter.counter, left - 1)
      }
    })
  }

  it('isCancelled({ direct: false }) polls as a token above would', () => {
    const [plain, shared] = [new CounterToken(2), new CounterToken(2, { direct: false })]
    assert.equal(plain.isCancelled({ direct: false }), false)
    assert.equal(shared.isCancelled({ direct: false }), false)
    assert.deepEqual([plain.counter, shared.counter], [2, 1])
  })

  it('a counter with direct: false gives its n turns to all who share it', () => {
    const counter = new CounterToken(10, { direct: false })
    const tokens = [new SimpleToken(counter), new SimpleToken(new SimpleToken(counter)), counter]
    let turns = 0
    while (tokens[turns % 3]?.keepOn()) turns++
    assert.equal(turns, 10)
    for (const token of tokens) assert.equal(token.cancelledBy, counter)
  })

  it('a counter that several ways lead to pays once for a poll', () => {
    const counter = new CounterToken(5, { direct: false })
    const token = new SimpleToken(counter, new SimpleToken(counter))
    let turns = 0
    while (token.keepOn()) turns++
    assert.equal(turns, 5)
  })

  it('an empty counter ends the tokens below it, though they do not consume it', () => {
    const counter = new CounterToken(1)
    const token = new SimpleToken(counter)
    assert.equal(token.cancelled, false)
    assert.equal(counter.keepOn(), true)
    assert.equal(token.cancelled, true)
    assert.equal(token.cancelledBy, counter)
    assert.ok(thrown(() => token.check()) instanceof CounterCancellationError)
  })

  it('a counter below a token that has ended is not consumed', () => {
    const counter = new CounterToken(5, { direct: false })
    const token = new SimpleToken(new SimpleToken().cancel(), counter)
    for (let i = 0; i < 10; i++) assert.equal(token.cancelled, true)
    assert.equal(counter.counter, 5)
  })

  it('making tokens of it, and sums, does not consume it', () => {
    const counter = new CounterToken(5, { direct: false })
    counter.plus(new SimpleToken(counter, counter)).plus(new SimpleToken())
    counter.grace(10)
    assert.equal(counter.counter, 5)
  })
})

describe('2. looking at a token never consumes and never calls a condition', () => {
  for (const [name, look] of looks) {
    it(name, () => {
      let asked = 0
      const [plain, shared] = [new CounterToken(2), new CounterToken(2, { direct: false })]
      const condition = new ConditionToken(() => ++asked > 0)
      for (const token of [plain, shared, condition, new SimpleToken(plain, shared, condition)]) {
        for (let i = 0; i < 5; i++) look(token)
      }
      assert.deepEqual([plain.counter, shared.counter, asked], [2, 2, 0])
    })

    it(`${name} is answered by a passed deadline and an empty counter`, () => {
      const counter = new CounterToken(1)
      const token = new SimpleToken(counter)
      counter.keepOn()
      look(token)
      assert.equal(token.error?.kind, 'counter')
      assert.equal(token.cancelledBy, counter)
    })
  }

  it('.counter is a read as well', () => {
    const token = new CounterToken(3)
    assert.deepEqual([token.counter, token.counter, token.counter], [3, 3, 3])
  })
})

describe('2. who listens, waits and goes on', () => {
  it('a listener never consumes, however long it listens', async () => {
    using clock = manualClock()
    const [plain, shared] = [new CounterToken(3), new CounterToken(3, { direct: false })]
    for (const token of [plain, shared, new SimpleToken(plain, shared)]) token.onCancel(() => {})
    await clock.advance(10_000)
    assert.deepEqual([plain.counter, shared.counter], [3, 3])
  })

  it('a signal never consumes', async () => {
    using clock = manualClock()
    const counter = new CounterToken(3, { direct: false })
    const { signal } = new SimpleToken(counter)
    signal.addEventListener('abort', () => {})
    await clock.advance(1_000)
    assert.equal(counter.counter, 3)
  })

  it('a wait polls a counter with direct: false, once a step, until it is empty', async () => {
    using clock = manualClock()
    const counter = new CounterToken(5, { direct: false })
    const waiting = new SimpleToken(counter).wait({ step: 100 })
    await clock.advance(150)
    assert.ok(counter.counter < 5 && counter.counter > 0)
    await clock.advance(1_000)
    assert.equal((await waiting).token, counter)
    assert.equal(counter.counter, 0)
  })

  it('a wait leaves other counters alone, its own too', async () => {
    using clock = manualClock()
    const counter = new CounterToken(5)
    const outcomes = Promise.allSettled([counter.wait({ timeout: 50 }), new SimpleToken(counter).wait({ timeout: 50 })])
    await clock.advance(100)
    assert.deepEqual(
      (await outcomes).map(({ status }) => status),
      ['rejected', 'rejected'],
    )
    assert.equal(counter.counter, 5)
  })

  it('waitSync polls a counter with direct: false until it is empty', () => {
    using clock = manualClock()
    const counter = new CounterToken(5, { direct: false })
    assert.equal(counter.waitSync({ step: 10 }).token, counter)
    assert.equal(counter.counter, 0)
    assert.ok(clock.now >= 40 && clock.now <= 60)
  })

  it('a listener learns of it in the poll that finds the counter empty', () => {
    const counter = new CounterToken(2)
    const told: unknown[] = []
    counter.onCancel((error) => told.push(error.kind))
    counter.keepOn()
    counter.keepOn()
    assert.deepEqual(told, [])
    assert.equal(counter.keepOn(), false)
    assert.deepEqual(told, ['counter'])
  })

  it('checkpoints of several tasks share the turns', async () => {
    const counter = new CounterToken(10)
    let taken = 0
    let turns = 0
    const task = async () => {
      for (;;) {
        const before = counter.counter
        const checkpoint = counter.checkpoint()
        taken += before - counter.counter
        await checkpoint
        turns++
        await turn()
      }
    }
    await Promise.allSettled([task(), task(), task()])
    assert.equal(taken, 10)
    // Each task ends with one rejected checkpoint, which may be one that took a poll: the counter ran out during its turn.
    assert.ok(turns >= 7 && turns <= 10, `${turns} turns`)
  })
})
