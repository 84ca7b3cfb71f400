/** What is special about NATS: what things cost, what is read together, what gets lost, and what goes wrong. */
import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { jetstreamManager } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { NEVER } from 'calloff'
import { connectHub, type HubOptions } from 'calloff/remote'
import type { Link, MarkRecord, Topic } from 'calloff/remote/engine'
import { natsEngine } from 'calloff/remote/nats'
import { manualClock } from 'calloff/testing'
import { runs } from '../../property/runs.js'
import { natsServer, skip } from './server.js'
import { proxyTo } from '../proxy.js'
import { freePort } from '../servers.js'

const mark = (reason: string): MarkRecord => ({
  id: 'abc-1',
  kind: 'manual',
  reason: JSON.stringify(reason),
  host: 'here',
  pid: 1,
  token: '',
  what: 'was cancelled',
  at: 0,
})
const holder = (id: number, topic: Topic) => ({ id, topic, state: 0, role: 0, since: 0 })
const HOUR = 3_600_000
const DAY = 24 * HOUR
const patient: HubOptions = { backOff: { first: 10, most: 100 }, timeout: 2_000 }

let sessions = 0
const sessionOf = (ttl = 30_000) => ({ id: `session ${process.pid}/${++sessions}`, host: 'here', pid: 1, ttl })

function linkOver(connection: NatsConnection, bucket: string, session = sessionOf()): Promise<Link> {
  return natsEngine(connection, { bucket }).connect(session, { notice() {}, lost() {} }, NEVER)
}

