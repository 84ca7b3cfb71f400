/** Hubs at `nats://` URLs: each link makes a connection. */
import type { ConnectionOptions } from '@nats-io/transport-node'
import type { CancellationToken } from '../../core/token.js'
import type { Engine } from '../contract/engine.js'
import { dial } from './connections.js'
import { NatsEngine, type NatsEngineOptions } from './engine.js'
import { library } from './library.js'

/** Milliseconds for each of several servers: a server that is frozen accepts a connection but does not answer. */
const TRY = 2_000

/** `nats://[user:password@|token@]host[:port][/bucket][?replicas=3]` */
export async function engineOfUrl(url: URL, tls: object): Promise<Engine> {
  await library() // fails now if the package is missing
  const { host, username, password, pathname, searchParams } = url
  const place = `nats://${host}`
  if (!host) throw new RangeError(`url must name a host, such as nats://localhost:4222, got ${place}`)
  const [user, pass] = [decodeURIComponent(username), decodeURIComponent(password)]
  const options: ConnectionOptions = { servers: host, name: 'calloff' }
  if (pass) Object.assign(options, { user, pass })
  else if (user) options.token = user
  if (Object.keys(tls).length > 0) options.tls = tls
  const replicas = searchParams.get('replicas')
  const given: NatsEngineOptions = {
    bucket: decodeURIComponent(pathname.slice(1)) || undefined,
    replicas: replicas === null ? undefined : Number(replicas),
  }
  // The other servers of the cluster, which the last connected server has reported. They are used when that server is
  // lost.
  let others: readonly string[] = []
  const dialOne = async (token: CancellationToken) => {
    const several = { servers: [host, ...others], noRandomize: true, timeout: TRY }
    const dialed = await dial({ ...options, ...(others.length > 0 && several) }, token)
    others = dialed.nc.info?.connect_urls ?? others
    return dialed
  }
  return new NatsEngine(place, dialOne, given)
}
