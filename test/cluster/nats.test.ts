/** NATS in a cluster of three: leases that several want at once, and a leader that is killed or frozen. */
import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { jetstream } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { NEVER } from 'calloff'
import { connectHub, type HubEvent, type TokenHub } from 'calloff/remote'
import type { MarkRecord } from 'calloff/remote/engine'
import { natsEngine } from 'calloff/remote/nats'
import { skip } from '../remote/nats/server.js'
import { type Faults, history, isLong, patient } from './history.js'
import { natsCluster } from './nats-cluster.js'

const markOf = (id: string): MarkRecord => {
  return { id, kind: 'manual', reason: '', host: 'here', pid: 1, token: '', what: 'was cancelled', at: 0 }
}
const BUCKET = 'cluster'

describe('NATS in a cluster of three', { skip }, async () => {
  if (skip !== false) return
  const cluster = await natsCluster()
  const connections: NatsConnection[] = []
  const hubs: TokenHub[] = []
  after(async () => {
    await Promise.all(hubs.map((hub) => hub.close({ timeout: 0 }).catch(() => {})))
    await Promise.all(connections.map((connection) => connection.close()))
    await cluster.end()
  })
  const dial = async (...members: readonly number[]) => {
    const connection = await connect({
      servers: members.map((member) => cluster.servers[member] as string),
      noRandomize: true,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 100,
      timeout: 2_000,
    })
    connections.push(connection)
    return connection
  }
  const linkTo = async (member: number, id: string) => {
    const engine = natsEngine(await dial(member), { bucket: BUCKET, replicas: 3 })
    return engine.connect({ id, host: 'here', pid: 1, ttl: 30_000 }, { notice() {}, lost() {} }, NEVER)
  }
  const links = await Promise.all(Array.from({ length: 6 }, (_, i) => linkTo(i % 3, `session ${i}`)))
  it('of six that want a lease at once, which others have had before, one gets it', async () => {
    const topic = { name: 'wanted', runId: '' }
    let highest = 0
    for (let round = 0; round < 20; round++) {
      const answers = await Promise.all(links.map((link, i) => link.acquire(topic, `owner ${i}, ${round}`, 60_000)))
      const fences = answers.flatMap((answer) => (answer.held ? [answer.fence] : []))
      assert.equal(fences.length, 1, `round ${round}: ${fences.length} owners`)
      const [fence] = fences as [number]
      assert.ok(fence > highest, 'fences grow')
      highest = fence
      await links[answers.findIndex(({ held }) => held)]?.release(topic, fence)
    }
  })

  it('of six that cancel at once what was forgotten before, all learn of the one that stands', async () => {
    const topic = { name: 'cancelled', runId: '' }
    for (let round = 0; round < 10; round++) {
      const stand = await Promise.all(links.map((link, i) => link.mark(topic, markOf(`mark-${round}-${i}`), 60_000)))
      const [state] = await (links[0] as (typeof links)[0]).read([topic])
      for (const { id } of stand) assert.equal(id, state?.mark?.id, `round ${round}`)
      await links[round % 6]?.forget(topic)
    }
  })

  for (const how of ['kill', 'freeze'] as const) {
    // Each election takes 4 to 9 s.
    const usual = how === 'kill' ? ['another member'] : ['the leader itself']
    for (const through of isLong ? ['another member', 'the leader itself'] : usual) {
      it(`a leader that is lost (${how}) costs the election, for a hub that is connected to ${through}`, async () => {
        const lost = await cluster.leaderOf(BUCKET)
        const others = [(lost + 1) % 3, (lost + 2) % 3]
        const connection = await dial(...(through === 'another member' ? others : [lost, ...others]))
        const hub = await connectHub(natsEngine(connection, { bucket: BUCKET }))
        hubs.push(hub)
        const events: HubEvent[] = []
        hub.onEvent((event) => events.push(event))
        const bare = jetstream(await dial(...others), { timeout: 500 })
        const token = hub.open(`${how}, ${through}`)
        await token.ready

        await cluster.members[lost]?.[how]()
        const published = async () => {
          for (;;) {
            try {
              return await bare.publish(`$KV.${BUCKET}.bare`, '')
            } catch {
              await pause(20)
            }
          }
        }
        const elected = published()
        const cancelled = hub.cancel(`${how}, ${through}`, 'enough')
        const leased = hub.lease(`lease, ${how}, ${through}`, { ttl: 60_000 })
        await elected
        assert.equal((await cancelled).delivered, true)
        assert.ok((await leased).fence > 0)
        // Over the connection that there was: the hub has not noticed anything.
        const lostOnes = events.filter(({ type }) => type === 'disconnected')
        if (through === 'another member') assert.deepEqual(lostOnes, [])
        if (how === 'kill') await cluster.members[lost]?.start()
        else cluster.members[lost]?.thaw()
      })
    }
  }

  it('a hub that was given one address goes on over another member when that one is killed', async () => {
    const member = ((await cluster.leaderOf(BUCKET)) + 1) % 3
    const hub = await connectHub(`nats://${cluster.servers[member]}/${BUCKET}`, { lazy: true })
    hubs.push(hub)
    const token = hub.open('moves')
    await token.ready
    await cluster.members[member]?.kill()
    const other = await connectHub(
      natsEngine(await dial((member + 1) % 3, (member + 2) % 3), { bucket: BUCKET }),
      patient,
    )
    hubs.push(other)
    await other.cancel('moves')
    await new Promise((resolve) => token.onCancel(resolve))
    await cluster.members[member]?.start()
  })

  // A leader that was frozen, and goes on, may still answer from what it had: one short run in ten shows that on server 2.9, see
  // docs/internals/reliability.md. So only the long run has faults.
  const title = isLong ? 'histories hold while a leader is cut off from the others, and frozen' : 'histories hold'
  it(title, async (t) => {
    const hubOf = async () => {
      const hub = await connectHub(natsEngine(await dial(...pick([0, 1, 2])), { bucket: BUCKET }), patient)
      hubs.push(hub)
      return hub
    }
    /** Some first, the others after it. */
    let turn = 0
    const pick = (members: readonly number[]) => members.map((_, i) => members[(i + turn) % 3] as number)
    const made: TokenHub[] = []
    for (; turn < 3; turn++) made.push(await hubOf())
    const done = { 'cut off': 0, frozen: 0 }
    const faultsOf = (lost: number) => ({
      'cut off': [() => cluster.isolate(lost), () => cluster.join(lost)],
      frozen: [() => cluster.members[lost]?.freeze(), () => cluster.members[lost]?.thaw()],
    })
    // Killed it is above, once: when leaders are killed again and again server 2.9 loses what was acknowledged, see docs/internals/reliability.md.
    const inject = async (faults: Faults) => {
      if (!isLong) return
      for (let round = 0; round === 0 || faults.goesOn; round++) {
        const lost = await cluster.leaderOf(BUCKET)
        await faults.wait(500)
        const kind = round % 2 === 0 ? 'cut off' : 'frozen'
        const [begin, end] = faultsOf(lost)[kind]
        begin?.()
        // An election takes 4 to 9 s.
        await faults.wait(3_000 + faults.random() * 7_000)
        end?.()
        done[kind]++
      }
      await cluster.leaderOf(BUCKET)
    }
    t.diagnostic(await history(made, hubOf, inject))
    t.diagnostic(JSON.stringify(done))
  })
})
