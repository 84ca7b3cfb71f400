import { describe, it } from 'node:test'
import assert from 'node:assert/strict'
import process from 'node:process'
import {
  allOf,
  type CancellationToken,
  ConditionToken,
  CounterToken,
  isCancellation,
  SimpleToken,
  TimeoutToken,
} from 'calloff'
import { type ManualClock, manualClock } from 'calloff/testing'
import { uncaught } from '../behaviour/helpers.js'

/** Notes, by the manual clock, when each of the promises settles. */
function watch(clock: ManualClock, promises: Record<string, PromiseLike<unknown>>): string[] {
  const seen: string[] = []
  for (const [name, promise] of Object.entries(promises)) {
    const note = (how: string) => () => void seen.push(`${name} ${how} at ${clock.now}`)
    promise.then(note('resolved'), note('rejected'))
  }
  return seen
}

/** Lets jobs run, and the event loop turn. */
const turn = () => new Promise((resolve) => setImmediate(resolve))

/** How many timers hold the process. */
const holding = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length

describe('a manual clock that moves by itself', () => {
  it('jumps to the next timer when everything waits', async () => {
    using clock = manualClock({ auto: true })
    const seen: (readonly [string, number])[] = []
    const program = async (name: string, ...delays: number[]) => {
      for (const ms of delays) {
        await new SimpleToken().sleep(ms)
        seen.push([name, clock.now])
      }
    }
    await Promise.all([program('a', 60_000, 3_600_000), program('b', 1_000, 100_000)])
    assert.deepEqual(seen, [
      ['b', 1_000],
      ['a', 60_000],
      ['b', 101_000],
      ['a', 3_660_000],
    ])
  })

  it('waits while promises go on, and for timers that they set', async () => {
    using clock = manualClock({ auto: true })
    const late = new SimpleToken().sleep(1_000).then(() => clock.now)
    for (let i = 0; i < 1_000; i++) await Promise.resolve()
    await turn()
    const early = new SimpleToken().sleep(10).then(() => clock.now)
    assert.deepEqual(await Promise.all([early, late]), [10, 1_000])
  })

  it('drives deadlines, which come in the order of their times', async () => {
    using clock = manualClock({ auto: true })
    const token = new TimeoutToken(5_000, new TimeoutToken(3_000))
    assert.equal((await token.wait()).kind, 'timeout')
    assert.equal(clock.now, 3_000)
    await assert.rejects(token.grace(500).race(new Promise(() => {})), { kind: 'timeout' })
    assert.equal(clock.now, 3_500)
  })

  it('can be moved by hand as well, and stands still after it was uninstalled', async () => {
    const clock = manualClock({ auto: true })
    const token = new TimeoutToken(1_000)
    token.onCancel(() => {})
    clock.tick(400)
    assert.equal(token.remaining, 600)
    clock.uninstall()
    for (let i = 0; i < 10; i++) await turn()
    assert.equal(clock.now, 400)
  })

  it('goes on when a callback throws', async () => {
    using clock = manualClock({ auto: true })
    const boom = new Error('boom')
    let polls = 0
    const token = new ConditionToken(
      () => {
        if (++polls === 3) throw boom
        return false
      },
      { suppressExceptions: false, pollEvery: 100 },
    )
    const errors = await uncaught(async () => {
      using _ = token.onCancel(() => {})
      await new SimpleToken().sleep(1_050)
    })
    assert.deepEqual([errors, clock.now], [[boom], 1_050])
  })

  it('refuses options that do not exist', () => {
    assert.throws(() => manualClock({ autos: true } as object), /did you mean "auto"/)
    assert.throws(() => manualClock({ auto: 5 as never }), /^TypeError: auto must be a boolean, got 5/)
  })
})

