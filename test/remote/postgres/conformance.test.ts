/** PostgreSQL keeps what a hub promises. */
import { after, describe, it } from 'node:test'
import { connectHub, type HubOptions } from 'calloff/remote'
import type { Engine } from 'calloff/remote/engine'
import { postgresEngine } from 'calloff/remote/postgres'
import { hubConformance } from 'calloff/testing'
import { Pool } from 'pg'
import { postgresServer, skip, urlOf } from './server.js'
import { proxyTo } from '../proxy.js'

describe('PostgreSQL', { skip }, async () => {
  if (skip !== false) return
  const server = await postgresServer()
  const proxy = await proxyTo(server.port)
  const pool = new Pool({ connectionString: urlOf(proxy.port) })
  after(async () => {
    await pool.end()
    await proxy.close()
    await server.end()
  })
  const engine = (): Engine => postgresEngine(pool)
  const cases = hubConformance({
    connect: (options?: HubOptions) => connectHub(engine(), { timeout: 60_000, ...options }),
    engine,
    cut: () => proxy.cut(),
    async restart() {
      await server.kill()
      await server.start()
    },
  })
  for (const { name, run } of cases) it(name, run)
})
