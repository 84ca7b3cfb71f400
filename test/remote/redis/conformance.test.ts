/** Redis keeps what a hub promises, through each of the clients. */
import { after, describe, it } from 'node:test'
import { connectHub, type HubOptions } from 'calloff/remote'
import type { Engine } from 'calloff/remote/engine'
import { type IoRedisClient, type NodeRedisClient, redisEngine } from 'calloff/remote/redis'
import { hubConformance } from 'calloff/testing'
import { Redis as IoRedis6 } from 'ioredis'
import { Redis as IoRedis5 } from 'ioredis-5'
import { createClient as nodeRedis6 } from 'redis'
import { createClient as nodeRedis5 } from 'redis-5'
import { sample } from '../../effort.js'
import { proxyTo } from '../proxy.js'
import { redisServer, skip } from './server.js'

const clients: Readonly<Record<string, (port: number) => IoRedisClient | NodeRedisClient>> = {
  'ioredis 6': (port) => new IoRedis6(port, { lazyConnect: true }),
  'ioredis 5': (port) => new IoRedis5(port, { lazyConnect: true }),
  'node-redis 6': (port) => nodeRedis6({ url: `redis://127.0.0.1:${port}` }),
  'node-redis 5': (port) => nodeRedis5({ socket: { host: '127.0.0.1', port } }),
}

describe('Redis', { skip, concurrency: true }, () => {
  for (const [name, make] of sample(Object.entries(clients))) {
    // One after the other: some of the cases cut the connections of all.
    describe(`through ${name}`, { concurrency: false }, async () => {
      if (skip !== false) return
      const server = await redisServer()
      const proxy = await proxyTo(server.port)
      after(async () => {
        await proxy.close()
        await server.end()
      })
      const engine = (): Engine => redisEngine(make(proxy.port))
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
  }
})