describe('a manual clock', () => {
  it('is stopped until it is moved, and counts from its making', async () => {
    using clock = manualClock()
    assert.equal(clock.now, 0)
    const token = new TimeoutToken(1)
    await new Promise((resolve) => setTimeout(resolve, 5))
    assert.equal(clock.now, 0)
    assert.equal(token.cancelled, false)
    assert.equal(token.remaining, 1)
    clock.tick(1)
    assert.equal(clock.now, 1)
    assert.equal(token.cancelled, true)
  })

  it('ticks by fractions and by nothing, and adds up', async () => {
    using clock = manualClock()
    const token = new TimeoutToken(1)
    clock.tick(0)
    assert.equal(clock.now, 0)
    clock.tick(0.25)
    clock.tick(0.5)
    await clock.advance(0.125)
    assert.equal(clock.now, 0.875)
    assert.equal(token.remaining, 0.125)
    assert.equal(token.cancelled, false)
    clock.tick(0.125)
    assert.equal(token.cancelled, true)
  })

  it('leaves setTimeout, performance and Date alone', async () => {
    const before = [globalThis.setTimeout, globalThis.performance.now, globalThis.Date, globalThis.setImmediate]
    using clock = manualClock()
    assert.deepEqual(
      [globalThis.setTimeout, globalThis.performance.now, globalThis.Date, globalThis.setImmediate],
      before,
    )
    const start = performance.now()
    await new Promise((resolve) => setTimeout(resolve, 2))
    assert.ok(performance.now() > start)
    assert.equal(clock.now, 0)
  })

  it('refuses what is no time, and then has not moved', async () => {
    using clock = manualClock()
    let called = false
    new TimeoutToken(0.5).onCancel(() => (called = true))
    for (const wrong of [-1, Number.NaN, -Infinity]) {
      const expected = { name: 'RangeError', message: new RegExp(`^ms .*${wrong}`) }
      assert.throws(() => clock.tick(wrong), expected)
      await assert.rejects(clock.advance(wrong), expected)
    }
    for (const wrong of ['5', null, undefined, {}, true, 5n]) {
      const expected = { name: 'TypeError', message: /^ms / }
      assert.throws(() => clock.tick(wrong as never), expected)
      await assert.rejects(clock.advance(wrong as never), expected)
    }
    assert.equal(clock.now, 0)
    assert.equal(called, false)
  })
})

describe('alarms of a manual clock', () => {
  /** Calls back after `ms`, by a token. */
  const alarm = (ms: number, callback: () => void): TimeoutToken => {
    const token = new TimeoutToken(ms)
    token.onCancel(callback)
    return token
  }

  for (const move of ['tick', 'advance'] as const) {
    it(`${move}: go off in the order they are due, those of one moment in the order they were set`, async () => {
      using clock = manualClock()
      const order: string[] = []
      for (const [name, ms] of [
        ['c', 30],
        ['a', 10],
        ['b1', 20],
        ['b2', 20],
        ['d', 40],
        ['b3', 20],
        ['late', 50.5],
      ] as const)
        alarm(ms, () => order.push(`${name} at ${clock.now}`))
      await clock[move](50)
      assert.deepEqual(order, ['a at 10', 'b1 at 20', 'b2 at 20', 'b3 at 20', 'c at 30', 'd at 40'])
      assert.equal(clock.now, 50)
      await clock[move](0.5)
      assert.equal(order.at(-1), 'late at 50.5')
    })

    it(`${move}: those set on the way go off in the same move, if they are due by then`, async () => {
      using clock = manualClock()
      const order: string[] = []
      alarm(10, () => {
        order.push(`first at ${clock.now}`)
        alarm(0, () => order.push(`at once at ${clock.now}`))
        alarm(5, () => order.push(`second at ${clock.now}`))
        alarm(95, () => order.push(`third at ${clock.now}`))
      })
      alarm(15, () => order.push(`set before at ${clock.now}`))
      await clock[move](100)
      assert.deepEqual(order, ['first at 10', 'at once at 10', 'set before at 15', 'second at 15'])
      await clock[move](4.99)
      assert.equal(order.length, 4)
      await clock[move](0.01)
      assert.equal(order.at(-1), `third at ${clock.now}`)
    })

    it(`${move}: those taken back do not go off`, async () => {
      using clock = manualClock()
      const token = new TimeoutToken(20)
      const registration = token.onCancel(() => assert.fail('taken back'))
      alarm(10, () => assert.equal(registration.stop(), true))
      await clock[move](15)
      assert.equal(registration.stop(), false)
      assert.equal(token.cancelled, false)
      await clock[move](5)
      assert.equal(token.cancelled, true)
    })

    it(`${move}: one that moves the clock itself does not set it back`, async () => {
      using clock = manualClock()
      const order: string[] = []
      alarm(10, () => {
        clock.tick(30)
        order.push(`mover at ${clock.now}`)
      })
      alarm(20, () => order.push(`between at ${clock.now}`))
      await clock[move](15)
      assert.deepEqual(order, ['between at 20', 'mover at 40'])
      assert.equal(clock.now, 40)
    })
  }

  it('tick calls at once, before promises go on', async () => {
    using clock = manualClock()
    const order: string[] = []
    const sleeping = new SimpleToken().sleep(10).then(() => order.push(`slept, seen at ${clock.now}`))
    alarm(20, () => order.push(`alarm at ${clock.now}`))
    clock.tick(30)
    assert.deepEqual(order, ['alarm at 20'])
    await sleeping
    assert.deepEqual(order, ['alarm at 20', 'slept, seen at 30'])
  })

  it('advance lets promises go on before each, and at the end', async () => {
    using clock = manualClock()
    const token = new SimpleToken()
    const order: string[] = []
    const work = async () => {
      await token.sleep(10)
      order.push(`slept at ${clock.now}`)
      for (let i = 0; i < 50; i++) await Promise.resolve()
      await token.sleep(10)
      order.push(`slept at ${clock.now}`)
      await token.sleep(10)
      order.push(`slept at ${clock.now}`)
    }
    const working = work()
    alarm(20, () => order.push(`alarm at ${clock.now}`))
    await clock.advance(29)
    assert.deepEqual(order, ['slept at 10', 'alarm at 20', 'slept at 20'])
    await clock.advance(1)
    assert.equal(order.at(-1), 'slept at 30')
    await working
  })

  it('advance first lets jobs run that have been started already', async () => {
    using clock = manualClock()
    const token = new SimpleToken()
    const seen = watch(clock, { work: Promise.resolve().then(() => token.sleep(5)) })
    await clock.advance(5)
    assert.deepEqual(seen, ['work resolved at 5'])
  })
})

