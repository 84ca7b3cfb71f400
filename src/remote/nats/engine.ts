/** NATS JetStream as an engine: links share the connection of the caller, or each link makes one. */
import type { NatsConnection } from '@nats-io/transport-node'
import { type NamesOf, optional, optionsOf, wrongType } from '../../core/arguments.js'
import type { CancellationToken } from '../../core/token.js'
import type { Failure } from '../adapter/failures.js'
import { openLink } from '../adapter/open-link.js'
import type { Engine, Link, LinkEvents, Session } from '../contract/engine.js'
import { Bucket, type BucketOptions, isRefusal } from './bucket.js'
import { type LinkConnection, share } from './connections.js'
import { SeenRevisions } from './leases.js'
import { type SessionMemory, NatsLink } from './link.js'

/** The options of `natsEngine`. */
export interface NatsEngineOptions {
  /** The name of the key-value bucket: letters, digits, `-` and `_`. Hubs with different buckets are separate. Default: `'calloff'`. */
  readonly bucket?: string | undefined
  /** How many servers keep a new bucket, 1 to 5. Default: 1. */
  readonly replicas?: number | undefined
  /** Where they keep a new bucket. Default: `'file'`; with `'memory'` it is lost with its servers. */
  readonly storage?: 'file' | 'memory' | undefined
}

const ENGINE_OPTIONS: NamesOf<NatsEngineOptions> = ['bucket', 'replicas', 'storage']

export class NatsEngine implements Engine {
  readonly place: string
  readonly #dial: (token: CancellationToken) => Promise<LinkConnection>
  readonly #bucket: BucketOptions
  readonly #seenRevisions = new SeenRevisions()
  readonly #memories = new Map<string, SessionMemory>()

  constructor(
    place: string,
    dial: (token: CancellationToken) => Promise<LinkConnection>,
    options: NatsEngineOptions | undefined,
  ) {
    this.place = place
    this.#dial = dial
    this.#bucket = bucketOf(options)
  }

  connect(session: Session, events: LinkEvents, token: CancellationToken): Promise<Link> {
    return openLink(this, session, events, token, async (opening) => {
      const { nc, lost } = opening.own(await this.#dial(opening.token), (dialed) => dialed.release())
      void lost.then((error) => opening.lost(error ?? new Error('the connection has ended')))
      const bucket = opening.own(await Bucket.open(nc, this.#bucket), (one) => one.close())
      const link = new NatsLink(opening, bucket, this.#memoryOf(session))
      opening.own(link, ({ hasSaidBye }) => hasSaidBye && this.#memories.delete(session.id))
      await link.begin()
      return link
    })
  }

  classify(error: Error): Failure {
    if ([error, error.cause].some((one) => one instanceof Error && REFUSES_US.test(one.name))) return 'auth'
    return isRefusal(error) ? 'refused' : 'gone'
  }

  #memoryOf({ id }: Session): SessionMemory {
    const known = this.#memories.get(id)
    if (known) return known
    const memory = { seenRevisions: this.#seenRevisions, entered: new Map(), isOld: false }
    this.#memories.set(id, memory)
    return memory
  }
}

const REFUSES_US = /^(Authorization|PermissionViolation)Error$/

function bucketOf(options: NatsEngineOptions | undefined): BucketOptions {
  const { replicas = 1, storage = 'file', ...given } = optionsOf(options, ENGINE_OPTIONS)
  const name = optional('bucket', 'string', given.bucket) ?? 'calloff'
  if (!/^[\w-]+$/.test(name)) {
    throw new RangeError(`bucket must be letters, digits, - and _, got ${JSON.stringify(name)}`)
  }
  if (typeof replicas !== 'number') throw wrongType('replicas', 'a number', replicas)
  if (!Number.isInteger(replicas) || replicas < 1 || replicas > 5) {
    throw new RangeError(`replicas must be from 1 to 5, got ${replicas}`)
  }
  if (storage !== 'file' && storage !== 'memory') throw wrongType('storage', "'file' or 'memory'", storage)
  return { name, replicas, storage }
}

/**
 * An engine over NATS JetStream, for `connectHub`: over a connection of `@nats-io/transport-node` 3 that you have made.
 *
 * The connection is used and never closed. While it reconnects by itself, by its own options, the hub is `'disconnected'`; pending
 * requests are sent again afterwards. The connection keeps the process alive until you close it.
 *
 * Errors: `TypeError` if `connection` is not a connection; `RangeError` for a bad name or number. `connectHub` rejects with
 * `ERR_HUB_SCHEME` if `@nats-io/jetstream` is not installed, and with `ERR_HUB_REFUSED` if the bucket exists with unsuitable settings.
 *
 * @example
 * ```ts no-run
 * import { connect } from '@nats-io/transport-node'
 * import { connectHub } from 'calloff/remote'
 * import { natsEngine } from 'calloff/remote/nats'
 *
 * const connection = await connect({ servers: 'nats://localhost:4222', maxReconnectAttempts: -1 })
 * await using hub = await connectHub(natsEngine(connection, { bucket: 'jobs', replicas: 3 }))
 * const token = hub.open('report-7')
 * ```
 */
export function natsEngine(connection: NatsConnection, options?: NatsEngineOptions): Engine {
  const { request, subscribe, status, getServer } = (connection as Partial<NatsConnection> | null) ?? {}
  for (const method of [request, subscribe, status, getServer]) {
    if (typeof method !== 'function')
      throw wrongType('connection', 'a connection of @nats-io/transport-node', connection)
  }
  return new NatsEngine('nats', () => share(connection), options)
}
