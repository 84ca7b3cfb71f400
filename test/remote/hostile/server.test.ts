/**
 * A client that has the key and means harm: it asks for too much, reads nothing, and comes back under new names. It costs the other
 * clients nothing, and the server no more than it allows. The figures are taken by `npm run test:soak`.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { after, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { connectHub, TokenServer } from 'calloff/remote'
import { manualClock } from 'calloff/testing'
import { engineFor, Store } from '../inside.js'
import { Attacker, floods, holders, markOf, type Message, topic } from './attacker.js'

const children: ChildProcess[] = []
after(() => {
  for (const child of children) child.kill('SIGKILL')
})

/** A server in a process of its own, so that what it does for one client costs the others only its time. */
async function serverApart(limits: object = {}): Promise<string> {
  const program = fileURLToPath(new URL('server.child.js', import.meta.url))
  const child = spawn(process.execPath, ['--max-old-space-size=512', program, JSON.stringify(limits)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.push(child)
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  return String(line).trim()
}

describe('one client costs the others nothing', () => {
  for (const [what, flood] of Object.entries(floods)) {
    it(`when it asks for ${what}, over and over`, async () => {
      const url = await serverApart()
      await using hub = await connectHub(url)
      const attacker = await Attacker.connect(url, 'attacker')
      attacker.send({ type: 'enter', id: 1, holders: holders(500) })
      attacker.send({ type: 'enter', id: 2, holders: holders(1_000).slice(500) })
      while (attacker.answers < 4) await once(attacker.socket, 'data')
      const token = hub.open('victim')
      await token.ready

      const requests = flood(1_000)
      const before = attacker.answers
      attacker.sendAll(requests)
      // Once it is being answered, what others ask comes in between.
      await once(attacker.socket, 'data')
      for (let round = 0; round < 5; round++) await hub.forget(`other ${round}`)
      const receipt = await hub.cancel('victim', 'stop', { timeout: 60_000, until: 'acknowledged' })
      assert.equal(receipt.acknowledged, 1)
      const answered = attacker.answers - before
      assert.ok(answered < requests.length, `all ${answered} requests of the attacker were answered first`)
      attacker.socket.destroy()
    })
  }

  it('when it does not read what it has asked for', async () => {
    await using server = await TokenServer.listen({ port: 0, limits: { unread: 1_000_000 } })
    await using hub = await connectHub(server.url)
    const attacker = await Attacker.connect(server.url, 'attacker')
    attacker.send({ type: 'enter', id: 1, holders: holders(1_000) })
    while (attacker.answers < 3) await once(attacker.socket, 'data')
    attacker.socket.pause()
    const asked = 100
    attacker.sendAll((floods['lists of all names'] as (count: number) => Message[])(asked))
    for (let round = 0; round < 50; round++) await hub.forget(`other ${round}`)
    // It is made to wait until it reads, and gets all of it then.
    attacker.socket.resume()
    while (attacker.answers < 3 + asked) await once(attacker.socket, 'data')
    attacker.socket.destroy()
  })
})

describe('what clients store is bounded', () => {
  it('over all sessions: what would take more is refused, and what was acknowledged stays', async () => {
    await using server = await TokenServer.listen({ port: 0, limits: { bytes: 4_000_000 } })
    await using hub = await connectHub(server.url)
    await hub.cancel('kept')
    let refused: Message | undefined
    let entered = 0
    for (let session = 0; !refused; session++) {
      assert.ok(session < 100, 'it is refused in the end')
      const attacker = await Attacker.connect(server.url, `attacker ${session}`)
      attacker.onMessage = (message) => {
        if (message.type === 'failed') refused = message
      }
      const before = attacker.answers
      attacker.send({ type: 'enter', id: 1, holders: holders(1_000, `session ${session} `) })
      while (attacker.answers === before) await once(attacker.socket, 'data')
      if (!refused) entered += 1_000
      attacker.socket.destroy()
    }
    assert.ok(entered >= 1_000 && entered < 4_000, `${entered} tokens were entered`)
    assert.deepEqual(refused.type === 'failed' && [refused.code, refused.message], [
      'ERR_HUB_REFUSED',
      'the server has reached its limit of 2 MiB of stored data',
    ])
    const [kept] = await hub.list('kept')
    assert.equal(kept?.state, 'cancelled')
    await using other = await connectHub(server.url)
    assert.equal((await other.list('kept')).length, 1)
  })

  it('by marks, leases and tokens alike, and there is room again when they are gone', async () => {
    using clock = manualClock()
    const bytes = 300_000
    const watcher = { notice() {}, replaced() {} }
    const fill: Readonly<Record<string, (store: InstanceType<typeof Store>, at: number) => unknown>> = {
      marks: (store, at) => store.mark(topic(`m${at}`), markOf(`${at}`), 1_000),
      leases: (store, at) => store.acquire(topic(`l${at}`), 'owner', 1_000),
      tokens: (store, at) => store.enter('s', watcher, [{ id: at, topic: topic('t'), state: 0, role: 0, since: 0 }]),
      names: (store, at) =>
        store.enter('s', watcher, [{ id: at, topic: topic(`t${at}`), state: 0, role: 0, since: 0 }]),
    }
    for (const [what, add] of Object.entries(fill)) {
      const store = new Store({ marks: 1e6, names: 1e6, bytes })
      store.attach({ id: 's', host: 'h', pid: 1, ttl: 1_000 }, watcher)
      const most = () => {
        for (let at = 0; ; at++) {
          try {
            add(store, at)
          } catch (error) {
            assert.equal((error as { code?: string }).code, 'ERR_HUB_REFUSED', what)
            return at
          }
        }
      }
      const count = most()
      assert.ok(count > 100 && count < 2_000, `${count} ${what}`)
      // Marks live for their ttl, sessions for a minute after it. Of a lease it is known for a day that it was lost.
      store.detach('s', watcher)
      await clock.advance(what === 'leases' ? 25 * 3_600_000 : 130_000)
      store.attach({ id: 's', host: 'h', pid: 1, ttl: 1_000 }, watcher)
      assert.equal(most(), count, `${what}, once those before are gone`)
      store.close()
    }
  })

  it('in sessions as well: those that left first are dropped, with what they held', () => {
    using clock = manualClock()
    assert.ok(clock)
    const store = new Store({ marks: 10, names: 10 })
    const sessions = 10_050
    for (let at = 0; at < sessions; at++) {
      const link = { notice() {}, replaced() {} }
      store.attach({ id: `s${at}`, host: 'h', pid: 1, ttl: 1_000 }, link)
      store.enter(`s${at}`, link, [{ id: 1, topic: topic(`t${at}`), state: 0, role: 0, since: 0 }])
      store.detach(`s${at}`, link)
    }
    const names = store.list({ prefix: '' }).map((one) => one.topic.name)
    assert.equal(names.length, 10_000)
    assert.equal(names[0], 't50')
    store.close()
  })

  it('by engine links too: what is refused rejects, with what to do about it', async () => {
    await using server = await TokenServer.listen({ port: 0, limits: { bytes: 100_000 } })
    const events = { notice() {}, lost() {} }
    const { SimpleToken } = await import('calloff')
    const link = await engineFor(server.url).connect(
      { id: 's', host: 'h', pid: 1, ttl: 30_000 },
      events,
      new SimpleToken(),
    )
    await assert.rejects(link.enter(holders(1_000)), { code: 'ERR_HUB_REFUSED' })
    // There is room left to cancel.
    const mark = markOf('1')
    assert.deepEqual(await link.mark(topic('m'), mark, 1_000), mark)
    link.close()
  })
})