/** Whether the clock that tokens go by moves without being told to. */
function goesByItself(): boolean {
  const token = new TimeoutToken(1)
  const limit = performance.now() + 10
  while (token.keepOn() && performance.now() < limit);
  return token.cancelled
}

describe('putting clocks in and out', () => {
  it('uninstall and using put the system’s clock back', () => {
    assert.equal(goesByItself(), true)
    const clock = manualClock()
    assert.equal(goesByItself(), false)
    clock.uninstall()
    assert.equal(goesByItself(), true)
    {
      using inner = manualClock()
      assert.equal(inner.now, 0)
      assert.equal(goesByItself(), false)
    }
    assert.equal(goesByItself(), true)
  })

  it('what is still set never goes off', async () => {
    const clock = manualClock()
    new TimeoutToken(5).onCancel(() => assert.fail('the clock was taken away'))
    new ConditionToken(() => assert.fail('nobody asks any more')).onCancel(() => {})
    clock.uninstall()
    clock.tick(100)
    await clock.advance(100)
    await new Promise((resolve) => setTimeout(resolve, 20))
  })

  it('twice is the same as once', () => {
    const outer = manualClock()
    const inner = manualClock()
    inner.uninstall()
    inner.uninstall()
    inner[Symbol.dispose]()
    const token = new TimeoutToken(5)
    outer.tick(5)
    assert.equal(token.cancelled, true)
    outer.uninstall()
  })

  it('nested: the inner one drives while it is there, then the outer one again', () => {
    using outer = manualClock()
    outer.tick(1_000)
    const before = new TimeoutToken(50)
    let heard = 0
    before.onCancel(() => heard++)
    {
      using inner = manualClock()
      assert.equal(inner.now, 0)
      const token = new TimeoutToken(50)
      inner.tick(50)
      assert.equal(token.cancelled, true)
      assert.equal(heard, 0)
    }
    assert.equal(outer.now, 1_000)
    const token = new TimeoutToken(20)
    outer.tick(20)
    assert.equal(token.cancelled, true)
    assert.equal(heard, 0)
    outer.tick(30)
    assert.equal(heard, 1)
  })

  it('taken out in another order, the last one leaves the system’s clock, not one that stands still', () => {
    const first = manualClock()
    const second = manualClock()
    first.uninstall()
    const under = new TimeoutToken(5)
    second.tick(5)
    assert.equal(under.cancelled, true)
    second.uninstall()
    assert.equal(goesByItself(), true)
  })

  it('what was begun by the system’s clock is taken back from it, under whatever clock that happens', async () => {
    const before = holding()
    const token = new SimpleToken()
    const sleeping = token.sleep(60_000)
    assert.equal(holding(), before + 1)
    using clock = manualClock()
    token.cancel()
    await assert.rejects(sleeping)
    clock.tick(0)
    assert.equal(holding(), before)
  })

  it('what was begun by a manual clock can be cancelled after it is gone', async () => {
    const token = new SimpleToken()
    const clock = manualClock()
    const seen = watch(clock, { sleep: token.sleep(10), wait: token.wait({ timeout: 10 }) })
    const registration = new TimeoutToken(10).onCancel(() => assert.fail('taken back'))
    clock.uninstall()
    assert.equal(registration.stop(), true)
    token.cancel()
    await turn()
    assert.deepEqual(seen, ['sleep rejected at 0', 'wait resolved at 0'])
  })
})

