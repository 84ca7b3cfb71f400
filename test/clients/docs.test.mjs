/** The code blocks of docs/guides/clients.md that need the clients. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { postgresServer, skip as withoutPostgres } from '../../build/test/remote/postgres/server.js'
import { redisServer, skip as withoutRedis } from '../../build/test/remote/redis/server.js'
import { blocksOf, checkBlock } from './blocks.mjs'
import { answer } from './models.mjs'
import { openOrigin } from './origin.mjs'

let redis
let database
let model
const skip = withoutRedis || withoutPostgres
before(async () => {
  if (skip) return
  ;[redis, database, model] = await Promise.all([redisServer(), postgresServer(), openOrigin(answer)])
})
after(() => Promise.all([redis?.end(), database?.end(), model?.close()]))

const blocks = blocksOf('clients')

test('there are blocks', () => assert.ok(blocks.length > 3))

for (const [index, code] of blocks.entries()) {
  test(`block ${index + 1} prints what it says`, { skip }, () =>
    checkBlock(`block-${index + 1}`, code, {
      OPENAI_API_KEY: 'none',
      OPENAI_BASE_URL: model.url,
      PGHOST: '127.0.0.1',
      PGPORT: String(database.port),
      PGUSER: 'calloff',
      PGDATABASE: 'postgres',
      REDIS_PORT: String(redis.port),
    }),
  )
}
