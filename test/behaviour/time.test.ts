import { describe, it } from 'node:test'
import assert from 'node:assert/strict'
import { allOf, CounterToken, from, NEVER, SimpleToken, TimeoutCancellationError, TimeoutToken } from 'calloff'
import { manualClock } from 'calloff/testing'
import { turn } from './helpers.js'

const DAY = 86_400_000

describe('11. a TimeoutToken takes any number of milliseconds', () => {
  for (const ms of [0, 0.25, 1, 2.5, 1_000, 2 ** 31 - 1, 2 ** 31, 2 ** 32 + 0.5, 3 * 2 ** 31, 400 * DAY]) {
    it(`${ms}: it is cancelled by then and not before, polled or listened to`, () => {
      using clock = manualClock()
      const [polled, heard] = [new TimeoutToken(ms), new TimeoutToken(ms)]
      const told: number[] = []
      if (ms > 0) {
        heard.onCancel(() => told.push(clock.now))
        clock.tick(ms - 0.25)
        assert.equal(polled.cancelled, ms <= 0)
        assert.equal(polled.remaining, 0.25)
        assert.deepEqual(told, [])
        clock.tick(0.25)
        assert.deepEqual(told, [ms])
      }
      assert.equal(polled.cancelled, true)
      assert.equal(polled.remaining, 0)
      assert.ok(heard.error instanceof TimeoutCancellationError)
    })
  }

  it('Infinity and the largest number: never, and the timers of the platform do not fire at once', async () => {
    for (const ms of [Infinity, Number.MAX_VALUE, 2 ** 31, 2 ** 53]) {
      const token = new TimeoutToken(ms)
      let told = false
      token.onCancel(() => (told = true))
      const below = new SimpleToken(token).signal
      await turn()
      await turn()
      assert.deepEqual([token.cancelled, told, below.aborted], [false, false, false])
      token.cancel()
    }
    assert.equal(new TimeoutToken(Infinity).remaining, Infinity)
  })

  it('and ends a loop that never yields', () => {
    const start = performance.now()
    const token = new SimpleToken(new TimeoutToken(5))
    let turns = 0
    while (token.keepOn()) turns++
    assert.ok(performance.now() - start >= 5)
    assert.ok(turns > 100)
  })

  it('and ends by a timer if it has a listener', async () => {
    const token = new TimeoutToken(5)
    const told = await new Promise<boolean>((resolve) => {
      const limit = setTimeout(resolve, 120_000, false) // a listener alone does not keep the process alive
      token.onCancel(() => {
        clearTimeout(limit)
        resolve(true)
      })
    })
    assert.deepEqual([told, token.error?.kind], [true, 'timeout'])
  })

  it('several fire in the order of their deadlines, whatever the order they were made in', () => {
    using clock = manualClock()
    const told: number[] = []
    for (const ms of [30, 10, 40, 20, 10]) new TimeoutToken(ms).onCancel(() => told.push(ms))
    clock.tick(100)
    assert.deepEqual(told, [10, 10, 20, 30, 40])
  })
})

describe('11. TimeoutToken.until', () => {
  it('the past is cancelled at once', () => {
    for (const date of [0, new Date(0), Date.now() - 1, new Date(Date.now() - DAY), -Infinity]) {
      const token = TimeoutToken.until(date)
      assert.equal(token.cancelled, true)
      assert.equal(token.error?.kind, 'timeout')
      assert.equal(token.signal.aborted, true)
    }
  })

  it('the future is as far away as it is', () => {
    for (const date of [Date.now() + DAY, new Date(Date.now() + DAY)]) {
      const token = TimeoutToken.until(date)
      assert.equal(token.cancelled, false)
      assert.ok(token.remaining <= DAY && token.remaining > DAY - 120_000)
    }
    assert.equal(TimeoutToken.until(Infinity).remaining, Infinity)
  })

  it('takes options and nested tokens as the constructor does', () => {
    const source = new SimpleToken()
    const token = TimeoutToken.until(Date.now() + DAY, { name: 'tomorrow' }, source)
    assert.ok(token instanceof TimeoutToken)
    assert.equal(token.name, 'tomorrow')
    source.cancel()
    assert.equal(token.cancelledBy, source)
  })
})

