/** PostgreSQL with a standby that has everything: histories over a primary that is killed, after which the standby takes over. */
import { after, describe, it } from 'node:test'
import { connectHub, type TokenHub } from 'calloff/remote'
import { postgresEngine } from 'calloff/remote/postgres'
import { skip } from '../remote/postgres/server.js'
import { type Faults, history, isLong, patient, seconds } from './history.js'
import { postgresPair } from './postgres-pair.js'

/** A primary is killed once, and then it takes another pair. */
const pairs = isLong ? Math.ceil(seconds / 10) : 1

describe('PostgreSQL with a standby', { skip }, () => {
  for (let round = 1; round <= pairs; round++) {
    it(`histories hold while the primary is killed and the standby takes over (${round} of ${pairs})`, async (t) => {
      const pair = await postgresPair()
      const hubs: TokenHub[] = []
      const hubOf = async () => {
        const hub = await connectHub(
          postgresEngine(() => pair.client()),
          patient,
        )
        hubs.push(hub)
        return hub
      }
      after(async () => {
        await Promise.all(hubs.map((hub) => hub.close({ timeout: 0 }).catch(() => {})))
        await pair.end()
      })
      const inject = async (faults: Faults) => {
        await faults.wait(1_000 + faults.random() * 1_000)
        await pair.failOver()
        await faults.wait(1_000)
      }
      const first = [await hubOf(), await hubOf(), await hubOf()]
      t.diagnostic(await history(first, hubOf, inject, isLong ? 8 : seconds))
      await Promise.all(hubs.map((hub) => hub.close({ timeout: 0 }).catch(() => {})))
      await pair.end()
    })
  }
})
