import { randomBytes } from 'node:crypto'
import process from 'node:process'
import { optional, optionalProgram, shown, wrongType } from '../core/arguments.js'
import { HubClient } from './client.js'
import type { Engine } from './engine.js'
import { HubError } from './errors.js'
import type { HubOptions, TokenHub } from './hub.js'
import { here } from './here.js'
import { pipeOf } from './socket-place.js'
import { hubOptionsOf, type Settings, settingsOf } from './settings.js'
import { SocketEngine } from './socket-engine.js'

/** Makes the engine of a URL. */
type Make = (url: URL, settings: Settings) => Engine | Promise<Engine>

/** By scheme, as a URL has it. An adapter is loaded only when a URL asks for it. */
const engines: Readonly<Record<string, Make>> = {
  'unix:': (url, { key }) => {
    const path = decodeURIComponent(url.pathname)
    if (!path.startsWith('/')) throw new RangeError(`url must be unix:/path with a whole path, got ${url.href}`)
    return new SocketEngine(url.href, { path }, key)
  },
  'pipe:': (url, { key }) => {
    if (process.platform !== 'win32')
      throw new HubError('ERR_HUB_SCHEME', 'pipe: is for Windows, here it is unix:/path')
    return new SocketEngine(url.href, { path: pipeOf(decodeURIComponent(url.pathname)) }, key)
  },
  'tcp:': (url, { key }) => new SocketEngine(placeOf(url), addressOf(url), key),
  'tls:': (url, { key, tls }) => {
    const address = addressOf(url)
    return new SocketEngine(placeOf(url), { ...address, tls: { servername: serverName(address.host), ...tls } }, key)
  },
  'nats:': adapter(() => import('./nats/url.js')),
  'postgres:': adapter(() => import('./postgres/url.js')),
  'postgresql:': adapter(() => import('./postgres/url.js')),
  'redis:': adapter(() => import('./redis/url.js')),
  'rediss:': adapter(() => import('./redis/url.js')),
}

function adapter(load: () => Promise<{ engineOfUrl: (url: URL, tls: object) => Promise<Engine> }>): Make {
  return async (url, { key, tls }) => {
    if (key.length > 0) {
      throw new RangeError(`key is for a TokenServer; for ${url.protocol} the URL has the user and the password`)
    }
    const { engineOfUrl } = await load()
    return engineOfUrl(url, tls)
  }
}

function addressOf(url: URL): { readonly host: string; readonly port: number } {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (!host || !url.port) throw new RangeError(`url must name a host and a port, got ${placeOf(url)}`)
  if (url.password || url.username) throw new RangeError('url must not have a password, the key is an option')
  return { host, port: Number(url.port) }
}

/** An address has no name that a certificate could be asked for. */
function serverName(host: string): string {
  return /^[\d.]+$|:/.test(host) ? '' : host
}

/** The URL, without what is nobody's business. */
function placeOf({ protocol, host }: URL): string {
  return `${protocol}//${host}`
}

async function engineOf(url: string | URL | Engine, settings: Settings): Promise<Engine> {
  if (typeof url === 'object' && !(url instanceof URL)) {
    if (typeof (url as { connect?: unknown } | null)?.connect !== 'function') {
      throw wrongType('url', 'a string, a URL or an engine', url)
    }
    return url
  }
  if (typeof url !== 'string' && !(url instanceof URL)) throw wrongType('url', 'a string, a URL or an engine', url)
  let parsed: URL
  try {
    parsed = new URL(url)
  } catch (cause) {
    throw new RangeError('url must be one, such as unix:/run/hub.sock or tcp://localhost:4000', { cause })
  }
  const make = Object.hasOwn(engines, parsed.protocol) ? engines[parsed.protocol] : undefined
  if (!make) throw new HubError('ERR_HUB_SCHEME', `there is no engine for ${parsed.protocol}`)
  return make(parsed, settings)
}

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
  if (worker !== undefined) throw new TypeError(`worker is for a hub with background: true, got ${shown(worker)}`)
  const client = await clientOf(url, others, newSession())
  return client.connect()
}

/** Unguessable, and nobody else's. */
function newSession(): string {
  return randomBytes(16).toString('base64url')
}

/** A hub that has not connected yet. */
export async function clientOf(
  url: string | URL | Engine,
  options: Omit<HubOptions, 'background' | 'worker'>,
  session: string,
): Promise<HubClient> {
  const settings = settingsOf(options)
  const engine = await engineOf(url, settings)
  return new HubClient(engine, settings, { ...here(), session, random: Math.random })
}
