/** Redis Cluster of three masters and three replicas: a slot that moves while it is used, and masters that change. */
import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { connectHub, type HubEvent, type TokenHub } from 'calloff/remote'
import { redisEngine } from 'calloff/remote/redis'
import { until } from '../remote/adapter/cases.js'
import { skip } from '../remote/redis/server.js'
import { type Faults, history, isLong, patient } from './history.js'
import { redisCluster } from './redis-cluster.js'
import { caughtUp } from './sentinel.js'

describe('a Redis Cluster', { skip }, async () => {
  if (skip !== false) return
  const cluster = await redisCluster()
  const hubs: TokenHub[] = []
  after(async () => {
    await Promise.all(hubs.map((hub) => hub.close({ timeout: 0 }).catch(() => {})))
    await cluster.end()
  })
  const hubOf = async (prefix: string) => {
    const hub = await connectHub(redisEngine(cluster.client(), { prefix }), patient)
    hubs.push(hub)
    return hub
  }

  it('while a slot moves, nothing is answered from half of the data: one owner of a lease, and holders that are counted', async () => {
    const [one, other] = [await hubOf('moves'), await hubOf('moves')]
    const events: HubEvent[] = []
    one.onEvent((event) => events.push(event))
    const held = await one.lease('lease', { ttl: 60_000 })
    const tokens = Array.from({ length: 5 }, (_, i) => one.open(`held-${i}`))
    await Promise.all(tokens.map(({ ready }) => ready))
    const asked: Promise<unknown>[] = []
    await cluster.migrate('{moves}', async (moved) => {
      const ask = (what: Promise<unknown>) => {
        what.catch(() => {}) // which is looked at when the slot has moved
        asked.push(what)
      }
      ask(assert.rejects(other.lease('lease', { ttl: 60_000 }), { code: 'ERR_LEASE_HELD' }, `after ${moved} keys`))
      const token = tokens[moved]
      if (!token) return
      const cancelled = async () => {
        const { delivered, holders } = await other.cancel(`held-${moved}`)
        assert.deepEqual({ delivered, holders }, { delivered: true, holders: 1 }, `after ${moved} keys`)
      }
      ask(cancelled())
    })
    for (const outcome of await Promise.allSettled(asked)) if (outcome.status === 'rejected') throw outcome.reason
    const lease = one.open('after')
    await lease.ready
    assert.equal(held.cancelled, false)
    await until(() => tokens.every(({ cancelled }) => cancelled), 'all that were cancelled end')
    for (const hub of [one, other]) {
      const { length } = (await hub.list('held-')).filter(({ state }) => state === 'cancelled')
      assert.equal(length, 5)
    }
    held.close()
    const next = await other.lease('lease', { ttl: 60_000, timeout: 60_000 })
    assert.ok(next.fence > held.fence)
    next.close()
  })

  it('histories hold while the slot moves, a replica takes over, and a master is killed', async (t) => {
    const hubs = await Promise.all(Array.from({ length: 3 }, () => hubOf('history')))
    const done = { moves: 0, takeovers: 0, kills: 0 }
    const inject = async (faults: Faults) => {
      do {
        await faults.wait(300)
        await cluster.migrate('{history}', () => faults.wait(2))
        done.moves++
        await faults.wait(300)
        await cluster.failOver('{history}')
        done.takeovers++
        await faults.wait(300)
        await cluster.whole()
        const master = await cluster.masterOf('{history}')
        await faults.calm(async () => {
          const member = cluster.members[master]
          if (member) await caughtUp(member.port)
          await member?.kill()
        })
        done.kills++
        await cluster.tookOver('{history}', master)
        await faults.wait(300)
        await cluster.members[master]?.start()
        await cluster.whole()
      } while (isLong && faults.goesOn)
    }
    t.diagnostic(await history(hubs, () => hubOf('history'), inject))
    t.diagnostic(JSON.stringify(done))
  })
})
