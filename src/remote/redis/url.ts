/** `redis://` and `rediss://`: makes a client with the library that is installed. */
import type { Engine } from '../contract/engine.js'
import { HubError } from '../contract/errors.js'
import { missing } from '../adapter/optional-package.js'
import type { IoRedisClient, NodeRedisClient } from './clients.js'
import { redisEngine, type RedisEngineOptions } from './engine.js'

/** `?prefix=` and `?eviction=` are options of the engine. The client reads the rest of the URL. */
export async function engineOfUrl(url: URL, tls: object): Promise<Engine> {
  const prefix = url.searchParams.get('prefix') ?? undefined
  const eviction = url.searchParams.get('eviction') ?? undefined
  const bare = new URL(url)
  for (const name of ['prefix', 'eviction']) bare.searchParams.delete(name)
  // The engine checks it itself.
  const options = { prefix, eviction } as RedisEngineOptions
  return redisEngine(await clientOf(bare, tls), options)
}

async function clientOf({ href, protocol }: URL, tls: object): Promise<IoRedisClient | NodeRedisClient> {
  const isSecure = protocol === 'rediss:'
  try {
    const { Redis } = await import('ioredis')
    return new Redis(href, { lazyConnect: true, ...(isSecure ? { tls } : {}) })
  } catch (error) {
    if (!missing(error)) throw error
  }
  try {
    const { createClient } = await import('redis')
    return createClient({ url: href, ...(isSecure ? { socket: { ...tls, tls: true } } : {}) })
  } catch (cause) {
    if (!missing(cause)) throw cause
    throw new HubError('ERR_HUB_SCHEME', `${protocol} needs the package ioredis or redis`, {
      cause,
    })
  }
}
