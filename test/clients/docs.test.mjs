/** The code blocks of docs/guides/clients.md that need the clients: each runs in a process of its own, and prints what it says. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import process from 'node:process'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { postgresServer, skip as withoutPostgres } from '../../build/test/remote/postgres/server.js'
import { redisServer, skip as withoutRedis } from '../../build/test/remote/redis/server.js'
import { answer } from './models.mjs'
import { openOrigin } from './origin.mjs'

const page = readFileSync(new URL('../../docs/guides/clients.md', import.meta.url), 'utf8')
const folder = fileURLToPath(new URL('node_modules/.docs/', import.meta.url))

let redis
let database
let model
const skip = withoutRedis || withoutPostgres
before(async () => {
  if (skip) return
  mkdirSync(folder, { recursive: true })
  ;[redis, database, model] = await Promise.all([redisServer(), postgresServer(), openOrigin(answer)])
})
after(() => Promise.all([redis?.end(), database?.end(), model?.close()]))

const blocks = [...page.matchAll(/^```mjs\n(.*?)^```$/gms)].map(([, code]) => code)

test('there are blocks', () => assert.ok(blocks.length > 3))

for (const [index, code] of blocks.entries()) {
  test(`block ${index + 1} prints what it says`, { skip }, async () => {
    const file = `${folder}block-${index + 1}.mjs`
    writeFileSync(file, code)
    const env = {
      ...process.env,
      OPENAI_API_KEY: 'none',
      OPENAI_BASE_URL: model.url,
      PGHOST: '127.0.0.1',
      PGPORT: String(database.port),
      PGUSER: 'calloff',
      PGDATABASE: 'postgres',
      REDIS_PORT: String(redis.port),
    }
    const { stdout } = await promisify(execFile)(process.execPath, [file], { env })
    const printed = stdout.trim().split('\n')
    const promised = [...code.matchAll(/\/\/ → (.*)$/gm)].map(([, text]) => text)
    assert.equal(printed.length, promised.length, stdout)
    for (const [line, text] of promised.entries()) {
      const [start] = text.split('…')
      assert.ok(
        text.includes('…') ? printed[line].startsWith(start) : printed[line] === text,
        `${printed[line]}, not ${text}`,
      )
    }
  })
}
