/** A Redis with a replica, and a Sentinel that makes the replica the master when the master is lost. */
import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { redisServerAt } from '../remote/redis/server.js'
import { freePorts, type Server, serve } from '../remote/servers.js'

export interface SentinelGroup {
  /** A client that is not connected yet. */
  client(): Redis
  /** The member that the Sentinel says is the master, once it is one and the other follows it. */
  master(): Promise<Server>
  /** Resolves when another member has become the master. */
  another(lost: Server): Promise<void>
  end(): Promise<void>
}

export async function sentinelGroup(): Promise<SentinelGroup> {
  const [first = 0, second = 0, port = 0] = await freePorts(3)
  const servers: Server[] = []
  let sentinel: Redis | undefined
  const end = async () => {
    sentinel?.disconnect()
    await Promise.all(servers.map((server) => server.end()))
  }
  const answers = (port: number) =>
    new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(true))
      socket.on('error', () => resolve(false))
      socket.on('connect', () => socket.destroy())
    })
  try {
    const memory = ['--maxmemory', '50mb', '--repl-diskless-sync-delay', '0']
    servers.push(await redisServerAt(first, ...memory))
    servers.push(await redisServerAt(second, ...memory, '--replicaof', '127.0.0.1', String(first)))
    const settings = `port ${port}
bind 127.0.0.1
sentinel monitor tests 127.0.0.1 ${first} 1
sentinel down-after-milliseconds tests 500
sentinel failover-timeout tests 3000
`
    servers.push(
      await serve(
        {
          command: 'redis-server',
          arguments: (_port, folder) => [join(folder, 'sentinel.conf'), '--sentinel'],
          prepare: (folder) => writeFileSync(join(folder, 'sentinel.conf'), settings),
          answers,
        },
        undefined,
        port,
      ),
    )
    sentinel = new Redis(port, '127.0.0.1', { retryStrategy: () => 50 })
    sentinel.on('error', () => {})
    const asked = sentinel
    const named = async () => {
      const [, found] = (await asked.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'tests')) as [string, string]
      return servers.find((server) => server.port === Number(found)) as Server
    }
    return {
      client: () => {
        return new Redis({ sentinels: [{ host: '127.0.0.1', port }], name: 'tests', lazyConnect: true })
      },
      async master() {
        for (;;) {
          const member = await named()
          if (await isFollowed(member.port)) return member
          await pause(100)
        }
      },
      async another(lost) {
        while ((await named()) === lost) await pause(50)
      },
      end,
    }
  } catch (error) {
    await end()
    throw error
  }
}

/**
 * Waits until a replica has everything that its master has now. Replication is not acknowledged to clients: what a client was told just
 * before would be lost with the master, and on a busy machine a replica is late by more than any fixed time.
 */
export async function caughtUp(port: number): Promise<void> {
  const redis = new Redis(port, '127.0.0.1')
  redis.on('error', () => {})
  try {
    let wanted: number | undefined
    for (const limit = Date.now() + 30_000; Date.now() < limit; await pause(20)) {
      const text = await redis.info('replication')
      wanted ??= Number(/^master_repl_offset:(\d+)/m.exec(text)?.[1])
      const replica = /^slave\d+:.*state=online,offset=(\d+)/m.exec(text)?.[1]
      if (replica !== undefined && Number(replica) >= wanted) return
    }
    throw new Error(`the replica of the master at port ${port} did not catch up in 30 s`)
  } finally {
    redis.disconnect()
  }
}

/** Whether it is a master whose replica has all that it has. */
async function isFollowed(port: number): Promise<boolean> {
  const redis = new Redis(port, '127.0.0.1', { retryStrategy: () => null, maxRetriesPerRequest: 0 })
  redis.on('error', () => {})
  try {
    return /role:master[\s\S]*state=online/.test(await redis.info('replication'))
  } catch {
    return false
  } finally {
    redis.disconnect()
  }
}
