/** The engine in memory keeps what a hub promises, by the clock of the system and by a manual one. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SimpleToken } from 'calloff'
import { connectHub, type HubOptions } from 'calloff/remote'
import { hubConformance, manualClock, memoryEngine } from 'calloff/testing'

function cases() {
  const engine = memoryEngine()
  return hubConformance({
    connect: (options?: HubOptions) => connectHub(engine, options),
    engine: () => engine,
    cut: () => engine.cut(),
    async restart() {
      engine.stop()
      engine.start()
    },
  })
}

describe('the engine in memory', () => {
  for (const { name, run } of cases()) it(name, run)
})

describe('the engine in memory, by a manual clock', () => {
  for (const { name, run } of cases()) {
    it(name, async () => {
      using clock = manualClock()
      let isOver = false
      const running = run().finally(() => (isOver = true))
      while (!isOver) await clock.advance(5)
      await running
    })
  }
})

describe('hubs over the engine in memory', () => {
  it('share what is in one engine, and nothing with another', async () => {
    const [one, other] = [memoryEngine(), memoryEngine()]
    await using here = await connectHub(one)
    await using there = await connectHub(one)
    await using elsewhere = await connectHub(other)
    await here.cancel('report-7', 'stop')
    assert.equal((await there.list()).length, 1)
    assert.equal((await elsewhere.list()).length, 0)
  })

  it('connect again after it was stopped, by a manual clock, and find what was stored', async () => {
    using clock = manualClock()
    const engine = memoryEngine()
    await using hub = await connectHub(engine)
    const token = hub.open('report-7')
    await token.ready
    await hub.cancel('report-6')
    engine.stop()
    assert.equal(hub.state, 'disconnected')
    await assert.rejects(connectHub(engine), { code: 'ERR_HUB_UNREACHABLE' })
    await clock.advance(60_000)
    assert.equal(hub.state, 'disconnected')
    engine.start()
    await clock.advance(60_000)
    assert.equal(hub.state, 'connected')
    assert.deepEqual(
      (await hub.list()).map(({ name, state }) => `${name} ${state}`),
      ['report-6 cancelled', 'report-7 live'],
    )
    assert.equal(token.cancelled, false)
  })

  it('lose a lease when its owner is silent, at the moment that the manual clock reaches its ttl', async () => {
    using clock = manualClock()
    const engine = memoryEngine()
    const session = { id: 'a process that dies', host: 'test', pid: 1, ttl: 30_000 }
    await using hub = await connectHub(engine)
    const link = await engine.connect(session, { notice() {}, lost() {} }, new SimpleToken())
    await link.acquire({ name: 'shard-7', runId: '' }, 'a process that dies', 10_000)
    const token = hub.open('shard-7')
    await token.ready
    await clock.advance(9_999)
    assert.equal(token.cancelled, false)
    await clock.advance(10)
    assert.equal(token.kind, 'lease')
  })
})
