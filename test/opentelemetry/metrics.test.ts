import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { openScope, scope, SimpleToken, TimeoutToken, trace } from 'calloff'
import { instrument } from 'calloff/opentelemetry'
import { manualClock } from 'calloff/testing'
import { type Sdk, startSdk } from './sdk.js'

let sdk: Sdk
let instrumentation: Disposable
before(() => {
  sdk = startSdk()
  instrumentation = instrument()
})
after(async () => {
  instrumentation[Symbol.dispose]()
  await sdk.stop()
})

/** Returns what `body` has added to a metric. */
async function added(name: string, body: () => unknown): Promise<Record<string, number>> {
  const before = await sdk.points(name)
  await body()
  const now = await sdk.points(name)
  return Object.fromEntries(
    Object.entries(now)
      .map(([key, value]) => [key, value - (before[key] ?? 0)] as const)
      .filter(([, value]) => value !== 0),
  )
}

/** A task that goes on until `finish` is called. */
function deaf() {
  let finish!: () => void
  return { run: () => new Promise<void>((resolve) => (finish = resolve)), finish: () => finish() }
}

describe('the metrics', () => {
  it('count cancellations by their kinds, and not the ends of scopes', async () => {
    const counts = await added('calloff.cancellations', async () => {
      new SimpleToken().cancel()
      const root = new SimpleToken()
      for (let i = 0; i < 3; i++) new SimpleToken(root).onCancel(() => {})
      root.cancel()
      assert.equal(new TimeoutToken(0).cancelled, true)
      new SimpleToken()[Symbol.dispose]()
      await scope((s) => s.run(async () => 1))
      await openScope().close()
      assert.equal(await new SimpleToken().race([async () => 1, (token) => token.sleep(60_000)]), 1)
    })
    assert.deepEqual(counts, { manual: 2, timeout: 1, dispose: 1, race: 2 })
  })

  it('count a cancellation also where the policy ignores it', async () => {
    const counts = await added('calloff.cancellations', () => {
      using _ = instrument({ policy: { manual: 'ignore' } })
      new SimpleToken().cancel()
    })
    assert.deepEqual(counts, { manual: 2 })
  })

  it('measure the time from the cancellation of a scope to its end, in seconds', async () => {
    using clock = manualClock()
    const stop = new SimpleToken()
    const { run, finish } = deaf()
    const counts = await added('calloff.scope.stop.duration', async () => {
      const ended = scope(stop, (s) => s.run(run)).catch(() => {})
      stop.cancel()
      clock.tick(1_500)
      finish()
      await ended
      await scope(async () => {})
    })
    assert.deepEqual(counts, { manual: 1 })
    assert.equal(await sdk.sum('calloff.scope.stop.duration'), 1.5)
  })

  it('count the tasks that run', async () => {
    const active = async () => (await sdk.points('calloff.active_tasks'))[''] ?? 0
    const { run, finish } = deaf()
    const s = openScope(undefined, { concurrency: 1 })
    void s.run(run)
    void s.run(async () => {})
    assert.equal(await active(), 1)
    finish()
    await s.close()
    assert.equal(await active(), 0)
  })

  it('count the scopes that are stuck, until they end', async () => {
    using clock = manualClock()
    const stuck = async () => (await sdk.points('calloff.stuck_scopes'))[''] ?? 0
    const [first, second] = [deaf(), deaf()]
    const scopes = [first, second].map(({ run }) => {
      const s = openScope(undefined, { stuckAfter: 100, onStuck: () => {} })
      void s.run(run)
      s.cancel()
      return s
    })
    assert.equal(await stuck(), 0)
    clock.tick(101)
    assert.equal(await stuck(), 2)
    first.finish()
    await scopes[0]?.close()
    assert.equal(await stuck(), 1)
    second.finish()
    await scopes[1]?.close()
    assert.equal(await stuck(), 0)
  })

  it('do not go on counting what the instrumentation hears of no more, nor what it has not heard of', async () => {
    using clock = manualClock()
    const names = ['calloff.active_tasks', 'calloff.stuck_scopes'] as const
    const values = () => Promise.all(names.map(async (name) => (await sdk.points(name))[''] ?? 0))
    using _ = trace({}) // so that what starts without the instrumentation is reported
    instrumentation[Symbol.dispose]()
    const begin = () => {
      const task = deaf()
      const s = openScope(undefined, { stuckAfter: 100, onStuck: () => {} })
      void s.run(task.run)
      s.cancel()
      return async () => {
        task.finish()
        await s.close()
      }
    }
    const endOfFirst = begin()
    instrumentation = instrument()
    const endOfSecond = begin()
    clock.tick(101)
    assert.deepEqual(await values(), [1, 1])
    await endOfFirst()
    assert.deepEqual(await values(), [1, 1])
    instrumentation[Symbol.dispose]()
    assert.deepEqual(await values(), [0, 0])
    await endOfSecond()
    assert.deepEqual(await values(), [0, 0])
    instrumentation = instrument()
  })
})
