/** What is Redis's own: its keys, its channel, what it is asked, and what it refuses. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, afterEach, describe, it } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { SimpleToken } from 'calloff'
import { connectHub, type TokenHub } from 'calloff/remote'
import type { Engine } from 'calloff/remote/engine'
import { redisEngine } from 'calloff/remote/redis'
import { manualClock } from 'calloff/testing'
import { Cluster, Redis } from 'ioredis'
import { Redis as Redis5 } from 'ioredis-5'
import { createClient, createCluster } from 'redis'
import { createClient as createClient5 } from 'redis-5'
import { until } from '../adapter/cases.js'
import { redisReplies } from '../inside.js'
import { proxyTo } from '../proxy.js'
import { redisServer, skip } from './server.js'

describe('the engine over Redis', { skip }, async () => {
  if (skip !== false) return
  const server = await redisServer()
  const redis = new Redis(server.port)
  const hubs: TokenHub[] = []
  // A hub that stays has its own scripts run now and then.
  afterEach(() => Promise.allSettled(hubs.splice(0).map((hub) => hub.close({ timeout: 0 }))))
  after(async () => {
    redis.disconnect()
    await server.end()
  })
  const hubOf = async (options: Parameters<typeof connectHub>[1] = {}, prefix = 'own') => {
    const hub = await connectHub(redisEngine(redis, { prefix }), options)
    hubs.push(hub)
    return hub
  }
  const calls = async () => {
    const stats = await redis.info('commandstats')
    return Object.fromEntries(
      Array.from(stats.matchAll(/cmdstat_([a-z|]+):calls=(\d+)/g), ([, name, count]) => [name, Number(count)]),
    )
  }
  /** How many scripts were run meanwhile. */
  const scriptsOf = async (what: () => Promise<unknown>) => {
    await redis.config('RESETSTAT')
    await what()
    const { evalsha = 0, eval: whole = 0 } = await calls()
    return evalsha + whole
  }

  it('refuses what is no client, and prefixes that could not be told apart', () => {
    // @ts-expect-error no client
    assert.throws(() => redisEngine(undefined), /TypeError: client must be a client of ioredis .*, got un/)
    // @ts-expect-error no client
    assert.throws(() => redisEngine({ duplicate: 1, call: 2 }), TypeError)
    assert.throws(() => redisEngine(createCluster({ rootNodes: [] })), TypeError)
    assert.throws(() => redisEngine(redis, { prefix: 'a{b' }), /RangeError: prefix must be text without braces/)
    assert.throws(() => redisEngine(redis, { prefix: '' }), RangeError)
    // @ts-expect-error no text
    assert.throws(() => redisEngine(redis, { prefix: 1 }), TypeError)
  })

  it('hubs of another prefix know nothing of each other', async () => {
    const [one, other] = [await hubOf({}, 'one'), await hubOf({}, 'other')]
    await one.cancel('same')
    const token = other.open('same')
    await token.ready
    assert.equal(token.cancelled, false)
    assert.deepEqual(await other.list('none'), [])
  })

  it('says where it is, without secrets, and that no server is there', async () => {
    await assert.rejects(connectHub('redis://me:secret@127.0.0.1:1'), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'ERR_HUB_UNREACHABLE')
      assert.match(error.message, /^redis:\/\/127\.0\.0\.1:1: /)
      assert.doesNotMatch(error.message, /secret/)
      return true
    })
    const nodeRedis = redisEngine(createClient({ url: 'redis://me:secret@127.0.0.1:1' }))
    assert.equal(nodeRedis.place, 'redis://127.0.0.1:1')
    await assert.rejects(connectHub(nodeRedis), { code: 'ERR_HUB_UNREACHABLE' })
  })

  it('says that a password is wrong, or missing', async () => {
    const guarded = await redisServer('--requirepass', 'secret')
    try {
      const at = `127.0.0.1:${guarded.port}`
      await assert.rejects(connectHub(`redis://${at}`), { code: 'ERR_HUB_AUTH' })
      await assert.rejects(connectHub(`redis://:wrong@${at}`), { code: 'ERR_HUB_AUTH' })
      await assert.rejects(connectHub(redisEngine(createClient({ url: `redis://${at}` }))), { code: 'ERR_HUB_AUTH' })
      const hub = await connectHub(`redis://:secret@${at}`)
      await hub.close()
    } finally {
      await guarded.end()
    }
  })

  it('an open is one script, for up to 250 of them together; a cancel is one, and one that asks who holds it', async () => {
    const hub = await hubOf()
    const open = async (from: number, to: number) => {
      const tokens = Array.from({ length: to - from }, (_, i) => hub.open(`cost-${from + i}`))
      await Promise.all(tokens.map(({ ready }) => ready))
      return tokens
    }
    await open(0, 1)
    await hub.cancel('warm')
    let tokens = await open(1, 2)
    assert.equal(await scriptsOf(async () => (tokens = await open(2, 3))), 1)
    assert.equal(await scriptsOf(() => open(3, 253)), 1)
    assert.equal(await scriptsOf(() => hub.cancel('cost-1')), 2 + 1) // and the token says that it has seen it
    assert.equal(await scriptsOf(() => hub.cancel('cost-nobody')), 2)
    const [token] = tokens
    assert.equal(await scriptsOf(async () => token?.cancel() && (await token.delivered)), 1 + 1)
  })

  it('an idle hour with 1,000 tokens is 360 beats and about 120 times 4 scripts that read', async () => {
    using clock = manualClock()
    const hub = await connectHub(redisEngine(redis, { prefix: 'idle' }), { timeout: 1e9 })
    const tokens = Array.from({ length: 1_000 }, (_, i) => hub.open(`idle-${i}`))
    await Promise.all(tokens.map(({ ready }) => ready))
    const asked = 720
    const all = await scriptsOf(async () => {
      for (let i = 0; i < asked; i++) {
        clock.tick(5_000)
        await turn()
        // What was asked before is answered before the time goes on.
        await hub.list('nothing')
      }
    })
    const count = all - asked
    assert.ok(count > 360 + 4 * 90 && count < 365 + 4 * 165, `${count} scripts`)
    assert.ok(tokens.every(({ cancelled }) => !cancelled))
    await hub.close()
  })

  it('a session that was given up comes back with all its tokens', async () => {
    const [hub, other] = [await hubOf({ sessionTtl: 600 }, 'gone'), await hubOf({ sessionTtl: 300 }, 'gone')]
    const tokens = Array.from({ length: 600 }, (_, i) => hub.open(`gone-${i}`))
    await Promise.all(tokens.map(({ ready }) => ready))
    const holders = async () => (await other.list('gone-')).reduce((sum, { holders }) => sum + holders.length, 0)
    assert.equal(await holders(), 600)
    // As if nothing had been heard of it for a minute: the other one takes it out, piece by piece.
    const sessions = await redis.zrange('{gone}:sessions', '0', '-1')
    const sizes = await Promise.all(sessions.map((id) => redis.hlen(`{gone}:holds:${id}`)))
    const session = sessions[sizes.indexOf(600)] as string
    let least = 600
    await until(async () => {
      await redis.zadd('{gone}:sessions', 'XX', 1, session)
      least = Math.min(least, await holders())
      return least < 600
    }, 'it is given up')
    await until(async () => (await holders()) === 600, 'all are entered again')
    await other.cancel('gone-7')
    await until(() => tokens[7]?.cancelled === true, 'it hears of a cancel')
  })

  it('what a process that died has left is cleaned away by the others', async () => {
    const engine = redisEngine(redis, { prefix: 'dead' })
    const lost = await engine.connect(
      { id: 'a session that dies', host: 'h', pid: 1, ttl: 100 },
      { notice() {}, lost() {} },
      new SimpleToken(),
    )
    const holders = Array.from({ length: 1_000 }, (_, id) => ({
      id,
      topic: { name: `dead-${id}`, runId: '' },
      state: 0,
      role: 0,
      since: 0,
    }))
    await lost.enter(holders)
    lost.close()
    await redis.zadd('{dead}:sessions', 1, 'a session that dies')
    const hub = await hubOf({ sessionTtl: 300 }, 'dead')
    await until(async () => (await redis.zcard('{dead}:topics')) === 0, 'the topics are gone')
    assert.equal(await redis.exists('{dead}:holds:a session that dies', '{dead}:session:a session that dies'), 0)
    await hub.close()
  })

  it('nothing is left when everybody has gone and the marks have lived their time', async () => {
    const hub = await hubOf({ ttl: 50, sessionTtl: 300 }, 'tidy')
    const token = hub.open('tidy-1', { runId: '2' })
    await token.ready
    token.cancel()
    await token.delivered
    const lease = await hub.lease('tidy-2', { ttl: 5_000 })
    lease.close()
    token.close()
    await until(async () => (await redis.zcard('{tidy}:topics')) === 0, 'the topics are forgotten')
    await hub.close()
    assert.deepEqual((await redis.keys('{tidy}:*')).toSorted(), ['{tidy}:count', '{tidy}:fence'])
  })

  it('a subscription over which nothing comes any more is noticed', async () => {
    const proxy = await proxyTo(server.port)
    try {
      const hub = await connectHub(redisEngine(new Redis(proxy.port, { lazyConnect: true })), {
        sessionTtl: 300,
        backOff: { first: 10 },
      })
      const told: string[] = []
      hub.onEvent((event) => told.push('error' in event ? event.error.message : event.type))
      const before = proxy.made
      proxy.hush('subscribe')
      await until(() => proxy.made >= before + 2, 'new connections are made')
      assert.match(told[0] ?? '', /the subscription was silent for 300 ms/)
      await hub.close()
    } finally {
      await proxy.close()
    }
  })

  /** The rights that docs/guides/remote-redis.md says are enough. */
  const rights = () => {
    const docs = readFileSync(new URL('../../../../docs/guides/remote-redis.md', import.meta.url), 'utf8')
    const rules = /^ACL SETUSER calloff on >secret (.*(?:\n {2}.*)*)$/m.exec(docs)?.[1] ?? ''
    return rules.split(/\s+/)
  }
  const libraries = ['ioredis', 'ioredis 5', 'node-redis', 'node-redis 5']
  const clientsAt = (url: string) => [
    new Redis(url, { lazyConnect: true, enableReadyCheck: false }),
    new Redis5(url, { lazyConnect: true, enableReadyCheck: false }),
    createClient({ url }),
    createClient5({ url }),
  ]
  const everything = async (engine: Engine, i: number) => {
    const session = { id: `rights ${i}`, host: 'here', pid: 1, ttl: 30_000 }
    const link = await engine.connect(session, { notice() {}, lost() {} }, new SimpleToken())
    const topic = { name: 'rights', runId: String(i) }
    await link.enter([{ id: 1, topic, state: 0, role: 0, since: 0 }])
    const taken = await link.acquire(topic, 'me', 30_000)
    assert.ok(taken.held && (await link.renew(topic, taken.fence, 30_000)))
    const mark = { id: 'm', kind: 'manual', reason: '', host: 'here', pid: 1, token: '', what: 'was cancelled', at: 0 }
    await link.mark(topic, mark, 30_000)
    assert.equal((await link.read([topic])).length, 1)
    assert.equal((await link.list({ topic })).length + (await link.list({ prefix: 'rights' })).length, 2)
    await link.release(topic, taken.fence)
    await link.forget(topic)
    await link.leave([1])
    assert.equal(await link.beat(), true)
    await link.bye()
    link.close()
  }

  it('needs no other rights than the docs name, and says what is missing of them, with each library', async () => {
    const guarded = await redisServer()
    const admin = new Redis(guarded.port)
    try {
      const url = `redis://calloff:secret@127.0.0.1:${guarded.port}`
      const allow = (rules: readonly string[]) =>
        admin.call('ACL', 'SETUSER', 'calloff', 'reset', 'on', '>secret', ...rules)
      const all = rights()
      assert.ok(all.length > 20)
      await allow(all)
      for (const [i, client] of clientsAt(url).entries()) await everything(redisEngine(client), i)
      for (const missing of ['+evalsha', '+subscribe', '+publish', '+hset', '&{calloff}:heard:*', '~{calloff}*']) {
        await allow([...all.filter((right) => right !== missing), ...(missing === '+publish' ? ['-publish'] : [])])
        for (const [i, client] of clientsAt(url).entries()) {
          await assert.rejects(
            connectHub(redisEngine(client)),
            ({ code, message, cause }: Error & { code?: string }) => {
              assert.equal(code, 'ERR_HUB_AUTH', `${libraries[i]} without ${missing}: ${message}`)
              assert.match(message, /no permissions|can't (run|access)/)
              assert.ok(cause instanceof Error)
              return true
            },
          )
        }
      }
    } finally {
      admin.disconnect()
      await guarded.end()
    }
  })

  it('a server that evicts keys is refused, unless it may', async () => {
    const short = await redisServer('--maxmemory', '50mb', '--maxmemory-policy', 'allkeys-lru')
    const admin = new Redis(short.port)
    try {
      const url = `redis://127.0.0.1:${short.port}`
      const engineOf = (eviction?: 'refuse' | 'allow') => redisEngine(admin, { eviction })
      for (const policy of ['allkeys-lru', 'allkeys-random', 'volatile-ttl', 'volatile-lfu']) {
        await admin.config('SET', 'maxmemory-policy', policy)
        const refusal = { code: 'ERR_HUB_REFUSED', message: new RegExp(`maxmemory-policy is ${policy}.*noeviction`) }
        await assert.rejects(connectHub(engineOf()), refusal)
        await assert.rejects(connectHub(`${url}?eviction=refuse`), refusal)
        await (await connectHub(engineOf('allow'))).close()
        await (await connectHub(`${url}?eviction=allow`)).close()
      }
      // Without a limit nothing is ever short.
      await admin.config('SET', 'maxmemory', '0')
      await (await connectHub(engineOf())).close()
      await admin.config('SET', 'maxmemory', '50mb')
      await admin.config('SET', 'maxmemory-policy', 'noeviction')
      await (await connectHub(engineOf())).close()
      // @ts-expect-error neither
      assert.throws(() => redisEngine(admin, { eviction: 'perhaps' }), TypeError)
      await assert.rejects(connectHub(`${url}?eviction=perhaps`), TypeError)
    } finally {
      admin.disconnect()
      await short.end()
    }
  })

  it('a server that has become a replica answers nothing, reading included, and another connection is made', async () => {
    const master = await redisServer()
    const admin = new Redis(master.port)
    try {
      const hub = await connectHub(redisEngine(admin, { prefix: 'demoted' }), { backOff: { first: 10, most: 50 } })
      hubs.push(hub)
      await hub.cancel('before')
      const told: string[] = []
      hub.onEvent((event) => told.push('error' in event ? event.error.message : event.type))
      await admin.replicaof('127.0.0.1', 1)
      let isAnswered = false
      const listed = hub.list('before').finally(() => (isAnswered = true))
      await until(() => told.some((text) => text.includes('READONLY')), 'it is told that this is a replica')
      assert.equal(isAnswered, false)
      await admin.replicaof('NO', 'ONE')
      assert.equal((await listed).length, 1)
    } finally {
      admin.disconnect()
      await master.end()
    }
  })

  it('tells what a server says from what a client says, whatever the version calls it', () => {
    const meaningOf = (message: string, cause?: Error) => redisReplies.classify(new Error(message, { cause }))
    const f = 'ERR Error running script (call to f_1028a5dba704e1d8a01fd96efeba25bb78f62df2): '
    for (const [message, meaning] of [
      ["READONLY You can't write against a read only replica.", 'gone'],
      ["READONLY You can't write against a read only replica. script: 6b81, on @user_script:1.", 'gone'],
      // Redis 6, of which no server is at hand.
      [`${f}@user_script:4: @user_script: 4: -READONLY You can't write against a read only replica.`, 'gone'],
      [`${f}@user_script:4: @user_script: 4: -MASTERDOWN Link with MASTER is down`, 'gone'],
      [`${f}@user_script:4: @user_script: 4: -OOM command not allowed when used memory > 'maxmemory'.`, 'refused'],
      [`${f}@user_script:4: The user executing the script can't run this command or subcommand`, 'auth'],
      ["NOPERM User calloff has no permissions to run the 'hset' command script: 6b81", 'auth'],
      ['NOREPLICAS Not enough good replicas to write.', 'gone'],
      ['MISCONF Redis is configured to save RDB snapshots', 'refused'],
      ['ERR unknown command', 'refused'],
      ['connect ECONNREFUSED 127.0.0.1:1', 'gone'],
      ['Connection is closed.', 'gone'],
    ] as const) {
      assert.equal(meaningOf(message), meaning, message)
      assert.equal(meaningOf('The client has its own words', new Error(message)), meaning, message)
    }
  })

  it('works on a cluster, of which it uses one slot', async () => {
    const node = await redisServer('--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1')
    const plain = new Redis(node.port)
    await plain.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
    await until(async () => (await plain.cluster('INFO')).includes('cluster_state:ok'), 'the cluster is ready')
    const cluster = new Cluster([{ host: '127.0.0.1', port: node.port }], { lazyConnect: true })
    try {
      const [one, two] = [await connectHub(redisEngine(cluster)), await connectHub(redisEngine(cluster))]
      const token = one.open('in a cluster')
      await token.ready
      const receipt = await two.cancel('in a cluster', 'stop', { timeout: 120_000, until: 'acknowledged' })
      assert.equal(receipt.acknowledged, 1)
      assert.equal(token.reason, 'stop')
      await Promise.all([one.close(), two.close()])
    } finally {
      plain.disconnect()
      await node.end()
    }
  })
})
