/** One interface for the two common clients of Redis: a connection is made once and ends once. */
import type { Redis as IoRedis, RedisOptions } from 'ioredis'
import type { createClient } from 'redis'
import { wrongType } from '../../core/arguments.js'
import type { CancellationToken } from '../../core/token.js'

/** The used part of a client of ioredis: `new Redis(…)` or a `Cluster`. */
export interface IoRedisClient {
  call(command: string, ...given: never[]): unknown
  duplicate(...given: never[]): unknown
}

/** The used part of a client of node-redis: `createClient(…)`. */
export interface NodeRedisClient {
  sendCommand(...given: never[]): unknown
  duplicate(...given: never[]): unknown
}

/** A connection that one link uses alone. */
export interface Wire {
  /** Sends a command. Commands are sent in the order of the calls. */
  command(args: readonly string[]): Promise<unknown>
  subscribe(channel: string, heard: (message: string) => void): Promise<void>
  /** Closes the connection at once. */
  close(): void
}

/** Makes connections with the options of a client. */
export interface Dialer {
  /** Where the server is, for messages. Contains no secrets. */
  readonly place: string
  /** Makes a connection. Rejects if it cannot, or if `token` is cancelled first. `lost` is called when the connection ends by itself, perhaps more than once. */
  dial(lost: (error: Error) => void, token: CancellationToken): Promise<Wire>
}

export function dialerOf(client: IoRedisClient | NodeRedisClient): Dialer {
  const known = client as Partial<IoRedisClient & NodeRedisClient> | null | undefined
  const isClient = (typeof known === 'object' || typeof known === 'function') && known !== null
  if (isClient && typeof known.duplicate === 'function') {
    if (typeof known.call === 'function') return ofIoRedis(client as unknown as IoRedis & { isCluster?: boolean })
    // A cluster of node-redis shows no options.
    if (typeof known.sendCommand === 'function' && 'options' in known)
      return ofNodeRedis(client as unknown as NodeRedis)
  }
  throw wrongType('client', 'a client of ioredis (or a Cluster of it), or of node-redis', client)
}

// ---- ioredis

/** The hub reconnects, and repeats requests that may be repeated. */
const once = {
  lazyConnect: true,
  retryStrategy: () => null,
  sentinelRetryStrategy: () => null,
  reconnectOnError: null,
  autoResubscribe: false,
  autoResendUnfulfilledCommands: false,
  enableAutoPipelining: false,
  enableOfflineQueue: true,
  // Scripts are sent unchanged, and their keys have a prefix of their own.
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
        // `quit` could wait for an answer for ever.
        ;(own as Partial<IoRedis>).stream?.destroy()
      }
      try {
        await token.race(own.connect())
      } catch (error) {
        close()
        throw last ?? error
      }
      // A pending promise keeps the process alive by itself.
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
        // No option that changes the form of a script's answer.
        commandOptions: {},
        socket: { ...socket, reconnectStrategy: false } as NonNullable<typeof socket>,
      })
      own.on('error', lost)
      own.on('end', () => lost(new Error('the connection has ended')))
      // A pending promise keeps the process alive by itself.
      own.unref()
      const close = () => {
        try {
          own.destroy()
        } catch {
          // it is closed already
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
