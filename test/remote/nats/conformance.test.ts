/** NATS JetStream keeps what a hub promises, by URL and over a connection of the user's own. */
import { after, describe, it } from 'node:test'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { connectHub, type HubOptions } from 'calloff/remote'
import type { Engine } from 'calloff/remote/engine'
import { natsEngine } from 'calloff/remote/nats'
import { hubConformance } from 'calloff/testing'
import { sample } from '../../effort.js'
import { engineOfUrl } from '../inside.js'
import { natsServer, skip } from './server.js'
import { proxyTo } from '../proxy.js'

describe('NATS', { skip }, async () => {
  if (skip !== false) return
  const server = await natsServer()
  after(() => server.end())
  const restart = async () => {
    await server.kill()
    await server.start()
  }

  describe('by URL', async () => {
    const proxy = await proxyTo(server.port)
    after(() => proxy.close())
    const url = `nats://127.0.0.1:${proxy.port}/by-url`
    const cases = hubConformance({
      connect: (options?: HubOptions) => connectHub(url, { timeout: 60_000, ...options }),
      engine: () => engineOfUrl(url),
      cut: () => proxy.cut(),
      restart,
    })
    for (const { name, run } of cases) it(name, run)
  })

  describe('over a connection of our own', async () => {
    const proxy = await proxyTo(server.port)
    const connections: NatsConnection[] = []
    after(async () => {
      await Promise.all(connections.map((connection) => connection.close()))
      await proxy.close()
    })
    const engine = async (): Promise<Engine> => {
      const connection = await connect({
        servers: `127.0.0.1:${proxy.port}`,
        reconnectTimeWait: 20,
        maxReconnectAttempts: -1,
      })
      connections.push(connection)
      return natsEngine(connection, { bucket: 'given' })
    }
    const cases = hubConformance({
      connect: async (options?: HubOptions) => connectHub(await engine(), { timeout: 60_000, ...options }),
      engine,
      cut: () => proxy.cut(),
      restart,
    })
    for (const { name, run } of sample(cases)) it(name, run)
  })
})
