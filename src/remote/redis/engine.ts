/** Redis as an engine: two connections for each link, one to ask over and one to be told over. */
import { type NamesOf, optional, optionsOf, wrongType } from '../../core/arguments.js'
import type { CancellationToken } from '../../core/token.js'
import type { Engine, Link, LinkEvents, Session } from '../contract/engine.js'
import { openLink } from '../adapter/open-link.js'
import { type Dialer, dialerOf, type IoRedisClient, type NodeRedisClient } from './clients.js'
import { RedisLink } from './link.js'
import { classify, textOf } from './replies.js'

/** What `redisEngine` takes. */
export interface RedisEngineOptions {
  /** What all keys and channels begin with, in braces: `{calloff}:…`. Hubs with another one know nothing of each other. Default: `'calloff'`. */
  readonly prefix?: string | undefined
  /**
   * What becomes of a Redis that evicts keys when memory is short (`maxmemory` with any `maxmemory-policy` but `noeviction`), and so
   * forgets cancels that were acknowledged. `'refuse'`: connecting rejects with `ERR_HUB_REFUSED`. `'allow'`: it is used. Default:
   * `'refuse'`. A server that does not allow `INFO` is used, since it does not say.
   */
  readonly eviction?: 'refuse' | 'allow' | undefined
}

const ENGINE_OPTIONS: NamesOf<RedisEngineOptions> = ['prefix', 'eviction']

class RedisEngine implements Engine {
  readonly place: string
  readonly classify = classify
  readonly describe = textOf
  readonly #dialer: Dialer
  readonly #root: string
  readonly #mayEvict: boolean

  constructor(dialer: Dialer, root: string, mayEvict: boolean) {
    this.place = dialer.place
    this.#dialer = dialer
    this.#root = root
    this.#mayEvict = mayEvict
  }

  connect(session: Session, events: LinkEvents, token: CancellationToken): Promise<Link> {
    return openLink(this, session, events, token, async (opening) => {
      const lost = (error: Error) => opening.lost(error)
      const dial = async () => opening.own(await this.#dialer.dial(lost, opening.token), (wire) => wire.close())
      const [asking, hearing] = await Promise.all([dial(), dial()])
      const link = new RedisLink(opening, asking, this.#root)
      await hearing.subscribe(link.channel, (message) => link.heard(message))
      await link.begin(this.#mayEvict)
      return link
    })
  }
}

/**
 * An engine over Redis, for `connectHub`: from a client of [ioredis](https://www.npmjs.com/package/ioredis) (5 or 6) or
 * [node-redis](https://www.npmjs.com/package/redis) (5 or 6).
 *
 * The client itself is a pattern: each hub makes two connections like it, and makes them again when they are lost. The client
 * is not used, connected or closed, and what it is told to do about lost connections is of no matter here.
 *
 * Errors: `TypeError` for what is no client; `RangeError` for a prefix with braces. Connecting rejects with `ERR_HUB_REFUSED` where the
 * server evicts keys (see `eviction`).
 *
 * @example
 * ```ts no-run
 * import { connectHub } from 'calloff/remote'
 * import { redisEngine } from 'calloff/remote/redis'
 * import { Redis } from 'ioredis'
 *
 * const redis = new Redis('redis://localhost:6379', { lazyConnect: true })
 * await using hub = await connectHub(redisEngine(redis, { prefix: 'jobs' }))
 * const token = hub.open('report-7')
 * ```
 */
export function redisEngine(client: IoRedisClient | NodeRedisClient, options?: RedisEngineOptions): Engine {
  const dialer = dialerOf(client)
  const { eviction = 'refuse', ...given } = optionsOf(options, ENGINE_OPTIONS)
  const prefix = optional('prefix', 'string', given.prefix) ?? 'calloff'
  if (prefix === '' || /[{}\0]/.test(prefix)) {
    throw new RangeError(`prefix must be text without braces or NUL, got ${JSON.stringify(prefix)}`)
  }
  if (eviction !== 'refuse' && eviction !== 'allow') throw wrongType('eviction', "'refuse' or 'allow'", eviction)
  return new RedisEngine(dialer, `{${prefix}}`, eviction === 'allow')
}
