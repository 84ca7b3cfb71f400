import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { describe, it } from 'node:test'
import { TokenServer } from 'calloff/remote'
import { natsServer, skip as noNats } from '../remote/nats/server.js'
import { postgresServer, skip as noPostgres, urlOf } from '../remote/postgres/server.js'
import { redisServer, skip as noRedis } from '../remote/redis/server.js'
import type { Server } from '../remote/servers.js'
import { run } from './run.js'

async function stops(url: string): Promise<void> {
  const { lines, stderr, code } = await run('elsewhere/main', [url, 'primes'])
  assert.deepEqual([stderr, code], ['', 0])
  const [first, ...others] = lines
  assert.equal(first, 'working')
  // Two processes write, in whatever order.
  const [far, near] = others.toSorted()
  assert.match(far ?? '', /^found primes: true; token "primes" was cancelled in process \d+ on .*: enough$/)
  assert.equal(near, 'held by 1, finished: 1')
}

const engines: readonly {
  readonly name: string
  readonly skip: string | false
  serve(): Promise<Server>
  url(port: number): string
}[] = [
  { name: 'Redis', skip: noRedis, serve: () => redisServer(), url: (port) => `redis://127.0.0.1:${port}` },
  { name: 'NATS', skip: noNats, serve: () => natsServer(), url: (port) => `nats://127.0.0.1:${port}` },
  { name: 'PostgreSQL', skip: noPostgres, serve: () => postgresServer(), url: urlOf },
]

describe('one program cancels a loop that never yields in another process, whatever the URL says', () => {
  const isWindows = process.platform === 'win32' && 'Windows has no Unix sockets'
  it('an embedded server on a socket', { skip: isWindows }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'calloff-hub-'))
    try {
      await using server = await TokenServer.listen({ path: join(folder, 's') })
      assert.match(server.url, /^unix:/)
      await stops(server.url)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('an embedded server on a port', async () => {
    await using server = await TokenServer.listen({ port: 0 })
    await stops(server.url)
  })

  for (const { name, skip, serve, url } of engines) {
    it(name, { skip }, async () => {
      const server = await serve()
      try {
        await stops(url(server.port))
      } finally {
        await server.end()
      }
    })
  }
})
