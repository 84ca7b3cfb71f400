/** A cluster of three NATS servers for tests, whose routes go through proxies, so that one can be cut off from the others. */
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { jetstreamManager } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { answers, path } from '../remote/nats/server.js'
import { type Proxy, proxyTo } from '../remote/proxy.js'
import { asNobody, freePorts, type Server, serve } from '../remote/servers.js'

export interface NatsCluster {
  readonly members: readonly Server[]
  /** Addresses of all members, for a client. */
  readonly servers: readonly string[]
  /** The member that leads a bucket, once there is one and the others follow it. */
  leaderOf(bucket: string): Promise<number>
  /** Cuts a member off from the other members, though not from its clients, or joins it again. */
  isolate(member: number): void
  join(member: number): void
  end(): Promise<void>
}

const SIZE = 3

export async function natsCluster(): Promise<NatsCluster> {
  const ports = await freePorts(2 * SIZE)
  const [clients, routes] = [ports.slice(0, SIZE), ports.slice(SIZE)]
  const members: Server[] = []
  const proxies: { readonly from: number; readonly to: number; readonly proxy: Proxy }[] = []
  const connections: NatsConnection[] = []
  const end = async () => {
    for (const connection of connections) connection.close().catch(() => {})
    await Promise.all(proxies.map(({ proxy }) => proxy.close()))
    await Promise.all(members.map((member) => member.end()))
  }
  try {
    for (let from = 0; from < SIZE; from++) {
      for (let to = 0; to < SIZE; to++) {
        if (from !== to) proxies.push({ from, to, proxy: await proxyTo(routes[to] as number) })
      }
    }
    const startMember = async (index: number) => {
      const peers = proxies.filter(({ from }) => from === index)
      const program = {
        command: path ?? 'nats-server',
        arguments: (port: number, folder: string) => {
          // Nobody may learn of a way around the proxies.
          const place = `-js -a 127.0.0.1 -p ${port} -n n${index} --cluster_name tests --cluster_advertise 127.0.0.1:1`
          const routing = `--connect_retries 0 --cluster nats://127.0.0.1:${routes[index]} --routes`
          const others = peers.map(({ proxy }) => `nats://127.0.0.1:${proxy.port}`).join(',')
          return [...place.split(' '), '-sd', join(folder, 'store'), ...routing.split(' '), others]
        },
        answers,
      }
      members[index] = await serve(program, asNobody(), clients[index])
    }
    await Promise.all(clients.map((_, index) => startMember(index)))
    const servers = clients.map((port) => `127.0.0.1:${port}`)
    await Promise.all(
      servers.map(async (server, index) => {
        connections[index] = await connect({ servers: server, maxReconnectAttempts: -1, reconnectTimeWait: 100 })
      }),
    )
    for (let i = 0; ; i++) {
      try {
        const manager = await jetstreamManager(connections[0] as NatsConnection, { timeout: 1_000 })
        await manager.streams.add({
          name: 'ready',
          subjects: ['ready'],
          num_replicas: SIZE,
          storage: 'memory',
        })
        break
      } catch (error) {
        if (i === 200) throw error
        await pause(100)
      }
    }
    const part = (member: number, how: 'part' | 'heal') => {
      for (const { from, to, proxy } of proxies) if (from === member || to === member) proxy[how]()
    }
    return {
      members,
      servers,
      async leaderOf(bucket) {
        for (;;) {
          const infos = connections.map(async (connection) => {
            const manager = await jetstreamManager(connection, { checkAPI: false, timeout: 500 })
            const { leader, replicas = [] } = (await manager.streams.info(`KV_${bucket}`)).cluster ?? {}
            if (!leader || !replicas.every(({ current, offline }) => current && !offline)) throw new Error('not yet')
            return Number(leader.slice(1))
          })
          const leader = await Promise.any(infos).catch(() => undefined)
          if (leader !== undefined) return leader
          await pause(100)
        }
      },
      isolate: (member) => part(member, 'part'),
      join: (member) => part(member, 'heal'),
      end,
    }
  } catch (error) {
    await end()
    throw error
  }
}
