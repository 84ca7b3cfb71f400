/** Redis as an engine: each link has two connections, one for requests and one for notices. */
import { type NamesOf, optional, optionsOf, wrongType } from '../../core/arguments.js'
import type { CancellationToken } from '../../core/token.js'
import type { Engine, Link, LinkEvents, Session } from '../contract/engine.js'
import { openLink } from '../adapter/open-link.js'
import { type Dialer, dialerOf, type IoRedisClient, type NodeRedisClient } from './clients.js'
import { RedisLink } from './link.js'
import { classify, textOf } from './replies.js'

/** The options of `redisEngine`. */
export interface RedisEngineOptions {
  /** The prefix of all keys and channels, in braces: `{calloff}:…`. Hubs with different prefixes are separate. Default: `'calloff'`. */
  readonly prefix?: string | undefined
  /**
   * What to do if Redis evicts keys when memory is short (`maxmemory` with any `maxmemory-policy` except `noeviction`), because it may
   * then delete acknowledged cancels. `'refuse'`: connecting rejects with `ERR_HUB_REFUSED`. `'allow'`: the server is used. Default:
   * `'refuse'`. A server that does not allow `INFO` is used, because its policy is unknown.
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
 * The client is a template: each hub makes two connections with its options, and makes them again when they are lost. The client itself
 * is not used, connected or closed, and its options for reconnecting have no effect here.
 *
 * Errors: `TypeError` if `client` is not a client; `RangeError` for a prefix with braces. Connecting rejects with `ERR_HUB_REFUSED` if the
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
