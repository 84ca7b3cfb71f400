/** The two clients of Redis that people have, as one: connections that are made once, and die once. */
import type { Redis as IoRedis, RedisOptions } from 'ioredis'
import type { createClient } from 'redis'
import { wrongType } from '../../core/arguments.js'
import type { CancellationToken } from '../../core/token.js'

/** What is needed of a client of ioredis: `new Redis(…)`, or a `Cluster`. */
export interface IoRedisClient {
  call(command: string, ...given: never[]): unknown
  duplicate(...given: never[]): unknown
}

/** What is needed of a client of node-redis: `createClient(…)`. */
export interface NodeRedisClient {
  sendCommand(...given: never[]): unknown
  duplicate(...given: never[]): unknown
}

/** A connection of its own. */
export interface Wire {
  /** Sends a command; what goes out together goes in this order. */
  command(args: readonly string[]): Promise<unknown>
  subscribe(channel: string, heard: (message: string) => void): Promise<void>
  /** Ends it at once. */
  close(): void
}

/** Makes connections like those of a client. */
export interface Dialer {
  /** For messages: where it is, without secrets. */
  readonly place: string
  /** Rejects where none can be made, or `token` is cancelled before. `lost` is called when it ends by itself, perhaps more than once. */
  dial(lost: (error: Error) => void, token: CancellationToken): Promise<Wire>
}

export function dialerOf(client: IoRedisClient | NodeRedisClient): Dialer {
  const known = client as Partial<IoRedisClient & NodeRedisClient> | null | undefined
  const isClient = (typeof known === 'object' || typeof known === 'function') && known !== null
  if (isClient && typeof known.duplicate === 'function') {
    if (typeof known.call === 'function') return ofIoRedis(client as unknown as IoRedis & { isCluster?: boolean })
    // A cluster of node-redis has no options to be seen; it asks and fails otherwise.
    if (typeof known.sendCommand === 'function' && 'options' in known)
      return ofNodeRedis(client as unknown as NodeRedis)
  }
  throw wrongType('client', 'a client of ioredis (or a Cluster of it), or of node-redis', client)
}

// ---- ioredis

/** The hub connects again by itself, and offers again by itself what may be offered again. */
const once = {
  lazyConnect: true,
  retryStrategy: () => null,
  sentinelRetryStrategy: () => null,
  reconnectOnError: null,
  autoResubscribe: false,
  autoResendUnfulfilledCommands: false,
  enableAutoPipelining: false,
  enableOfflineQueue: true,
  // Scripts are sent as they are, and their keys have a root of their own.
  keyPrefix: '',
} as const satisfies RedisOptions

interface IoRedisCluster {
  readonly isCluster: true
  duplicate(nodes: readonly [], options: object): IoRedis
}

function ofIoRedis(client: IoRedis | IoRedisCluster): Dialer {
  const isCluster = 'isCluster' in client && client.isCluster
  const make = () =>
    isCluster
      ? (client as IoRedisCluster).duplicate([], {
          ...once,
          clusterRetryStrategy: () => null,
          redisOptions: { keyPrefix: '' },
        })
      : client.duplicate(once)
  return {
    place: isCluster ? 'a Redis Cluster' : placeOf(client.options),
    async dial(lost, token) {
      const own = make()
      let last: Error | undefined
      own.on('error', (error: Error) => {
        last = error
      })
      own.on('end', () => lost(last ?? new Error('the connection has ended')))
      const close = () => {
        own.disconnect()
        // Which only says good-bye, and might wait for an answer for ever.
        ;(own as Partial<IoRedis>).stream?.destroy()
      }
      try {
        await token.race(own.connect())
      } catch (error) {
        close()
        throw last ?? error
      }
      // Whoever waits for something keeps the process alive by himself.
      ;(own as Partial<IoRedis>).stream?.unref()
      return {
        command: ([name = '', ...args]) => own.call(name, ...args),
        subscribe: async (channel, heard) => {
          own.on('message', (_channel: string, message: string) => heard(message))
          await own.subscribe(channel)
        },
        close,
      }
    },
  }
}

// ---- node-redis

type NodeRedis = ReturnType<typeof createClient>

function ofNodeRedis(client: NodeRedis): Dialer {
  const { socket, url } = client.options
  return {
    place: placeOf({ ...socket, ...(url ? hostOf(url) : {}) }),
    async dial(lost, token) {
      const own = client.duplicate({
        // Nothing that would change what a script's answer looks like.
        commandOptions: {},
        socket: { ...socket, reconnectStrategy: false } as NonNullable<typeof socket>,
      })
      own.on('error', lost)
      own.on('end', () => lost(new Error('the connection has ended')))
      // Whoever waits for something keeps the process alive by himself.
      own.unref()
      const close = () => {
        try {
          own.destroy()
        } catch {
          // it is closed
        }
      }
      try {
        await token.race(own.connect())
      } catch (error) {
        close()
        throw error
      }
      return {
        command: (args) => own.sendCommand([...args]),
        subscribe: (channel, heard) => own.subscribe(channel, heard),
        close,
      }
    },
  }
}

// ---- Both

function placeOf(options: { host?: unknown; port?: unknown; path?: unknown }): string {
  const { host, port, path } = options
  if (typeof path === 'string') return `redis at ${path}`
  return `redis://${typeof host === 'string' ? host : 'localhost'}:${typeof port === 'number' ? port : 6379}`
}

function hostOf(url: string): { host: string; port: number } {
  const { hostname, port } = new URL(url)
  return { host: hostname, port: Number(port || 6379) }
}
