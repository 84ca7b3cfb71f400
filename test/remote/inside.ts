/** What is not exported, and tests need. */
import type * as clockModule from '../../dist/core/clock.js'
import type * as clientModule from '../../dist/remote/client/hub-client.js'
import type * as handshakeModule from '../../dist/remote/wire/handshake.js'
import type * as journalModule from '../../dist/remote/server/journal.js'
import type * as openLinkModule from '../../dist/remote/adapter/open-link.js'
import type * as natsKeysModule from '../../dist/remote/nats/keys.js'
import type * as natsUrlModule from '../../dist/remote/nats/url.js'
import type * as outboxModule from '../../dist/remote/server/write-batch.js'
import type * as peerModule from '../../dist/remote/server/peer.js'
import type * as protocolModule from '../../dist/remote/wire/protocol.js'
import type * as redisRepliesModule from '../../dist/remote/redis/replies.js'
import type * as registryModule from '../../dist/remote/registry/schemes.js'
import type * as settingsModule from '../../dist/remote/client/options.js'
import type * as socketModule from '../../dist/remote/wire/socket-engine.js'
import type * as changesModule from '../../dist/remote/server/changes.js'
import type * as storeModule from '../../dist/remote/server/store.js'
import type * as wireModule from '../../dist/remote/wire/wire-link.js'
import { NEVER } from 'calloff'
import type { Engine } from 'calloff/remote/engine'

const folder = new URL('../../../dist/', import.meta.url)
const load = (name: string): Promise<unknown> => import(new URL(`remote/${name}.js`, folder).href)

export const { after, now } = (await import(new URL('core/clock.js', folder).href)) as typeof clockModule
export const { HubClient } = (await load('client/hub-client')) as typeof clientModule
export const { isProof, proofOf } = (await load('wire/handshake')) as typeof handshakeModule
export const { Journal, recordsIn } = (await load('server/journal')) as typeof journalModule
export const natsKeys = (await load('nats/keys')) as typeof natsKeysModule
export const { openLink } = (await load('adapter/open-link')) as typeof openLinkModule
export const { WriteBatch } = (await load('server/write-batch')) as typeof outboxModule
export const { Peer } = (await load('server/peer')) as typeof peerModule
export const protocol = (await load('wire/protocol')) as typeof protocolModule
export const redisReplies = (await load('redis/replies')) as typeof redisRepliesModule
export const registry = (await load('registry/schemes')) as typeof registryModule
export const { settingsOf } = (await load('client/options')) as typeof settingsModule
export const { SocketEngine } = (await load('wire/socket-engine')) as typeof socketModule
export const { Store } = (await load('server/store')) as typeof storeModule
export const { WireLink } = (await load('wire/wire-link')) as typeof wireModule

export type HubClient = clientModule.HubClient
export type Opening = openLinkModule.Opening
export type Peer = peerModule.Peer
export type Store = storeModule.Store
export type Change = changesModule.Change
export type WireLink = wireModule.WireLink
export type { Engine } from '../../dist/remote/contract/engine.js'
export type { LeaseToken, RemoteToken } from '../../dist/remote/contract/remote-token.js'
export type Message = protocolModule.Message

/** `NEVER`, with the type that `openLink` above knows: to a reader of the sources, a type has two homes. */
export const never = NEVER as unknown as Parameters<typeof openLink>[3]

/** The engine that `connectHub` makes of the URL. */
export function engineFor(url: string, key = ''): Engine {
  const { protocol, pathname, hostname, port } = new URL(url)
  const where = protocol === 'unix:' ? { path: pathname } : { host: hostname, port: Number(port) }
  // To whoever looks at the sources, the type has two homes.
  return new SocketEngine(url, where, new TextEncoder().encode(key)) as unknown as Engine
}

/** The engine that `connectHub` makes of a URL with another scheme. */
export async function engineOfUrl(url: string): Promise<Engine> {
  const { protocol } = new URL(url)
  const { engineOfUrl } = (await load(`${protocol.slice(0, -1)}/url`)) as typeof natsUrlModule
  return (await engineOfUrl(new URL(url), {})) as unknown as Engine
}
