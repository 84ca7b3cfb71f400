/** Databases. Most take no signal: what they have instead is called when the token is cancelled. */
import assert from 'node:assert/strict'
import { after, before } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { isCancellation } from 'calloff'
import { Redis } from 'ioredis'
import pg from 'pg'
import postgres from 'postgres'
import { createClient } from 'redis'
import { postgresServer, skip as withoutPostgres, urlOf } from '../../build/test/remote/postgres/server.js'
import { redisServer, skip as withoutRedis } from '../../build/test/remote/redis/server.js'
import { checkClient, drops, isReason } from './checks.mjs'
import { Meetings } from './origin.mjs'

let redis
let database
before(async () => {
  ;[redis, database] = await Promise.all([
    withoutRedis ? undefined : redisServer(),
    withoutPostgres ? undefined : postgresServer(),
  ])
})
after(() => Promise.all([redis?.end(), database?.end()]))

async function until(condition) {
  while (!(await condition())) await pause(10)
}

/** Calls `stop` when the token is cancelled, until the call has ended. */
async function stopping({ token }, stop, call) {
  token.check()
  const registration = token.onCancel(stop)
  try {
    return await call()
  } finally {
    registration.stop()
  }
}

/** A second connection, by which the test sees what runs, and by which queries are cancelled. */
async function openWatch() {
  const watch = new pg.Client(urlOf(database.port))
  await watch.connect()
  const runs = async () => {
    const { rowCount } = await watch.query(
      `select from pg_stat_activity where state = 'active' and query ~ '^select pg_sleep'`,
    )
    return rowCount > 0
  }
  const meetings = new Meetings()
  return {
    watch,
    meetings,
    /** Gives the call back; meanwhile the other side may see it. */
    async meet(call) {
      let hasEnded = false
      call.catch(() => {}).finally(() => (hasEnded = true))
      await until(async () => hasEnded || runs())
      if (!hasEnded) meetings.add(until(async () => !(await runs())))
      return call
    },
  }
}

function isQueryCanceled(error, token) {
  drops(error, token)
  assert.equal(error.code, '57014')
  assert.equal(isCancellation(error), false, 'without the token it may be a statement_timeout')
}

checkClient(
  'pg',
  async () => {
    const { watch, meetings, meet } = await openWatch()
    const client = new pg.Client(urlOf(database.port))
    await client.connect()
    const query = (use, text) =>
      stopping(
        use,
        () => void watch.query('select pg_cancel_backend($1)', [client.processID]),
        () => client.query(text),
      )
    return {
      meetings,
      hang: async (use) => meet(query(use, 'select pg_sleep(60)')),
      finish: (use) => query(use, 'select 1'),
      throws: isQueryCanceled,
      throwsBefore: isReason,
      close: () => Promise.all([client.end(), watch.end()]),
    }
  },
  { skip: withoutPostgres },
)

checkClient(
  'postgres.js',
  async () => {
    const { watch, meetings, meet } = await openWatch()
    const sql = postgres(urlOf(database.port), { max: 1 })
    await sql`select 1`
    const run = (use, query) =>
      stopping(
        use,
        () => query.cancel(),
        () => query,
      )
    return {
      meetings,
      async hang(use) {
        use.token.check()
        return meet(run(use, sql`select pg_sleep(60)`.execute()))
      },
      finish: (use) => run(use, sql`select 1`),
      throws: isQueryCanceled,
      throwsBefore: isReason,
      close: () => Promise.all([sql.end(), watch.end()]),
    }
  },
  { skip: withoutPostgres },
)

checkClient(
  'ioredis',
  async () => {
    const client = new Redis(redis.port, '127.0.0.1')
    const meetings = new Meetings()
    const isBlocked = async () => /cmd=blpop/.test(await client.client('LIST'))
    return {
      meetings,
      async hang({ token }) {
        token.check()
        // A command that blocks gets a connection of its own: closing it is all that stops the command.
        const own = client.duplicate()
        const call = token.race(own.blpop('nothing', 0)).finally(() => own.disconnect())
        await Promise.race([call, until(isBlocked)])
        meetings.add(until(async () => !(await isBlocked())))
        return call
      },
      finish: ({ token }) => token.race(client.get('nothing')),
      throws: isReason,
      close: () => client.quit(),
    }
  },
  { skip: withoutRedis },
)

checkClient(
  'redis',
  async () => {
    const client = createClient({ url: `redis://127.0.0.1:${redis.port}` })
    await client.connect()
    const meetings = new Meetings()
    const isBlocked = async () => /cmd=blpop/.test(await client.sendCommand(['CLIENT', 'LIST']))
    return {
      meetings,
      async hang({ token }) {
        token.check()
        const own = await client.duplicate().connect()
        const call = token.race(own.blPop('nothing', 0)).finally(() => own.destroy())
        await Promise.race([call, until(isBlocked)])
        meetings.add(until(async () => !(await isBlocked())))
        return call
      },
      finish: ({ token, signal }) => token.race(client.withAbortSignal(signal).get('nothing')),
      throws: isReason,
      close: () => client.close(),
    }
  },
  { skip: withoutRedis },
)
