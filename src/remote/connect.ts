import { randomBytes } from 'node:crypto'
import { optional, optionalProgram, shown } from '../core/arguments.js'
import { environmentOf, HubClient } from './client/hub-client.js'
import { hubOptionsOf, settingsOf } from './client/options.js'
import type { Engine } from './contract/engine.js'
import type { HubOptions, TokenHub } from './contract/hub.js'
import { engineOf } from './registry/engines.js'

/**
 * Connects to a hub. What carries it, the URL says: `unix:/path`, `pipe:name` (Windows), `tcp://host:port`,
 * `tls://host:port` for a `TokenServer`; `redis://` and `rediss://`, `nats://`, `postgres://` for these, with the package
 * `ioredis` or `redis`, `@nats-io/jetstream` and `@nats-io/transport-node`, or `pg`, installed. An engine can be given instead of a URL: one that was made of a client of yours, or your own.
 *
 * Timing: resolves when the first connection is made; with `lazy`, at once. From then on a lost one is made again.
 *
 * Errors: rejects with `ERR_HUB_UNREACHABLE`, `ERR_HUB_AUTH` (the key is another one), `ERR_HUB_SCHEME`; with `background` also with
 * `ERR_HUB_WORKER`: the program of the thread is not where it should be, or is another one.
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
  return new HubClient(await engineOf(url, settings), settings, environmentOf(newSession())).connect()
}

/** Returns an id that is unguessable and different for every hub. */
function newSession(): string {
  return randomBytes(16).toString('base64url')
}