describe('what a manual clock drives', () => {
  it('deadlines: polls, reads, listeners, the time left, signals, and derived tokens', () => {
    using clock = manualClock()
    const token = new TimeoutToken(100)
    const derived = new SimpleToken(new SimpleToken(), token)
    const seen: string[] = []
    derived.onCancel((error) => seen.push(`${error.kind} at ${clock.now}`))
    const { signal } = derived
    clock.tick(99)
    assert.deepEqual([token.cancelled, derived.cancelled, signal.aborted], [false, false, false])
    assert.equal(derived.remaining, 1)
    clock.tick(1)
    assert.deepEqual([token.cancelled, derived.cancelled, signal.aborted], [true, true, true])
    assert.deepEqual(seen, ['timeout at 100'])
  })

  it('deadlines without listeners are found by a read', () => {
    using clock = manualClock()
    const token = new TimeoutToken(100)
    clock.tick(100)
    assert.equal(token.error?.kind, 'timeout')
  })

  it('deadlines of months, and the one that never comes', () => {
    using clock = manualClock()
    const month = 30 * 24 * 3_600_000
    const token = new TimeoutToken(3 * month)
    const never = new TimeoutToken(Infinity)
    let at: number | undefined
    token.onCancel(() => (at = clock.now))
    never.onCancel(() => assert.fail('it never comes'))
    clock.tick(3 * month - 1)
    assert.equal(at, undefined)
    clock.tick(1)
    assert.equal(at, 3 * month)
    clock.tick(1_000 * month)
    assert.equal(never.cancelled, false)
  })

  it('restart: the whole time again, with and without a listener', () => {
    for (const listening of [true, false]) {
      using clock = manualClock()
      const token = new TimeoutToken(100)
      let at: number | undefined
      if (listening) token.onCancel(() => (at = clock.now))
      for (let i = 0; i < 5; i++) {
        clock.tick(99)
        assert.equal(token.restart(), true)
        assert.equal(token.remaining, 100)
      }
      clock.tick(99)
      assert.equal(token.cancelled, false)
      clock.tick(1)
      if (listening) assert.equal(at, 595)
      assert.equal(token.cancelled, true)
      assert.equal(token.restart(), false)
    }
  })

  it('sleep, up to the very moment', async () => {
    using clock = manualClock()
    const token = new SimpleToken()
    const seen = watch(clock, { short: token.sleep(0), nap: token.sleep(10), long: token.sleep(Infinity) })
    await clock.advance(9)
    assert.deepEqual(seen, ['short resolved at 0'])
    await clock.advance(1)
    assert.deepEqual(seen, ['short resolved at 0', 'nap resolved at 10'])
    await clock.advance(1e12)
    token.cancel()
    await turn()
    assert.deepEqual(seen.slice(2), [`long rejected at ${clock.now}`])
  })

  it('a sleep under a deadline, whichever comes first; the deadline if they come together', async () => {
    using clock = manualClock()
    const token = new TimeoutToken(50)
    const seen = watch(clock, { nap: token.sleep(49), even: token.sleep(50), long: token.sleep(51) })
    await clock.advance(100)
    assert.deepEqual(seen, ['nap resolved at 49', 'even rejected at 50', 'long rejected at 50'])
  })

  it('every: one tick each period', async () => {
    using clock = manualClock()
    const token = new TimeoutToken(350)
    const ticks: string[] = []
    const loop = async () => {
      for await (const n of token.every(100)) ticks.push(`${n} at ${clock.now}`)
      ticks.push(`over at ${clock.now}`)
    }
    const looping = loop()
    await clock.advance(1_000)
    await looping
    assert.deepEqual(ticks, ['1 at 100', '2 at 200', '3 at 300', 'over at 350'])
  })

  it('every: what a slow consumer missed is skipped, and it is back in step after that', async () => {
    using clock = manualClock()
    const token = new SimpleToken()
    const ticks: string[] = []
    const loop = async () => {
      for await (const n of token.every(100)) {
        ticks.push(`${n} at ${clock.now}`)
        if (n === 1) await token.sleep(250)
        if (n === 6) break
      }
    }
    const looping = loop()
    await clock.advance(2_000)
    await looping
    assert.deepEqual(ticks, ['1 at 100', '4 at 400', '5 at 500', '6 at 600'])
  })

  it('wait: by a deadline, by its timeout, and by polls of a condition every step', async () => {
    using clock = manualClock()
    let asked = 0
    const condition = new ConditionToken(() => ++asked > 4, { pollEvery: Infinity })
    const seen = watch(clock, {
      deadline: new TimeoutToken(30).wait(),
      timeout: new SimpleToken().wait({ timeout: 40 }),
      condition: condition.wait({ step: 15 }),
    })
    await clock.advance(29)
    assert.deepEqual(seen, [])
    await clock.advance(100)
    // Asked at once, and after 15, 30, 45 and 60.
    assert.deepEqual(seen, ['deadline resolved at 30', 'timeout rejected at 40', 'condition resolved at 60'])
    assert.equal(asked, 5)
  })

  it('wait: polls of a counter', async () => {
    using clock = manualClock()
    const seen = watch(clock, { counter: new CounterToken(3, { direct: false }).wait({ step: 7 }) })
    await clock.advance(20)
    assert.deepEqual(seen, [])
    await clock.advance(1)
    assert.deepEqual(seen, ['counter resolved at 21'])
  })

  it('pollEvery: a condition is called while it has a listener, and no longer', () => {
    using clock = manualClock()
    let asked = 0
    const token = new ConditionToken(() => ++asked < 0, { pollEvery: 25 })
    clock.tick(1_000)
    assert.equal(asked, 0)
    const registration = token.onCancel(() => {})
    clock.tick(24)
    assert.equal(asked, 0)
    clock.tick(1)
    assert.equal(asked, 1)
    clock.tick(100)
    assert.equal(asked, 5)
    registration.stop()
    clock.tick(1_000)
    assert.equal(asked, 5)
  })

  it('pollEvery: every 10 ms if nothing else is said', () => {
    using clock = manualClock()
    let at: number | undefined
    new ConditionToken(() => clock.now >= 55).onCancel(() => (at = clock.now))
    clock.tick(100)
    assert.equal(at, 60)
  })

  it('grace: counted from the cancellation itself', () => {
    using clock = manualClock()
    const token = new SimpleToken()
    const grace = token.grace(100)
    let at: number | undefined
    grace.onCancel(() => (at = clock.now))
    clock.tick(40)
    assert.equal(grace.remaining, Infinity)
    token.cancel()
    assert.equal(grace.remaining, 100)
    clock.tick(99)
    assert.deepEqual([grace.cancelled, grace.remaining], [false, 1])
    clock.tick(1)
    assert.deepEqual([grace.cancelled, at], [true, 140])
  })

  it('grace after a deadline, looked at or not', () => {
    for (const listening of [true, false]) {
      using clock = manualClock()
      const grace = new TimeoutToken(100).grace(50)
      let at: number | undefined
      if (listening) grace.onCancel(() => (at = clock.now))
      assert.equal(grace.remaining, 150)
      clock.tick(149)
      assert.equal(grace.cancelled, false)
      clock.tick(1)
      assert.equal(grace.cancelled, true)
      if (listening) assert.equal(at, 150)
    }
  })

  it('allOf: with the last of the deadlines', () => {
    using clock = manualClock()
    const token = allOf(new TimeoutToken(10), new TimeoutToken(30), new TimeoutToken(20))
    let at: number | undefined
    token.onCancel(() => (at = clock.now))
    clock.tick(100)
    assert.equal(at, 30)
  })

  it('race: its timeout, the deadline of its token, and the sleep of its works', async () => {
    using clock = manualClock()
    const forever = new Promise<never>(() => {})
    const nap = (ms: number) => (token: CancellationToken) => token.sleep(ms)
    const seen = watch(clock, {
      timeout: new SimpleToken().race(forever, { timeout: 20 }),
      deadline: new TimeoutToken(30).race(forever, { timeout: 40 }),
      work: new TimeoutToken(60).race([nap(50), nap(1_000)], { timeout: 60 }),
    })
    await clock.advance(1_000)
    assert.deepEqual(seen, ['timeout rejected at 20', 'deadline rejected at 30', 'work resolved at 50'])
  })

  it('checkpoint is no matter of time: it passes while the clock is stopped', async () => {
    using clock = manualClock()
    const token = new SimpleToken()
    for (let i = 0; i < 5_000; i++) await token.checkpoint()
    let turns = 0
    for await (const turn of token.turns()) if ((turns = turn) === 5_000) break
    assert.equal(turns, 5_000)
    assert.equal(clock.now, 0)
  })

  it('a loop over a token lets the event loop turn though the clock is stopped', async () => {
    using clock = manualClock()
    const token = new SimpleToken()
    setTimeout(() => token.cancel('a real timer'), 1)
    for await (const turn of token.turns()) assert.ok(turn >= 0)
    assert.equal(token.reason, 'a real timer')
    assert.equal(clock.now, 0)
  })

  it('what it drives leaves no timer of the system', async () => {
    const before = holding()
    using clock = manualClock()
    const token = new TimeoutToken(10)
    const sleeping = token.sleep(100)
    const waiting = new SimpleToken().wait({ timeout: 10 })
    const racing = new SimpleToken().race(new Promise(() => {}), { timeout: 10 })
    const ended = [sleeping, waiting, racing].map((one) => assert.rejects(one, (error) => isCancellation(error)))
    await clock.advance(10)
    await Promise.all(ended)
    assert.equal(holding(), before)
  })
})

