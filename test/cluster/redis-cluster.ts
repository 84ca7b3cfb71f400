/** A Redis Cluster for tests: three masters and their replicas, and how a slot is moved from one master to another. */
import { setTimeout as pause } from 'node:timers/promises'
import { Cluster, Redis } from 'ioredis'
import { redisServerAt } from '../remote/redis/server.js'
import { freePorts, type Server } from '../remote/servers.js'

export interface RedisCluster {
  /** The masters first, each followed by its replica in the second half. */
  readonly members: readonly Server[]
  /** A client that is not connected yet. */
  client(): Cluster
  /** The member that is the master of a key's slot now. */
  masterOf(key: string): Promise<number>
  /** Makes the replica of the key's master the master. */
  failOver(key: string): Promise<void>
  /** Resolves when another member has become the master of the slot, in place of one that is lost. */
  tookOver(key: string, lost: number): Promise<void>
  /** Resolves when all members are there, and each replica has what its master has. */
  whole(): Promise<void>
  /** Moves the slot of a key to another master; `between` is called before each key that is moved, and after the last. */
  migrate(key: string, between: (moved: number, left: number) => Promise<void>): Promise<void>
  end(): Promise<void>
}

const MASTERS = 3
const SLOTS = 16_384

export async function redisCluster(): Promise<RedisCluster> {
  const ports = await freePorts(4 * MASTERS)
  const [clients, buses] = [ports.slice(0, 2 * MASTERS), ports.slice(2 * MASTERS)]
  const direct: Redis[] = []
  const started = await Promise.allSettled(
    clients.map((port, i) => {
      const options = `--cluster-enabled yes --cluster-port ${buses[i]} --cluster-node-timeout 1000 --maxmemory 50mb`
      return redisServerAt(
        port,
        ...options.split(' '),
        '--maxmemory-policy',
        'noeviction',
        '--repl-diskless-sync-delay',
        '0',
      )
    }),
  )
  const members = started.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
  const end = async () => {
    for (const redis of direct) redis.disconnect()
    await Promise.all(members.map((member) => member.end()))
  }
  /** Asks one member; it may have been killed and started again meanwhile. */
  const ask = (member: number, ...[command = '', ...args]: readonly (string | number)[]) => {
    direct[member] ??= connectTo(clients[member] as number)
    return direct[member].call(String(command), ...args.map(String))
  }
  const all = clients.map((_, member) => member)
  const ids = new Map<string, number>()
  const slotOf = async (key: string) => Number(await ask(0, 'CLUSTER', 'KEYSLOT', key))
  const masterOf = async (key: string): Promise<number> => {
    const slot = await slotOf(key)
    for (;;) {
      // By what most say: one that is cut off or has just come back may not know yet.
      const votes = await Promise.all(
        all.map(async (member) => {
          try {
            const ranges = (await ask(member, 'CLUSTER', 'SLOTS')) as [number, number, [string, number]][]
            return ranges.find(([from, to]) => from <= slot && slot <= to)?.[2][1]
          } catch {
            return undefined
          }
        }),
      )
      const found = votes.find((port) => port && votes.filter((one) => one === port).length > MASTERS)
      if (found) return clients.indexOf(found)
      await pause(50)
    }
  }
  try {
    for (const outcome of started) if (outcome.status === 'rejected') throw outcome.reason
    for (const member of all) ids.set(String(await ask(member, 'CLUSTER', 'MYID')), member)
    const idOf = (member: number) => [...ids].find(([, one]) => one === member)?.[0] ?? ''
    for (let i = 0; i < MASTERS; i++) {
      const [from, to] = [Math.ceil((i * SLOTS) / MASTERS), Math.ceil(((i + 1) * SLOTS) / MASTERS) - 1]
      await ask(i, 'CLUSTER', 'ADDSLOTSRANGE', from, to)
      await ask(i, 'CLUSTER', 'SET-CONFIG-EPOCH', i + 1)
    }
    for (const member of all.slice(1)) {
      await ask(member, 'CLUSTER', 'MEET', '127.0.0.1', clients[0] as number, buses[0] as number)
    }
    const until = async (isSo: () => Promise<boolean>) => {
      for (let i = 0; !(await isSo().catch(() => false)); i++) {
        if (i === 1_200) throw new Error('the cluster was not ready in time')
        await pause(50)
      }
    }
    const infoOf = async (member: number) => String(await ask(member, 'CLUSTER', 'INFO'))
    await until(async () => {
      const infos = await Promise.all(all.map(infoOf))
      return infos.every((info) => info.includes(`cluster_known_nodes:${2 * MASTERS}`))
    })
    for (const replica of all.slice(MASTERS)) {
      await until(async () => (await ask(replica, 'CLUSTER', 'REPLICATE', idOf(replica - MASTERS))) === 'OK')
    }
    const whole = () =>
      until(async () => {
        const infos = await Promise.all(all.map(infoOf))
        const roles = await Promise.all(all.map(async (member) => String(await ask(member, 'INFO', 'replication'))))
        const isWhole = (text: string) => /role:master[\s\S]*state=online|master_link_status:up/.test(text)
        return infos.every((info) => info.includes('cluster_state:ok')) && roles.every(isWhole)
      })
    await whole()
    return {
      members,
      masterOf,
      whole,
      tookOver: (key, lost) => until(async () => (await masterOf(key)) !== lost),
      client: () =>
        new Cluster(
          clients.map((port) => ({ host: '127.0.0.1', port })),
          { lazyConnect: true, slotsRefreshTimeout: 2_000 },
        ),
      async failOver(key) {
        const master = await masterOf(key)
        const replica = (master + MASTERS) % (2 * MASTERS)
        await ask(replica, 'CLUSTER', 'FAILOVER')
        await until(async () => (await masterOf(key)) !== master)
      },
      async migrate(key, between) {
        const slot = await slotOf(key)
        const from = await masterOf(key)
        const masters = all.filter((member) => member !== from && member % MASTERS !== from % MASTERS)
        const roles = await Promise.all(masters.map(async (one) => String(await ask(one, 'INFO', 'replication'))))
        const to = masters[roles.findIndex((text) => text.includes('role:master'))] as number
        await ask(to, 'CLUSTER', 'SETSLOT', slot, 'IMPORTING', idOf(from))
        await ask(from, 'CLUSTER', 'SETSLOT', slot, 'MIGRATING', idOf(to))
        for (let moved = 0; ; moved++) {
          const left = Number(await ask(from, 'CLUSTER', 'COUNTKEYSINSLOT', slot))
          await between(moved, left)
          const [one] = (await ask(from, 'CLUSTER', 'GETKEYSINSLOT', slot, 1)) as string[]
          if (one === undefined) break
          await ask(from, 'MIGRATE', '127.0.0.1', clients[to] as number, one, 0, 5_000)
        }
        for (const member of [to, from]) await ask(member, 'CLUSTER', 'SETSLOT', slot, 'NODE', idOf(to))
        await until(async () => (await masterOf(key)) === to)
      },
      end,
    }
  } catch (error) {
    await end()
    throw error
  }
}

function connectTo(port: number): Redis {
  const redis = new Redis(port, '127.0.0.1', {
    maxRetriesPerRequest: 0,
    retryStrategy: () => 50,
    commandTimeout: 2_000,
  })
  redis.on('error', () => {}) // which each command tells, too
  return redis
}
