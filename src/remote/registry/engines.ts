/** Makes the engine for a URL. */
import process from 'node:process'
import { wrongType } from '../../core/arguments.js'
import type { Credentials } from '../client/options.js'
import type { Engine } from '../contract/engine.js'
import { HubError } from '../contract/errors.js'
import { SocketEngine } from '../wire/socket-engine.js'
import { pipeOf } from '../wire/socket-path.js'
import { placeOf } from './place.js'
import { isScheme, type Scheme } from './schemes.js'

/** Makes the engine for a URL of one scheme. */
type Make = (url: URL, credentials: Credentials) => Engine | Promise<Engine>

/** The engines by scheme. An adapter is loaded only when a URL needs it. */
const engines: Readonly<Record<Scheme, Make>> = {
  'unix:': (url, { key }) => {
    const path = decodeURIComponent(url.pathname)
    if (!path.startsWith('/')) throw new RangeError(`url must be unix: with an absolute path, got ${url.href}`)
    return new SocketEngine(placeOf(url), { path }, key)
  },
  'pipe:': (url, { key }) => {
    if (process.platform !== 'win32')
      throw new HubError('ERR_HUB_SCHEME', 'pipe: works on Windows only, use unix:/path instead')
    return new SocketEngine(url.href, { path: pipeOf(decodeURIComponent(url.pathname)) }, key)
  },
  'tcp:': (url, { key }) => new SocketEngine(placeOf(url), addressOf(url), key),
  'tls:': (url, { key, tls }) => {
    const address = addressOf(url)
    return new SocketEngine(placeOf(url), { ...address, tls: { servername: serverName(address.host), ...tls } }, key)
  },
  'nats:': adapter(() => import('../nats/url.js')),
  'postgres:': adapter(() => import('../postgres/url.js')),
  'postgresql:': adapter(() => import('../postgres/url.js')),
  'redis:': adapter(() => import('../redis/url.js')),
  'rediss:': adapter(() => import('../redis/url.js')),
}

function adapter(load: () => Promise<{ engineOfUrl: (url: URL, tls: object) => Promise<Engine> }>): Make {
  return async (url, { key, tls }) => {
    if (key.length > 0) {
      throw new RangeError(
        `key works with a TokenServer only; for ${url.protocol} put the user and the password into the URL`,
      )
    }
    const { engineOfUrl } = await load()
    return engineOfUrl(url, tls)
  }
}

function addressOf(url: URL): { readonly host: string; readonly port: number } {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (!host || !url.port) throw new RangeError(`url must name a host and a port, got ${placeOf(url)}`)
  if (url.password || url.username)
    throw new RangeError('url must not have a user or a password, pass the key as an option')
  return { host, port: Number(url.port) }
}

/** An IP address has no name to check a certificate against. */
function serverName(host: string): string {
  return /^[\d.]+$|:/.test(host) ? '' : host
}

/** Returns the engine for a URL, or the engine that was passed. */
export async function engineOf(url: string | URL | Engine, credentials: Credentials): Promise<Engine> {
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
    throw new RangeError('url must be a valid URL, such as unix:/run/hub.sock or tcp://localhost:4000', { cause })
  }
  const { protocol } = parsed
  if (!isScheme(protocol)) throw new HubError('ERR_HUB_SCHEME', `there is no engine for ${protocol}`)
  return engines[protocol](parsed, credentials)
}
