import { afterEach, beforeEach, describe, it, mock } from 'node:test'
import assert from 'node:assert/strict'
import process from 'node:process'
import { allOf, ConditionToken, CounterToken, SimpleToken, TimeoutToken } from 'calloff'

/** Lets jobs run, and the event loop turn. Taken before any timer is mocked. */
const realImmediate = globalThis.setImmediate
const turn = () => new Promise((resolve) => realImmediate(resolve))

/** Notes how each of the promises settles. */
function watch(promises: Record<string, PromiseLike<unknown>>): string[] {
  const seen: string[] = []
  for (const [name, promise] of Object.entries(promises)) {
    promise.then(
      () => seen.push(`${name} resolved`),
      () => seen.push(`${name} rejected`),
    )
  }
  return seen
}

/** The time of the mocked timers, for those who read the clock. */
let time = 0
const tick = async (ms: number) => {
  time += ms
  mock.timers.tick(ms)
  await turn()
}
/** The one line: `mock.timers` leave `performance.now` alone, and it is what polls of a deadline read. */
const mockClock = () => mock.method(performance, 'now', () => time)
/** Without it the clock knows nothing of the ticks: it goes on by itself, and here only by a little, however long a test takes. */
const slowClock = () => {
  let reads = 0
  mock.method(performance, 'now', () => ++reads / 1_000)
}

/** How many timers hold the process. */
const holding = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length

const settings = [
  ['setTimeout alone', ['setTimeout'], false],
  ['setTimeout and performance.now', ['setTimeout'], true],
  ['all that node:test can mock', ['setTimeout', 'setInterval', 'setImmediate', 'Date'], false],
  ['all that, and performance.now', ['setTimeout', 'setInterval', 'setImmediate', 'Date'], true],
] as const

