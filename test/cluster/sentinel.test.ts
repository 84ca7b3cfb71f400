/** Redis with a replica and a Sentinel: histories over masters that are killed and frozen. */
import { after, describe, it } from 'node:test'
import { connectHub, type TokenHub } from 'calloff/remote'
import { redisEngine } from 'calloff/remote/redis'
import { skip } from '../remote/redis/server.js'
import { type Faults, history, isLong, patient } from './history.js'
import { caughtUp, sentinelGroup } from './sentinel.js'

describe('a Redis behind a Sentinel', { skip }, async () => {
  if (skip !== false) return
  const group = await sentinelGroup()
  const hubs: TokenHub[] = []
  after(async () => {
    await Promise.all(hubs.map((hub) => hub.close({ timeout: 0 }).catch(() => {})))
    await group.end()
  })
  const hubOf = async () => {
    const hub = await connectHub(redisEngine(group.client()), patient)
    hubs.push(hub)
    return hub
  }

  it('histories hold while masters are killed', async (t) => {
    let kills = 0
    const inject = async (faults: Faults) => {
      do {
        const master = await group.master()
        await faults.wait(500)
        await faults.calm(async () => {
          await caughtUp(master.port)
          await master.kill()
        })
        kills++
        await group.another(master)
        await faults.wait(300)
        await master.start()
      } while (isLong && faults.goesOn)
    }
    const hubs = await Promise.all([hubOf(), hubOf(), hubOf()])
    t.diagnostic(await history(hubs, hubOf, inject))
    t.diagnostic(`${kills} masters killed`)
  })
})