/** Looks again and again until it is so. */
async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  const limit = performance.now() + 120_000 + 30 * (runs(0).numRuns ?? 0)
  while (!(await isSo())) {
    assert.ok(performance.now() < limit, 'it did not happen in time')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

describe('NATS', { skip }, async () => {
  if (skip !== false) return
  const monitor = await freePort()
  const server = await natsServer('-m', String(monitor))
  const connections: NatsConnection[] = []
  after(async () => {
    await Promise.all(connections.map((connection) => connection.close()))
    await server.end()
  })

  const dial = async (port = server.port): Promise<NatsConnection> => {
    const options = { reconnectTimeWait: 20, maxReconnectAttempts: -1 }
    const connection = await connect({ servers: `127.0.0.1:${port}`, ...options })
    connections.push(connection)
    return connection
  }
  /** How many messages go over a connection in either direction while something is done. */
  const counted = async (connection: NatsConnection, what: () => Promise<unknown>): Promise<number> => {
    const before = connection.stats()
    await what()
    const { inMsgs, outMsgs } = connection.stats()
    return inMsgs + outMsgs - before.inMsgs - before.outMsgs
  }

  it('costs what docs/guides/remote-nats.md says', async () => {
    const [connection, other] = [await dial(), await dial()]
    const [link, canceller] = [await linkOver(connection, 'costs'), await linkOver(other, 'costs')]
    const topics = Array.from({ length: 1_000 }, (_, i) => ({ name: `job ${i}`, runId: '' }))
    const holders = topics.map((topic, i) => holder(i, topic))
    const [first] = topics as [Topic]

    assert.equal(await counted(connection, () => link.enter(holders)), 6_000, 'an open')
    // Somebody who follows a topic reads it alone, thousands together.
    assert.equal(await counted(connection, () => link.read([first])), 4, 'one topic')
    assert.ok((await counted(connection, () => link.read(topics))) <= 4, 'a thousand topics')
    assert.equal(await counted(connection, () => link.beat()), 4, 'a beat')

    const before = connection.stats().inMsgs
    assert.equal(await counted(other, () => canceller.mark(first, mark('stop'), DAY)), 3, 'a mark, and to hear of it')
    await until(() => connection.stats().inMsgs > before)
    assert.equal(connection.stats().inMsgs, before + 1, 'to hear of it')
    assert.equal(await counted(other, () => canceller.list({ topic: first })), 10, 'who holds it')
    assert.ok((await counted(connection, () => link.read(topics))) <= 6, 'a thousand topics, one of them new')
    assert.equal(await counted(connection, () => link.leave(holders.map(({ id }) => id))), 2_000, 'a close')

    const lease = { name: 'lease', runId: '' }
    const taken = await link.acquire(lease, 'me', 30_000)
    await connection.flush()
    const renew = () => link.renew(lease, taken.held ? taken.fence : 0, 30_000)
    assert.equal(await counted(connection, renew), 2, 'a renewal')
    for (const one of [link, canceller]) one.close()
  })

  it('an idle hour with 1,000 tokens is 720 requests for beats, 180 more, and once one for each that is open', async () => {
    const connection = await dial()
    using clock = manualClock()
    const hub = await connectHub(natsEngine(connection, { bucket: 'idle' }), { timeout: 1e9 })
    const tokens = Array.from({ length: 1_000 }, (_, i) => hub.open(`job ${i}`))
    await Promise.all(tokens.map(({ ready }) => ready))
    const { inMsgs, outMsgs } = connection.stats()
    assert.equal(inMsgs, outMsgs)
    const count = await counted(connection, async () => {
      for (let i = 0; i < 720; i++) {
        clock.tick(5_000)
        await new Promise((resolve) => setImmediate(resolve))
        // What was asked before is answered before the time goes on.
        for (let last = -1; last !== connection.stats().outMsgs;) {
          last = connection.stats().outMsgs
          await until(() => connection.stats().inMsgs >= connection.stats().outMsgs)
          await connection.flush()
        }
      }
    })
    // Reading again comes at random times around 30 s; the server's clock, which says whether to tidy up, does not move with ours.
    assert.ok(count / 2 > 720 + 90 && count / 2 < 720 + 60 + 165 + 1_002 + 20, `${count / 2} requests`)
    assert.ok(tokens.every(({ cancelled }) => !cancelled))
    await hub.close()
  })

  it('has one subscription and no consumer, however many tokens', async () => {
    const url = `nats://127.0.0.1:${server.port}/subscriptions`
    await using hub = await connectHub(url)
    const tokens = Array.from({ length: 1_000 }, (_, i) => hub.open(`job ${i}`))
    await Promise.all(tokens.map(({ ready }) => ready))
    const response = await fetch(`http://127.0.0.1:${monitor}/connz?subs=1`)
    const { connections } = (await response.json()) as {
      connections: { name?: string; subscriptions_list?: string[] }[]
    }
    const mine = connections.filter(({ subscriptions_list: list = [] }) =>
      list.some((subject) => subject.startsWith('calloff.subscriptions.')),
    )
    assert.equal(mine.length, 1)
    // And the one that all answers come over.
    assert.equal(mine[0]?.subscriptions_list?.length, 2)
    const jsm = await jetstreamManager(await dial())
    assert.equal((await jsm.streams.info('KV_subscriptions')).state.consumer_count, 0)
  })

  it('two hubs get along over one connection, which is not theirs to close', async () => {
    const connection = await dial()
    const [here, there] = [await connectHub(natsEngine(connection)), await connectHub(natsEngine(connection))]
    const token = there.open('shared')
    await token.ready
    await here.cancel('shared', 'stop')
    await until(() => token.cancelled)
    await Promise.all([here.close(), there.close()])
    assert.equal(connection.isClosed(), false)
    await connection.flush()
  })

  it('a given connection that is closed for good is told, and never comes back', async () => {
    const connection = await dial()
    const hub = await connectHub(natsEngine(connection), patient)
    const told: string[] = []
    hub.onEvent((event) => told.push(event.type === 'disconnected' ? event.error.message : event.type))
    await connection.close()
    await until(() => told.length > 1)
    assert.equal(hub.state, 'disconnected')
    assert.match(told[1] as string, /nats: the connection was closed/)
    await hub.close()
  })

  it('every cancel that was delivered is seen, though the server is killed in the middle, twice', async () => {
    const url = `nats://127.0.0.1:${server.port}/killed`
    await using here = await connectHub(url, patient)
    await using there = await connectHub(url, patient)
    const count = runs(1_000).numRuns ?? 0
    const names = Array.from({ length: count }, (_, i) => `job ${i}`)
    const tokens = names.map((name) => there.open(name))
    const live = Array.from({ length: 100 }, (_, i) => there.open(`other ${i}`))
    await Promise.all([...tokens, ...live].map(({ ready }) => ready))
    let delivered = 0
    const cancelling = Promise.all(
      names.map(async (name, i) => {
        await new Promise((resolve) => setTimeout(resolve, (i / count) * 1_000))
        await here.cancel(name, i)
        delivered++
      }),
    )
    for (const share of [0.2, 0.6]) {
      await until(() => delivered >= share * count)
      await server.kill()
      await server.start()
    }
    await cancelling
    for (const [i, token] of tokens.entries()) {
      await until(() => token.cancelled)
      assert.equal(token.reason, i)
    }
    for (const token of live) assert.equal(token.cancelled, false)
    await using late = await connectHub(url)
    const again = names.map((name) => late.open(name))
    await Promise.all(again.map(({ ready }) => ready))
    assert.ok(again.every(({ cancelled }) => cancelled))
  })

  it('a connection over which nothing comes any more is given up, and another one made', async () => {
    const proxy = await proxyTo(server.port)
    after(() => proxy.close())
    const url = `nats://127.0.0.1:${proxy.port}/hushed`
    const hub = await connectHub(url, { ...patient, lazy: true, timeout: 500, sessionTtl: 600 })
    const token = hub.open('job')
    await token.ready
    proxy.hush()
    await using elsewhere = await connectHub(`nats://127.0.0.1:${server.port}/hushed`)
    await elsewhere.cancel('job', 'stop')
    await until(() => token.cancelled)
    assert.ok(proxy.made > 1)
    await hub.close()
    await until(() => proxy.open === 0)
  })

  it('a holder that left and is there again, as after a crash, is taken out with the next connection', async () => {
    const proxy = await proxyTo(server.port)
    after(() => proxy.close())
    const hub = await connectHub(`nats://127.0.0.1:${proxy.port}/ghosts`, patient)
    const token = hub.open('job')
    await token.ready
    const connection = await dial()
    const jsm = await jetstreamManager(connection)
    const holders = async () => {
      const { state } = await jsm.streams.info('KV_ghosts', { subjects_filter: '$KV.ghosts.holder.>' })
      return Object.keys(state.subjects ?? {})
    }
    const [mine = ''] = await holders()
    const ghost = mine.replace(/\d+$/, '4711')
    await connection.request(ghost, '{"state":0,"role":0,"since":0}')
    assert.equal((await holders()).length, 2)
    proxy.cut()
    await until(async () => (await holders()).length === 1)
    assert.deepEqual(await holders(), [mine])
    // A hub that is closed before it is connected again cannot take its holders out.
    await until(() => hub.state === 'connected')
    await hub.close()
    assert.deepEqual(await holders(), [])
  })

  it('nothing is left of a hub that is closed while it enters what it holds', async () => {
    const connection = await dial()
    const jsm = await jetstreamManager(connection)
    const link = await linkOver(connection, 'leaving')
    const topics = Array.from({ length: 500 }, (_, i) => ({ name: `job ${i}`, runId: '' }))
    const [first, then] = [topics.slice(0, 250), topics.slice(250)]
    const entered = link.enter(first.map((topic, i) => holder(i, topic)))
    const bye = link.bye()
    const enteredLater = link.enter(then.map((topic, i) => holder(250 + i, topic)))
    await Promise.all([entered, bye, enteredLater])
    const { state } = await jsm.streams.info('KV_leaving', { subjects_filter: '$KV.leaving.>' })
    assert.deepEqual(state.subjects ?? {}, {})
    link.close()
  })

  it('what has lived its time is tidied up, and what lives stays', async () => {
    const connection = await dial()
    const jsm = await jetstreamManager(connection)
    const keys = async () =>
      Object.keys(
        (await jsm.streams.info('KV_tidy', { subjects_filter: '$KV.tidy.>' })).state.subjects ?? {},
      ).toSorted()
    using clock = manualClock()
    const dead = await linkOver(connection, 'tidy', sessionOf(1_000))
    const topics = ['short', 'long', 'forgotten', 'lease', 'held'].map((name) => ({ name, runId: '' }))
    const [short, long, forgotten, lease, held] = topics as [Topic, Topic, Topic, Topic, Topic]
    await dead.enter([holder(1, short), holder(2, long)])
    dead.close()
    const link = await linkOver(connection, 'tidy', sessionOf(30 * DAY))
    await link.enter([holder(1, long)])
    await link.mark(short, mark('short'), HOUR)
    await link.mark(long, mark('long'), 3 * DAY)
    await link.mark(forgotten, mark('forgotten'), DAY)
    await link.forget(forgotten)
    const taken = await link.acquire(lease, 'me', 1_000)
    await link.release(lease, taken.held ? taken.fence : 0)
    await link.acquire(held, 'me', 30 * DAY)
    assert.equal((await keys()).length, 10)
    // Each look is a minute after the one before, and the clock of the server is taken to have moved as ours has.
    await clock.advance(61_000)
    await until(async () => (await keys()).includes('$KV.tidy.sweep'))
    assert.equal((await keys()).length, 11, 'so far nothing has lived its time')
    await clock.advance(2 * DAY)
    await until(async () => {
      await clock.advance(61_000)
      return (await keys()).length === 5
    })
    const left = (await keys()).map((key) => key.replace(/^\$KV\.tidy\.(\w+)\.?/, '$1 ').replace(/\w{32}.*/, '*'))
    assert.deepEqual(left, ['holder long.=.*', 'lease held.=', 'mark long.=', 'session *', 'sweep '])
    assert.equal((await link.read([long]))[0]?.mark?.reason, mark('long').reason)
    link.close()
  })

  it('a bucket that is not fit is refused, and says why', async () => {
    const connection = await dial()
    const jsm = await jetstreamManager(connection)
    await jsm.streams.add({
      name: 'KV_unfit',
      subjects: ['$KV.unfit.>'],
      max_msgs_per_subject: 5,
      max_age: 60e9,
      discard: 'new',
      allow_rollup_hdrs: true,
    })
    await assert.rejects(connectHub(natsEngine(connection, { bucket: 'unfit' })), {
      code: 'ERR_HUB_REFUSED',
      message: /"unfit" cannot carry a hub: history is not 1; ttl is not 0.*it does not republish marks/,
    })
  })

  it('bad input is told by name', async () => {
    const connection = await dial()
    for (const [engine, pattern] of [
      [
        () => natsEngine({} as NatsConnection),
        /^TypeError: connection must be a connection of @nats-io\/transport-node/,
      ],
      [() => natsEngine(connection, { bucket: 'a b' }), /^RangeError: bucket must be letters.*"a b"/],
      [() => natsEngine(connection, { bucket: 7 as unknown as string }), /^TypeError: bucket must be a string, got 7/],
      [() => natsEngine(connection, { replicas: 0 }), /^RangeError: replicas must be from 1 to 5, got 0/],
      [() => natsEngine(connection, { storage: 'disk' as 'file' }), /^TypeError: storage must be 'file' or 'memory'/],
    ] as const) {
      assert.throws(engine, (error) => pattern.test(String(error)))
    }
    for (const [url, pattern] of [
      ['nats://127.0.0.1:1/a%20b', /^RangeError: bucket/],
      ['nats://127.0.0.1:1/?replicas=x', /^RangeError: replicas must be from 1 to 5, got NaN/],
      ['nats:calloff', /^RangeError: url must name a host/],
    ] as const) {
      await assert.rejects(connectHub(url), (error) => pattern.test(String(error)), url)
    }
    const key = 'sixteen bytes are enough'
    await assert.rejects(connectHub('nats://127.0.0.1:1', { key }), /RangeError: key works with a TokenServer only/)
    await assert.rejects(connectHub('nats://127.0.0.1:1'), { code: 'ERR_HUB_UNREACHABLE', message: /127\.0\.0\.1:1: / })
  })
})

describe('NATS, set up otherwise', { skip }, async () => {
  if (skip !== false) return
  const folder = mkdtempSync(join(tmpdir(), 'calloff-nats-'))
  after(() => rmSync(folder, { recursive: true, force: true }))
  const config = join(folder, 'server.conf')
  // As the page says it, of another bucket.
  const page = readFileSync(new URL('../../../../docs/guides/remote-nats.md', import.meta.url), 'utf8')
  const rights = /^permissions: \{[^]*?^\}/m.exec(page)?.[0].replaceAll(/(KV.|calloff\.)calloff\b/g, '$1least')
  // The server runs as somebody else.
  chmodSync(folder, 0o755)
  writeFileSync(
    config,
    `accounts {
      stored { jetstream: enabled, users: [
        { user: all, password: "p:w" }
        { user: least, password: pw, ${rights} }
        { user: deaf, password: pw, permissions: { subscribe: { deny: ["calloff.>"] } } }
      ] }
      plain { users: [{ user: plain, password: pw }] }
    }`,
    { mode: 0o644 },
  )
  const server = await natsServer('-c', config)
  after(() => server.end())
  const place = `127.0.0.1:${server.port}`

  it('users come in with their passwords; who may not hear the news finds out all the same', async () => {
    await using all = await connectHub(`nats://all:p%3Aw@${place}/users`)
    await using deaf = await connectHub(`nats://deaf:pw@${place}/users`, { reread: 50 })
    const token = deaf.open('job')
    await token.ready
    await all.cancel('job', 'stop')
    await until(() => token.cancelled)
    assert.equal(token.reason, 'stop')
    await assert.rejects(connectHub(`nats://all:wrong@${place}/users`), { code: 'ERR_HUB_AUTH' })
  })

  it('what is read together is what is read one by one, whatever has happened', async () => {
    const seed = randomInt(2 ** 31)
    let state = seed
    const random = (below: number) => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
      return Math.floor((state / 2 ** 32) * below)
    }
    const linkAs = async (user: string, pass: string) => {
      const connection = await connect({ servers: place, user, pass })
      after(() => connection.close())
      return linkOver(connection, 'together')
    }
    // Who is deaf knows what it has read, and nothing else.
    const [reader, writer, judge] = [await linkAs('deaf', 'pw'), await linkAs('all', 'p:w'), await linkAs('all', 'p:w')]
    const topics = Array.from({ length: 120 }, (_, i) => ({ name: `topic ${i}`, runId: i % 2 ? 'run' : '' }))
    const fences = new Map<Topic, number>()
    await reader.enter(topics.slice(0, 100).map((topic, i) => holder(i, topic)))
    const acts: ((topic: Topic) => Promise<unknown>)[] = [
      (topic) => writer.mark(topic, mark(String(random(1e9))), DAY),
      (topic) => writer.forget(topic),
      async (topic) => {
        const taken = await writer.acquire(topic, 'me', HOUR)
        if (taken.held) fences.set(topic, taken.fence)
      },
      (topic) => writer.renew(topic, fences.get(topic) ?? 0, HOUR),
      (topic) => writer.release(topic, fences.get(topic) ?? 0),
    ]
    for (let turn = 0; turn < 12; turn++) {
      // Now and then more than it is worth to follow step by step.
      for (let i = turn % 4 === 3 ? 300 : random(30); i > 0; i--) {
        const topic = topics[random(topics.length)] as Topic
        await (acts[random(acts.length)] as (topic: Topic) => Promise<unknown>)(topic)
      }
      if (turn === 6) await reader.enter(topics.slice(100).map((topic, i) => holder(100 + i, topic)))
      const together = await reader.read(topics)
      const single = await Promise.all(topics.map(async (topic) => (await judge.read([topic]))[0]))
      for (const [i, { topic, mark, lease }] of together.entries()) {
        const wanted = single[i]
        const told = { topic, mark, fence: lease?.fence, lost: lease?.lost, held: (lease?.left ?? 0) > 0 }
        const right = {
          topic: wanted?.topic,
          mark: wanted?.mark,
          fence: wanted?.lease?.fence,
          lost: wanted?.lease?.lost,
          held: (wanted?.lease?.left ?? 0) > 0,
        }
        assert.deepEqual(told, right, `turn ${turn}, seed ${seed}`)
      }
    }
    for (const link of [reader, writer, judge]) link.close()
  })

  it('the rights that docs/guides/remote-nats.md names are enough, and fewer are told', async () => {
    const url = `nats://least:pw@${place}/least`
    await assert.rejects(connectHub(url), { code: 'ERR_HUB_AUTH', message: /STREAM\.CREATE\.KV_least/ })
    await using all = await connectHub(`nats://all:p%3Aw@${place}/least`)
    await using hub = await connectHub(url)
    const [token, other] = [hub.open('job'), all.open('other')]
    await Promise.all([token.ready, other.ready])
    await hub.cancel('other', 'stop')
    await until(() => other.cancelled)
    assert.equal((await all.cancel('job', 'stop', { timeout: 120_000, until: 'acknowledged' })).acknowledged, 1)
    const lease = await hub.lease('lease', { ttl: 10_000 })
    assert.equal((await hub.list('')).length, 3)
    lease.close()
    token.close()
    await hub.forget('job')
    await until(async () => (await all.list('job')).length === 0)
  })

  it('a server without JetStream is no engine', async () => {
    await assert.rejects(connectHub(`nats://plain:pw@${place}`), {
      code: 'ERR_HUB_UNREACHABLE',
      message: /JetStream not enabled/,
    })
  })
})