for (const [name, apis, withClock] of settings) {
  describe(`node:test’s timers, with ${name} mocked, drive by tick alone`, () => {
    beforeEach(() => {
      time = 0
      mock.timers.enable({ apis: [...apis] as ('setTimeout' | 'setInterval' | 'setImmediate')[] })
      if (withClock) mockClock()
      else slowClock()
    })
    afterEach(() => {
      mock.timers.reset()
      mock.restoreAll()
    })

    it('the listeners of a deadline, and after that its polls', async () => {
      const token = new TimeoutToken(60_000) // polls go by the clock, which may be the real one
      const derived = new SimpleToken(token)
      let heard = 0
      derived.onCancel(() => heard++)
      await tick(59_999)
      assert.deepEqual([heard, token.cancelled, derived.cancelled], [0, false, false])
      await tick(1)
      assert.deepEqual([heard, token.cancelled, derived.cancelled], [1, true, true])
      assert.equal(token.error?.kind, 'timeout')
      assert.equal(token.remaining, 0)
    })

    it('its signal', async () => {
      const { signal } = new SimpleToken(new TimeoutToken(100))
      await tick(99)
      assert.equal(signal.aborted, false)
      await tick(1)
      assert.equal(signal.aborted, true)
    })

    it('restart', async () => {
      const token = new TimeoutToken(100)
      let heard = 0
      token.onCancel(() => heard++)
      for (let i = 0; i < 3; i++) {
        await tick(60)
        assert.equal(token.restart(), true)
      }
      await tick(99)
      assert.equal(heard, 0)
      await tick(1)
      assert.equal(heard, 1)
    })

    it('a deadline of months', async () => {
      const month = 30 * 24 * 3_600_000
      const token = new TimeoutToken(3 * month)
      let heard = 0
      token.onCancel(() => heard++)
      // Leg by leg, since a tick of node:test counts what is set on its way from its end.
      let left = 3 * month - 1
      for (; left > 2 ** 31 - 1; left -= 2 ** 31 - 1) await tick(2 ** 31 - 1)
      await tick(left)
      assert.equal(heard, 0)
      await tick(1)
      assert.equal(heard, 1)
    })

    it('grace', async () => {
      const byHand = new SimpleToken()
      const deadline = new TimeoutToken(100)
      const heard: string[] = []
      byHand.grace(50).onCancel(() => heard.push('by hand'))
      deadline.grace(50).onCancel(() => heard.push('deadline'))
      byHand.cancel()
      await tick(49)
      assert.deepEqual(heard, [])
      await tick(1)
      assert.deepEqual(heard, ['by hand'])
      await tick(50)
      assert.equal(deadline.cancelled, true)
      await tick(49)
      assert.deepEqual(heard, ['by hand'])
      await tick(1)
      assert.deepEqual(heard, ['by hand', 'deadline'])
    })

    it('allOf', async () => {
      let heard = 0
      allOf(new TimeoutToken(10), new TimeoutToken(30), new TimeoutToken(20)).onCancel(() => heard++)
      await tick(29)
      assert.equal(heard, 0)
      await tick(1)
      assert.equal(heard, 1)
    })

    it('sleep, also in a row, also under a deadline', async () => {
      const token = new SimpleToken()
      const seen = watch({
        nap: token.sleep(50),
        row: token.sleep(30).then(() => token.sleep(30)),
        'cut off': new TimeoutToken(40).sleep(1_000),
      })
      await tick(39)
      assert.deepEqual(seen, [])
      await tick(1)
      assert.deepEqual(seen, ['cut off rejected'])
      await tick(10)
      assert.deepEqual(seen, ['cut off rejected', 'nap resolved'])
      await tick(20)
      assert.deepEqual(seen, ['cut off rejected', 'nap resolved', 'row resolved'])
    })

    it('every, tick by tick', async () => {
      const token = new SimpleToken()
      const ticks: number[] = []
      const loop = async () => {
        for await (const n of token.every(100)) ticks.push(n)
        ticks.push(-1)
      }
      void loop()
      await tick(99)
      assert.deepEqual(ticks, [])
      await tick(1)
      assert.deepEqual(ticks, [1])
      for (const n of [2, 3, 4]) {
        await tick(100)
        assert.equal(ticks.at(-1), n)
      }
      assert.deepEqual(ticks, [1, 2, 3, 4])
      token.cancel()
      await turn()
      assert.deepEqual(ticks, [1, 2, 3, 4, -1])
    })

    it('every, until a deadline', async () => {
      const ticks: number[] = []
      const loop = async () => {
        for await (const n of new TimeoutToken(250).every(100)) ticks.push(n)
        ticks.push(-1)
      }
      void loop()
      for (let i = 0; i < 25; i++) await tick(10)
      await turn()
      assert.deepEqual(ticks, [1, 2, -1])
    })

    it('wait, and its timeout', async () => {
      const seen = watch({
        wait: new TimeoutToken(30).wait(),
        timeout: new SimpleToken().wait({ timeout: 40 }),
      })
      await tick(29)
      assert.deepEqual(seen, [])
      await tick(1)
      assert.deepEqual(seen, ['wait resolved'])
      await tick(10)
      assert.deepEqual(seen, ['wait resolved', 'timeout rejected'])
    })

    it('wait for a condition and for a counter, step by step', async () => {
      let over = false
      const seen = watch({
        condition: new ConditionToken(() => over, { pollEvery: 1_000_000 }).wait({ step: 10 }),
        counter: new CounterToken(3, { direct: false }).wait({ step: 20 }),
      })
      for (let i = 0; i < 5; i++) await tick(10)
      assert.deepEqual(seen, [])
      await tick(10)
      assert.deepEqual(seen, ['counter resolved'])
      over = true
      await tick(10)
      assert.deepEqual(seen, ['counter resolved', 'condition resolved'])
    })

    it('the poller of a condition', async () => {
      let asked = 0
      const token = new ConditionToken(() => ++asked === 3, { pollEvery: 20 })
      let heard = 0
      token.onCancel(() => heard++)
      await tick(20)
      await tick(20)
      await tick(19)
      assert.deepEqual([asked, heard], [2, 0])
      await tick(1)
      assert.deepEqual([asked, heard], [3, 1])
      await tick(100)
      assert.equal(asked, 3)
    })

    it('the timeout of a race, and a deadline under it', async () => {
      const forever = new Promise<never>(() => {})
      const seen = watch({
        timeout: new SimpleToken().race(forever, { timeout: 20 }),
        deadline: new TimeoutToken(30).race(forever),
        work: new TimeoutToken(50).race((token) => token.sleep(40)),
      })
      await tick(19)
      assert.deepEqual(seen, [])
      await tick(1)
      await tick(10)
      await tick(10)
      assert.deepEqual(seen, ['timeout rejected', 'deadline rejected', 'work resolved'])
    })

    it('and checkpoint, which is no matter of time, needs no tick', async () => {
      const token = new SimpleToken()
      const done = (async () => {
        for (let i = 0; i < 3_000; i++) await token.checkpoint()
        for await (const n of token.turns()) if (n === 3_000) break
        return 'done'
      })()
      let turns = 0
      const limit = (async () => {
        while (turns++ < 1_000) await turn()
        return 'it hangs'
      })()
      assert.equal(await Promise.race([done, limit]), 'done')
    })

    it('what they drive leaves nothing that holds the process', async () => {
      const before = holding()
      const waiting = new SimpleToken().wait({ timeout: 10 })
      const racing = new TimeoutToken(10).race(new Promise(() => {}))
      const endless = new SimpleToken()
      const sleeping = endless.sleep(Infinity)
      const seen = watch({ waiting, racing, sleeping })
      await tick(10)
      endless.cancel()
      await turn()
      assert.deepEqual(seen, ['waiting rejected', 'racing rejected', 'sleeping rejected'])
      assert.equal(holding(), before)
    })

    it('what they are driving when they are taken away can still be cancelled', async () => {
      const token = new SimpleToken()
      const seen = watch({ wait: token.wait({ timeout: 10 }), sleep: token.sleep(10) })
      mock.timers.reset()
      token.cancel()
      await turn()
      assert.deepEqual(seen, ['wait resolved', 'sleep rejected'])
    })

    if (withClock) {
      it('since performance.now is mocked: polls of a deadline without listeners, and what is left of it', async () => {
        const token = new TimeoutToken(100)
        const derived = new SimpleToken(token)
        await tick(99)
        assert.deepEqual([token.cancelled, derived.keepOn(), derived.remaining], [false, true, 1])
        await tick(1)
        assert.deepEqual([token.cancelled, derived.keepOn(), derived.remaining], [true, false, 0])
      })
    } else {
      it('but not the polls of a deadline without listeners, which read performance.now', async () => {
        const token = new TimeoutToken(1e9)
        await tick(1e9)
        assert.equal(token.cancelled, false)
        assert.ok(token.remaining > 0)
      })
    }
  })
}
