/** `hub.open(name, { replace: true })`: one token takes the place of those before, on every kind of hub. */
import assert from 'node:assert/strict'
import { afterEach, describe, it } from 'node:test'
import { connectHub, type HubOptions, type RemoteToken, type TokenHub, TokenServer } from 'calloff/remote'
import { memoryEngine } from 'calloff/testing'

const open: { close(): unknown }[] = []
afterEach(async () => {
  for (const one of open.splice(0).toReversed()) await one.close()
})

/** Where the hubs are: what makes one more. */
const places: readonly [string, () => Promise<() => Promise<TokenHub>>][] = [
  [
    'over the engine in memory',
    async () => {
      const engine = memoryEngine()
      return () => connectHub(engine)
    },
  ],
  ['over the embedded server', () => served({})],
  ['over the embedded server, with the connection in a thread of its own', () => served({ background: true })],
]

async function served(options: HubOptions): Promise<() => Promise<TokenHub>> {
  const server = await TokenServer.listen({ port: 0 })
  open.push(server)
  return () => connectHub(server.url, options)
}

/** Holds the token as a job does: it has finished a turn of the event loop after the cancel, and is closed then. */
function work(token: RemoteToken, seen: (what: string) => void, name: string): void {
  seen(`${name} begins`)
  const job = async () => {
    await token.wait()
    await new Promise((resolve) => setTimeout(resolve, 5))
    seen(`${name} ends`)
  }
  void token.finished(job())
}

for (const [place, begin] of places) {
  describe(`a token that replaces those before, ${place}`, () => {
    const world = async () => {
      const connect = await begin()
      return async () => {
        const hub = await connect()
        open.push(hub)
        return hub
      }
    }

    it('is ready when they have finished, and is live', async () => {
      const hub = await world()
      const [here, there] = [await hub(), await hub()]
      const seen: string[] = []
      const before = here.open('report')
      const local = there.open('report')
      await Promise.all([before.ready, local.ready])
      work(before, (what) => seen.push(what), 'the first')
      local.onCancel(() => local.close())
      const after = there.open('report', { replace: true })
      assert.equal(after.cancelled, false)
      await after.ready
      seen.push('the second begins')
      assert.deepEqual(seen, ['the first begins', 'the first ends', 'the second begins'])
      assert.deepEqual([before.kind, local.kind, after.cancelled], ['superseded', 'superseded', false])
      await here.cancel('report', 'stop', { timeout: 20_000, until: 'acknowledged' })
      assert.deepEqual([after.cancelled, after.kind, after.reason], [true, 'manual', 'stop'])
    })

    it('makes a cancelled name live again', async () => {
      const hub = await (await world())()
      await hub.cancel('report', 'stop')
      const token = hub.open('report', { replace: true })
      await token.ready
      assert.equal(token.cancelled, false)
      assert.deepEqual(
        (await hub.list('report')).map(({ state, holders }) => [state, holders.length]),
        [['live', 1]],
      )
    })

    it('leaves other runs of the name alone', async () => {
      const hub = await (await world())()
      const monday = hub.open('report', { runId: 'monday' })
      const tuesday = hub.open('report', { runId: 'tuesday' })
      await Promise.all([monday.ready, tuesday.ready])
      monday.onCancel(() => monday.close())
      const next = hub.open('report', { runId: 'monday', replace: true })
      await next.ready
      assert.deepEqual([monday.cancelled, tuesday.cancelled, next.cancelled], [true, false, false])
    })

    it('says which process has not finished in time, and is closed', async () => {
      const hub = await world()
      const [here, there] = [await hub(), await hub()]
      const before = here.open('report')
      await before.ready
      void before.finished(new Promise(() => {}))
      const after = there.open('report', { replace: true, timeout: 50 })
      await assert.rejects(after.ready, (error: Error & { code?: string }) => {
        assert.equal(error.code, 'ERR_HUB_HELD')
        assert.match(error.message, /^"report" (is still|may still be) held after 50 ms/)
        return true
      })
      assert.deepEqual([after.cancelled, after.kind], [true, 'dispose'])
      await assert.rejects(after.delivered, { code: 'ERR_HUB_HELD' })
      before.close()
      const third = there.open('report', { replace: true })
      await third.ready
      assert.equal(third.cancelled, false)
    })

    it('of many at once the last one stays, and never two are ready and live', async () => {
      const hub = await world()
      const hubs = [await hub(), await hub(), await hub()]
      let live = 0
      const most: number[] = []
      const tokens = Array.from({ length: 12 }, (_, at) =>
        (hubs[at % 3] as TokenHub).open('report', { replace: true, timeout: 60_000 }),
      )
      const begun = tokens.map(async (token) => {
        await token.ready
        most.push(++live)
        const job = async () => {
          await token.wait()
          await new Promise((resolve) => setTimeout(resolve, 2))
          live--
        }
        void token.finished(job())
      })
      await Promise.all(begun)
      assert.equal(Math.max(...most), 1)
      assert.equal(tokens.filter(({ cancelled }) => !cancelled).length, 1)
      tokens.find(({ cancelled }) => !cancelled)?.close()
    })

    it('that is closed, or whose hub is closed, while it waits settles and holds nothing', async () => {
      const hub = await world()
      const [here, there] = [await hub(), await hub()]
      const before = here.open('report')
      await before.ready
      void before.finished(new Promise(() => {}))
      const closed = there.open('report', { replace: true })
      closed.close()
      await assert.rejects(closed.ready, { code: 'ERR_HUB_CLOSED' })
      const late = there.open('other', { replace: true })
      const waiting = there.open('report', { replace: true })
      await late.ready
      await there.close()
      await assert.rejects(waiting.ready, { code: 'ERR_HUB_CLOSED' })
      assert.equal(waiting.cancelled, true)
      before.close()
    })

    it('that is cancelled at any moment before it is ready is cancelled for all, and says so', async () => {
      const hub = await world()
      const [here, there] = [await hub(), await hub()]
      for (let turns = 0; turns < 30; turns++) {
        const name = `report-${turns}`
        const before = here.open(name)
        await before.ready
        before.onCancel(() => before.close())
        const token = there.open(name, { replace: true })
        for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve))
        token.cancel('not wanted')
        await token.delivered
        await token.ready
        const late = here.open(name)
        await late.ready
        assert.deepEqual([turns, token.reason, late.cancelled], [turns, 'not wanted', true])
      }
    })

    it('that is cancelled while it waits stays cancelled, everywhere', async () => {
      const hub = await world()
      const [here, there] = [await hub(), await hub()]
      const before = here.open('report')
      await before.ready
      const job = new Promise<void>((resolve) => void before.onCancel(() => setTimeout(resolve, 20)))
      void before.finished(job)
      const token = there.open('report', { replace: true })
      token.cancel('not wanted any more')
      await token.delivered
      await token.ready
      assert.deepEqual([token.cancelled, token.reason], [true, 'not wanted any more'])
    })
  })
}

describe('the options of hub.open', () => {
  it('refuse a timeout without replace, and what is no number or boolean', async () => {
    const hub = await connectHub(memoryEngine())
    open.push(hub)
    assert.throws(() => hub.open('a', { timeout: 5 }), /^TypeError: timeout needs replace: true$/)
    assert.throws(() => hub.open('a', { replace: true, timeout: -1 }), /^RangeError: timeout must/)
    assert.throws(() => hub.open('a', { replace: 1 as never }), /^TypeError: replace must/)
  })
})
