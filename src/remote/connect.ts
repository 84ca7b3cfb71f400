import { randomBytes } from 'node:crypto'
import { optional, optionalProgram, shown } from '../core/arguments.js'
import { environmentOf, HubClient } from './client/hub-client.js'
import { credentialsOf, hubOptionsOf, settingsOf } from './client/options.js'
import type { Engine } from './contract/engine.js'
import type { HubOptions, TokenHub } from './contract/hub.js'
import { engineOf } from './registry/engines.js'

/**
 * Connects to a hub. The URL selects the engine: `unix:/path`, `pipe:name` (Windows), `tcp://host:port` and `tls://host:port` for a
 * `TokenServer`; `redis://` and `rediss://`, `nats://` and `postgres://` for these servers. They need the package `ioredis` or `redis`, the
 * packages `@nats-io/jetstream` and `@nats-io/transport-node`, or the package `pg`. An engine may be passed instead of a URL: one made from
 * your own client, or an engine of your own.
 *
 * Timing: resolves when the first connection is made; with `lazy`, at once. A connection that is lost later is restored.
 *
 * Errors: rejects with `ERR_HUB_UNREACHABLE`, `ERR_HUB_AUTH` (the key does not match), `ERR_HUB_SCHEME`; with `background` also with
 * `ERR_HUB_WORKER`: the program of the thread is missing, or it is another program.
 *
 * @example
 * ```ts
 * import { connectHub, TokenServer } from 'calloff/remote'
 *
 * await using server = await TokenServer.listen({ port: 0 })
 * await using hub = await connectHub(server.url)
 * const token = hub.open('report-7')
 * token.cancel('no longer wanted')
 * await token.delivered
 * const late = hub.open('report-7')
 * await late.ready
 * console.log(late.error?.message) // → token "report-7" was cancelled in process … on …: no longer wanted
 * ```
 */
export async function connectHub(url: string | URL | Engine, options?: HubOptions): Promise<TokenHub> {
  const { background, worker, ...others } = hubOptionsOf(options)
  if (optional('background', 'boolean', background)) {
    const { BackgroundHub } = await import('./background/hub.js')
    return BackgroundHub.connect(url, others, newSession(), optionalProgram('worker', worker))
  }
  if (worker !== undefined) throw new TypeError(`worker works with background: true only, got ${shown(worker)}`)
  const settings = settingsOf(others)
  return new HubClient(await engineOf(url, credentialsOf(others)), settings, environmentOf(newSession())).connect()
}

/** Returns an id that is different for every hub and cannot be guessed. */
function newSession(): string {
  return randomBytes(16).toString('base64url')
}
