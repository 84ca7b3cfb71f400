/** Makes or borrows the connections of links. */
import type { ConnectionOptions, NatsConnection } from '@nats-io/transport-node'
import type { CancellationToken } from '../../core/token.js'
import { Deferred } from '../contract/deferred.js'
import { library } from './library.js'
import { trackSockets } from './sockets.js'

/** A connection for one link. */
export interface LinkConnection {
  readonly nc: NatsConnection
  /** Settles when it is lost, with an error if one is known. Not when it is let go of. */
  readonly lost: Promise<Error | undefined>
  /** Must be called when the link no longer needs the connection. */
  release(): void
}

/**
 * A connection of its own for each link. It does not connect again, because the hub does. It is given up when the token
 * is cancelled.
 */
export async function dial(options: ConnectionOptions, token: CancellationToken): Promise<LinkConnection> {
  const { connect } = await library()
  const { result, abandon } = trackSockets(() => connect({ ...options, reconnect: false, noAsyncTraces: true }))
  const registration = token.onCancel(abandon)
  const nc = await result.finally(() => registration.stop())
  release(nc)
  let isWanted = true
  const lost = async (): Promise<Error | undefined> => {
    const error = await nc.closed()
    return isWanted ? (error ?? undefined) : new Promise(() => {})
  }
  return {
    nc,
    lost: lost(),
    release() {
      isWanted = false
      nc.close().catch(() => {})
    },
  }
}

/**
 * Stops the socket and the pings of the library from keeping the process alive: pending promises do that, and the library has no option
 * for it. The pings are not needed, because the hub sends beats and notices a missing answer. If these internal parts are not found, the
 * process lives until the hub is closed; nothing else changes.
 */
function release(nc: NatsConnection): void {
  const { protocol } = nc as unknown as {
    protocol?: { heartbeats?: { cancel?(): void }; transport?: { socket?: { unref?(): void } } }
  }
  protocol?.heartbeats?.cancel?.()
  protocol?.transport?.socket?.unref?.()
}

/** A connection that reconnects by itself. */
class SharedConnection {
  readonly #users = new Set<Deferred<Error | undefined>>()
  /** Resolves when it is back, while it is not there. */
  #back: Deferred<void> | undefined

  constructor(private readonly nc: NatsConnection) {
    void this.#watch()
  }

  async #watch(): Promise<void> {
    for await (const { type } of this.nc.status()) {
      if (type === 'disconnect') this.#fall(undefined)
      if (type === 'reconnect') this.#rise()
    }
    this.#fall((await this.nc.closed()) ?? undefined)
    this.#rise()
  }

  #fall(cause: Error | undefined): void {
    this.#back ??= new Deferred()
    for (const lost of this.#users) lost.resolve(cause)
    this.#users.clear()
  }

  #rise(): void {
    this.#back?.resolve()
    this.#back = undefined
  }

  async dial(): Promise<LinkConnection> {
    await this.#back?.promise
    if (this.nc.isClosed()) throw new Error('the connection was closed')
    const lost = new Deferred<Error | undefined>()
    this.#users.add(lost)
    return { nc: this.nc, lost: lost.promise, release: () => void this.#users.delete(lost) }
  }
}

const known = new WeakMap<NatsConnection, SharedConnection>()

/** The connection of the caller, while it is connected. */
export function share(nc: NatsConnection): Promise<LinkConnection> {
  let shared = known.get(nc)
  if (!shared) known.set(nc, (shared = new SharedConnection(nc)))
  return shared.dial()
}