describe('11. restart()', () => {
  it('gives the whole time again, from now on', () => {
    using clock = manualClock()
    const token = new TimeoutToken(100)
    for (let i = 0; i < 5; i++) {
      clock.tick(99)
      assert.equal(token.restart(), true)
      assert.equal(token.remaining, 100)
    }
    clock.tick(100)
    assert.equal(token.cancelled, true)
  })

  it('moves what listens, waits and derives with it', async () => {
    using clock = manualClock()
    const token = new TimeoutToken(100)
    const told: number[] = []
    token.onCancel(() => told.push(clock.now))
    const below = new SimpleToken(token)
    below.onCancel(() => told.push(clock.now))
    const { signal } = below
    const waiting = below.wait()
    await clock.advance(60)
    assert.equal(token.restart(), true)
    assert.equal(below.remaining, 100)
    await clock.advance(99)
    assert.equal(below.cancelled, false)
    assert.equal(signal.aborted, false)
    assert.deepEqual(told, [])
    await clock.advance(1)
    assert.deepEqual(told, [160, 160])
    assert.equal(signal.aborted, true)
    assert.equal(await waiting, token.error)
  })

  it('revives nothing: it says that it was too late', () => {
    using clock = manualClock()
    const source = new SimpleToken()
    const [expired, byHand, above] = [new TimeoutToken(10), new TimeoutToken(100), new TimeoutToken(100, source)]
    byHand.cancel()
    source.cancel()
    clock.tick(10)
    for (const token of [expired, byHand, above]) {
      const { error } = token
      assert.equal(token.restart(), false)
      assert.equal(token.cancelled, true)
      assert.equal(token.error ?? error, error ?? token.error)
    }
    const unseen = new TimeoutToken(10)
    clock.tick(10)
    assert.equal(unseen.restart(), false)
    assert.equal(unseen.cancelled, true)
  })
})

describe('11. the clock and the global timers are looked up at call time', () => {
  it('so that fake timers drive everything', () => {
    const real = { setTimeout, clearTimeout, performance }
    let now = 1_000
    const timers = new Map<number, { due: number; callback: () => void }>()
    const fakes = {
      performance: { now: () => now },
      setTimeout: (callback: () => void, ms: number) => {
        timers.set(timers.size + 1, { due: now + ms, callback })
        return timers.size
      },
      clearTimeout: (id: number) => timers.delete(id),
    }
    const tick = (ms: number) => {
      now += ms
      for (const [id, { due, callback }] of timers) if (due <= now && timers.delete(id)) callback()
    }
    const install = (globals: object) => {
      for (const [key, value] of Object.entries(globals)) {
        Object.defineProperty(globalThis, key, { value, configurable: true, writable: true })
      }
    }
    install(fakes)
    try {
      const polled = new TimeoutToken(500)
      const told: number[] = []
      new TimeoutToken(400).onCancel(() => told.push(now))
      tick(399)
      assert.equal(polled.remaining, 101)
      assert.deepEqual(told, [])
      tick(1)
      assert.deepEqual(told, [1_400])
      assert.equal(polled.cancelled, false)
      tick(100)
      assert.equal(polled.cancelled, true)
    } finally {
      install(real)
    }
  })
})

describe('11. the clock is monotonic', () => {
  it('a wall clock that is set forwards or back ends nothing and saves nothing', () => {
    using clock = manualClock()
    const { now } = Date
    try {
      const [token, date] = [new TimeoutToken(100), TimeoutToken.until(Date.now() + DAY)]
      for (const step of [2 * DAY, -2 * DAY]) {
        Date.now = () => now() + step
        assert.equal(token.cancelled, false)
        assert.equal(date.cancelled, false)
      }
      clock.tick(100)
      assert.equal(token.cancelled, true)
    } finally {
      Date.now = now
    }
  })
})

describe('3. remaining', () => {
  it('is what is left to the earliest deadline at or above it: Go’s Deadline', () => {
    using clock = manualClock()
    const parent = new TimeoutToken(100)
    const rows = [
      [new SimpleToken(), Infinity],
      [NEVER, Infinity],
      [new CounterToken(3), Infinity],
      [parent, 100],
      [new SimpleToken(parent), 100],
      [new TimeoutToken(50, parent), 50],
      [new TimeoutToken(500, parent), 100],
      [new SimpleToken(new TimeoutToken(70), new SimpleToken(new TimeoutToken(60)), parent), 60],
      [new TimeoutToken(Infinity, parent), 100],
      [allOf(new TimeoutToken(30), parent), 100],
      [allOf(parent, new SimpleToken()), Infinity],
      [parent.grace(20), 120],
      [new SimpleToken(parent.grace(20), new TimeoutToken(110)), 110],
      [from(new SimpleToken().signal), Infinity],
    ] as const
    for (const [token, left] of rows) assert.equal(token.remaining, left, String(token))
    clock.tick(10)
    for (const [token, left] of rows) assert.equal(token.remaining, left - 10, String(token))
    clock.tick(1_000)
    for (const [token, left] of rows) assert.equal(token.remaining, left === Infinity ? Infinity : 0, String(token))
  })

  it('is 0 once it is cancelled, for any reason', () => {
    assert.equal(new TimeoutToken(100).cancel().remaining, 0)
    assert.equal(new SimpleToken().cancel().remaining, 0)
    assert.equal(new SimpleToken(new TimeoutToken(100), new SimpleToken().cancel()).remaining, 0)
  })
})
