/** Deadlines polled by the ticks of another thread. */
import assert from 'node:assert/strict'
import { afterEach, describe, it } from 'node:test'
import { SimpleToken, TimeoutToken } from 'calloff'
import { share, SharedToken, startTicker, type Ticker } from 'calloff/threads'
import { manualClock } from 'calloff/testing'

let ticker: Ticker | undefined
afterEach(() => ticker?.stop())

const { now } = performance
/** Puts another clock in the place of the platform's. */
const setClock = (read: () => number) => Object.assign(performance, { now: read })
afterEach(() => setClock(now))

describe('a ticker', () => {
  for (const [name, make] of [
    ['a deadline', () => new TimeoutToken(30)],
    ['a token below it', () => new SimpleToken(new TimeoutToken(30))],
    ['one that a shared token carries', () => SharedToken.from(structuredClone(share(new TimeoutToken(30)).handle))],
  ] as const) {
    it(`ends a loop that never yields, not before its time: ${name}`, async () => {
      ticker = startTicker()
      await ticker.ready
      assert.equal(ticker.isRunning, true)
      const begin = performance.now()
      const token = make()
      while (token.keepOn());
      assert.ok(performance.now() - begin >= 30)
      assert.equal(token.kind, 'timeout')
    })
  }

  it('reads the clock for one poll in 64, and so delays no deadline by more than that', async () => {
    let reads = 0
    let at = now.call(performance)
    setClock(() => (reads++, at))
    ticker = startTicker({ resolution: 1_000_000 }) // as if it got no processor at all
    const token = new TimeoutToken(1_000)
    token.keepOn()
    reads = 0
    for (let polls = 0; polls < 64 * 100; polls++) assert.equal(token.keepOn(), true)
    assert.equal(reads, 100)
    at += 1_000
    let late = 0
    while (token.keepOn()) late++
    assert.ok(late < 64, `${late} polls late`)
  })

  it('leaves a clock that was put in its place alone', async () => {
    ticker = startTicker()
    await ticker.ready
    using clock = manualClock()
    const token = new TimeoutToken(50)
    for (let polls = 0; polls < 200; polls++) assert.equal(token.cancelled, false)
    clock.tick(50)
    assert.equal(token.cancelled, true)
  })

  it('is one for all who start it, and ends with the last of them', () => {
    ticker = startTicker()
    using other = startTicker({ resolution: 5 })
    ticker.stop()
    ticker.stop()
    assert.deepEqual([ticker.isRunning, other.isRunning], [false, true])
  })

  it('says so where there is no shared memory, and the clock is read', async () => {
    const { SharedArrayBuffer } = globalThis
    Object.assign(globalThis, { SharedArrayBuffer: undefined })
    try {
      ticker = startTicker()
      await ticker.ready
      assert.equal(ticker.isRunning, false)
      assert.equal(new TimeoutToken(0).cancelled, true)
    } finally {
      Object.assign(globalThis, { SharedArrayBuffer })
    }
  })

  it('refuses a resolution that is none', () => {
    for (const resolution of [0, -1, NaN, Infinity]) {
      assert.throws(() => startTicker({ resolution }), { name: 'RangeError', message: /^resolution must/ })
    }
    assert.throws(() => startTicker({ resolution: '1' as never }), { name: 'TypeError' })
  })
})
