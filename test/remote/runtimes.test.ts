/** Hubs keep their promises on every runtime that is installed, over every engine. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { hubConformance } from 'calloff/testing'
import { runtimes, start } from '../node/programs.js'
import { natsServer, skip as noNats } from './nats/server.js'
import { postgresServer, skip as noPostgres, urlOf } from './postgres/server.js'
import { redisServer, skip as noRedis } from './redis/server.js'
import type { Server } from './servers.js'

/** What the program prints when all cases have passed. */
const cases = `${hubConformance({ connect: () => assert.fail(), engine: () => assert.fail() }).length} cases`

// Most of it is waiting.
describe('the conformance suite passes', { concurrency: true }, () => {
  const isWindows = process.platform === 'win32' && 'Windows has no Unix sockets'
  describe('over the embedded server', { concurrency: false }, () => {
    for (const runtime of runtimes) {
      it(`on ${runtime.name}`, { skip: isWindows || runtime.skip }, async () => {
        const folder = mkdtempSync(join(tmpdir(), 'calloff-hub-'))
        const { code, lines, errors } = await start(runtime, '../remote/conformance.child.js', folder).ended
        assert.deepEqual({ code, lines, errors }, { code: 0, lines: [cases, cases], errors: '' })
        rmSync(folder, { recursive: true })
      })
    }
  })

  const engines: readonly [string, string | false, () => Promise<Server>, (port: number) => string][] = [
    ['Redis', noRedis, () => redisServer(), (port) => `redis://127.0.0.1:${port}`],
    ['NATS', noNats, () => natsServer(), (port) => `nats://127.0.0.1:${port}`],
    ['PostgreSQL', noPostgres, () => postgresServer(), urlOf],
  ]
  for (const [name, skip, serve, url] of engines) {
    describe(`over ${name}`, { skip, concurrency: false }, async () => {
      if (skip !== false) return
      const server = await serve()
      after(() => server.end())
      for (const runtime of runtimes) {
        it(`on ${runtime.name}`, { skip: runtime.skip }, async () => {
          const { code, lines, errors } = await start(runtime, '../remote/conformance.child.js', url(server.port)).ended
          assert.deepEqual({ code, lines, errors }, { code: 0, lines: [cases], errors: '' })
        })
      }
    })
  }
})