describe('waitSync under a manual clock', () => {
  it('moves it to the deadline, and blocks no thread', () => {
    using clock = manualClock()
    const start = performance.now()
    const error = new TimeoutToken(3_600_000).waitSync()
    assert.equal(error.kind, 'timeout')
    assert.equal(clock.now, 3_600_000)
    assert.ok(performance.now() - start < 10_000)
  })

  it('moves it to its timeout', () => {
    using clock = manualClock()
    assert.throws(() => new TimeoutToken(500).waitSync({ timeout: 200 }), { name: 'TimeoutError' })
    assert.equal(clock.now, 200)
  })

  it('moves it step by step while it polls', () => {
    using clock = manualClock()
    const token = new ConditionToken(() => clock.now >= 30, { pollEvery: Infinity })
    assert.equal(token.waitSync({ step: 12 }).kind, 'condition')
    assert.equal(clock.now, 36)
  })

  it('lets go off on the way what is due', () => {
    using clock = manualClock()
    const token = new TimeoutToken(100)
    const order: string[] = []
    new TimeoutToken(40).onCancel(() => order.push(`other at ${clock.now}`))
    token.onCancel(() => order.push(`own at ${clock.now}`))
    token.waitSync()
    assert.deepEqual(order, ['other at 40', 'own at 100'])
  })

  it('notices a cancel by what goes off on the way', () => {
    using clock = manualClock()
    const token = new SimpleToken()
    new TimeoutToken(40).onCancel(() => token.cancel('on the way'))
    assert.equal(new SimpleToken(token).waitSync({ timeout: 100 }).cause, 'on the way')
    assert.ok(clock.now <= 100)
  })

  it('still throws where nothing could ever cancel the token', () => {
    using clock = manualClock()
    assert.throws(() => new SimpleToken().waitSync(), { name: 'TypeError' })
    assert.equal(clock.now, 0)
  })
})
