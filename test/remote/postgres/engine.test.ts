/** What is PostgreSQL's own: its tables, its notifications, what it is asked, and what it refuses. */
import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { SimpleToken } from 'calloff'
import { connectHub, type TokenHub } from 'calloff/remote'
import type { Engine, Link } from 'calloff/remote/engine'
import { postgresEngine, postgresSchema } from 'calloff/remote/postgres'
import { manualClock } from 'calloff/testing'
import { Client, Pool } from 'pg'
import { until } from '../adapter/cases.js'
import { postgresServer, skip, urlOf } from './server.js'

describe('the engine over PostgreSQL', { skip }, async () => {
  if (skip !== false) return
  const server = await postgresServer('shared_preload_libraries=pg_stat_statements')
  const pool = new Pool({ connectionString: urlOf(server.port), max: 4 })
  await pool.query('CREATE EXTENSION pg_stat_statements')
  const hubs: TokenHub[] = []
  after(async () => {
    await Promise.allSettled(hubs.map((hub) => hub.close({ timeout: 0 })))
    await pool.end()
    await server.end()
  })
  const hubOf = async (options: Parameters<typeof connectHub>[1] = {}, table = 'own') => {
    const hub = await connectHub(postgresEngine(pool, { table }), options)
    hubs.push(hub)
    return hub
  }
  /** How many statements about the tables were carried out meanwhile. */
  const statementsOf = async (what: () => Promise<unknown>, table = 'own') => {
    await pool.query('SELECT pg_stat_statements_reset()')
    await what()
    const { rows } = await pool.query<{ calls: string | null }>(
      'SELECT sum(calls)::text AS calls FROM pg_stat_statements WHERE query LIKE $1 AND query NOT LIKE $2',
      // Without those of `list` with a prefix.
      [`%${table}_%`, '%name >= %'],
    )
    return Number(rows[0]?.calls ?? 0)
  }
  const session = (id: string) => ({ id, host: 'h', pid: 1, ttl: 30_000 })
  const deaf = { notice() {}, lost() {} }

  it('refuses what is no pool, and names that no table can have', () => {
    // @ts-expect-error no pool
    assert.throws(() => postgresEngine(undefined), /TypeError: pool must be a Pool of pg, or a function/)
    // @ts-expect-error no pool
    assert.throws(() => postgresEngine({ options: {} }), TypeError)
    assert.throws(() => postgresEngine(pool, { table: 'a.b.c' }), /RangeError: table must be a name or schema\.name/)
    assert.throws(() => postgresEngine(pool, { table: 'x'.repeat(49) }), RangeError)
    assert.throws(() => postgresSchema(''), RangeError)
    // @ts-expect-error no text
    assert.throws(() => postgresEngine(pool, { table: 1 }), TypeError)
  })

  it('takes a pool, or whatever makes clients', async () => {
    const made: Client[] = []
    const make = () => {
      const client = new Client(urlOf(server.port))
      made.push(client)
      return client
    }
    const hub = await connectHub(postgresEngine(make, { table: 'own' }))
    const token = (await hubOf()).open('either')
    await token.ready
    await hub.cancel('either')
    await until(() => token.cancelled, 'the token ends')
    await hub.close()
    assert.equal(made.length, 1)
  })

  it('makes its tables, many at once too, or finds those of a migration, whatever they are called', async () => {
    const hubs = await Promise.all(
      Array.from({ length: 8 }, () => connectHub(postgresEngine(pool, { table: 'fresh' }))),
    )
    await Promise.all(hubs.map((hub, i) => hub.cancel(`fresh-${i}`)))
    assert.equal((await (hubs[0] as TokenHub).list('fresh-')).length, 8)
    await Promise.all(hubs.map((hub) => hub.close()))

    await pool.query(`CREATE SCHEMA "app""s"; CREATE ROLE worker LOGIN; GRANT USAGE ON SCHEMA "app""s" TO worker`)
    const table = 'app"s.Own Tokens'
    const worker = postgresEngine(() => new Client(urlOf(server.port).replace('calloff@', 'worker@')), { table })
    await assert.rejects(connectHub(worker), { code: 'ERR_HUB_REFUSED' })
    await pool.query(postgresSchema(table))
    await pool.query(postgresSchema(table))
    await pool.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "app""s" TO worker`)
    await pool.query(`GRANT USAGE ON ALL SEQUENCES IN SCHEMA "app""s" TO worker`)
    const hub = await connectHub(worker)
    const token = hub.open('a worker')
    await token.ready
    const lease = await hub.lease('a lease', { ttl: 10_000 })
    lease.close()
    await hub.cancel('a worker')
    await hub.close()
  })

  it('says what is wrong with an address or a password', async () => {
    await assert.rejects(connectHub('postgres://me:secret@127.0.0.1:1/db'), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'ERR_HUB_UNREACHABLE')
      assert.doesNotMatch(error.message, /secret/)
      return true
    })
    await assert.rejects(connectHub(urlOf(server.port).replace('calloff@', 'nobody@')), { code: 'ERR_HUB_AUTH' })
  })

  it('does not work where notifications do not come back, as behind a pooler of transactions', async () => {
    const make = () => {
      const client = new Client(urlOf(server.port))
      const query = client.query.bind(client) as (given: unknown) => unknown
      // What such a pooler comes to: the next transaction is over another connection, which does not listen.
      client.query = ((given: unknown) =>
        typeof given === 'string'
          ? query(given.replace(/LISTEN .*$/, 'SELECT 1'))
          : query(given)) as typeof client.query
      return client
    }
    await assert.rejects(connectHub(postgresEngine(make, { table: 'own' })), {
      code: 'ERR_HUB_REFUSED',
      message: /LISTEN has no effect here/,
    })
  })

  it('an open is two statements, for up to 1,000 of them together; so is a cancel, and two ask who holds it', async () => {
    const hub = await hubOf()
    const open = async (from: number, to: number) => {
      const tokens = Array.from({ length: to - from }, (_, i) => hub.open(`cost-${from + i}`))
      await Promise.all(tokens.map(({ ready }) => ready))
    }
    assert.equal(await statementsOf(() => open(0, 1)), 2)
    assert.equal(await statementsOf(() => open(1, 1_001)), 2)
    assert.equal(await statementsOf(() => hub.cancel('cost-nobody')), 4)
    const marks = Array.from({ length: 100 }, (_, i) => hub.open(`marks-${i}`))
    await Promise.all(marks.map(({ ready }) => ready))
    const count = await statementsOf(() => {
      for (const token of marks) token.cancel()
      return Promise.all(marks.map(({ delivered }) => delivered))
    })
    assert.ok(count <= 12, `${count} statements for a hundred cancels at once`)
  })

  it('an idle hour with 1,000 tokens is 360 beats, about 120 statements that read and 120 that clean', async () => {
    using clock = manualClock()
    const hub = await connectHub(postgresEngine(pool, { table: 'idle' }), { timeout: 1e9 })
    const tokens = Array.from({ length: 1_000 }, (_, i) => hub.open(`idle-${i}`))
    await Promise.all(tokens.map(({ ready }) => ready))
    const count = await statementsOf(async () => {
      for (let i = 0; i < 720; i++) {
        clock.tick(5_000)
        await turn()
        // What was asked before is answered before the time goes on.
        await hub.list('nothing')
      }
    }, 'idle')
    assert.ok(count > 360 + 90 + 110 && count < 365 + 165 + 125, `${count} statements`)
    assert.ok(tokens.every(({ cancelled }) => !cancelled))
    await hub.close()
  })

  it('a session that was given up comes back with all its tokens', async () => {
    const [hub, other] = [await hubOf({ sessionTtl: 600 }), await hubOf()]
    const tokens = Array.from({ length: 600 }, (_, i) => hub.open(`gone-${i}`))
    await Promise.all(tokens.map(({ ready }) => ready))
    const holders = async () => (await other.list('gone-')).reduce((sum, { holders }) => sum + holders.length, 0)
    assert.equal(await holders(), 600)
    const { rowCount } = await pool.query(
      "DELETE FROM own_sessions WHERE id = (SELECT min(session) FROM own_holders WHERE name = 'gone-0')",
    )
    // Its holders are removed with it. The hub may have entered them again before they could be counted.
    assert.equal(rowCount, 1)
    await until(async () => (await holders()) === 600, 'all are entered again')
    await other.cancel('gone-7')
    await until(() => tokens[7]?.cancelled === true, 'it hears of a cancel')
  })

  it('expired rows are removed once a minute', async () => {
    using clock = manualClock()
    const engine: Engine = postgresEngine(pool, { table: 'dead' })
    const lost = await engine.connect(session('a session that dies'), deaf, new SimpleToken())
    await lost.enter([{ id: 1, topic: { name: 'dead', runId: '' }, state: 0, role: 0, since: 0 }])
    const mark = { id: 'a', kind: 'manual', reason: '', host: 'h', pid: 1, token: '', what: '', at: 0 }
    await lost.mark({ name: 'over', runId: '' }, mark, 1)
    await lost.mark({ name: 'stays', runId: '' }, mark, 600_000)
    const leased = await lost.acquire({ name: 'leased', runId: '' }, 'me', 600_000)
    await lost.release({ name: 'leased', runId: '' }, leased.held ? leased.fence : 0)
    lost.close()
    await pool.query("UPDATE dead_sessions SET heard = heard - interval '91 s'")
    const link: Link = await engine.connect(session('another'), deaf, new SimpleToken())
    clock.tick(60_000)
    await until(async () => {
      const { rows } = await pool.query(
        'SELECT (SELECT count(*) FROM dead_sessions)::int AS sessions, (SELECT count(*) FROM dead_holders)::int AS holders, (SELECT count(*) FROM dead_topics)::int AS topics',
      )
      const [{ sessions, holders, topics }] = rows as [{ sessions: number; holders: number; topics: number }]
      clock.tick(1)
      return sessions === 1 && holders === 0 && topics === 1
    }, 'what is over is gone')
    link.close()
  })

  it('lists a prefix, whatever characters it has', async () => {
    const hub = await hubOf()
    const stems = ['p%', 'p_', 'p', 'p\u{10FFFF}', 'p\uD7FF', 'q', 'P', "p'"]
    await Promise.all(stems.map((stem) => hub.cancel(`${stem}x`)))
    for (const stem of stems) {
      const names = (await hub.list(stem)).map(({ name }) => name)
      assert.deepEqual(
        names.toSorted(),
        stems
          .map((other) => `${other}x`)
          .filter((name) => name.startsWith(stem))
          .toSorted(),
      )
    }
  })
})
