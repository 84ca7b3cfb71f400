/** What is not exported, and tests need: the engine of a server. */
import type { Engine, Topic } from 'calloff/remote'

interface Inside {
  readonly SocketEngine: new (place: string, where: object, key: Uint8Array) => Engine
}

const { SocketEngine } = (await import(
  new URL('../../../dist/remote/socket-engine.js', import.meta.url).href
)) as Inside

/** The engine that `connectHub` makes of the URL. */
export function engineFor(url: string, key = ''): Engine {
  const { protocol, pathname, hostname, port } = new URL(url)
  const where = protocol === 'unix:' ? { path: pathname } : { host: hostname, port: Number(port) }
  return new SocketEngine(url, where, new TextEncoder().encode(key))
}

interface InsideNats {
  engineOfUrl(url: URL, tls: object): Promise<Engine>
}

/** The engine that `connectHub` makes of a `nats:` URL. */
export async function natsEngineFor(url: string): Promise<Engine> {
  const { engineOfUrl } = (await import(
    new URL('../../../dist/remote/nats/url.js', import.meta.url).href
  )) as InsideNats
  return engineOfUrl(new URL(url), {})
}

interface NatsKeys {
  holderKey(path: string, session: string, id: number): string
  leaseKey(path: string): string
  markKey(path: string): string
  parseKey(key: string): unknown
  pathOf(topic: Topic): string
}

export async function natsKeys(): Promise<NatsKeys> {
  return (await import(new URL('../../../dist/remote/nats/keys.js', import.meta.url).href)) as NatsKeys
}
