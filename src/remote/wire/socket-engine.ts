/** The embedded server as an engine: links over sockets. */
import { randomBytes } from 'node:crypto'
import { connect as connectPlain, type Socket } from 'node:net'
import type { CancellationToken } from '../../core/token.js'
import type { Engine, Link, LinkEvents, Session } from '../contract/engine.js'
import { HubError } from '../contract/errors.js'
import { NONCE_BYTES } from './protocol.js'
import { WireLink } from './wire-link.js'

/** Where a server listens. */
export type Place = { readonly path: string } | { readonly host: string; readonly port: number; readonly tls?: object }

export class SocketEngine implements Engine {
  readonly place: string
  readonly inOrder = true
  readonly #where: Place
  readonly #key: Uint8Array

  constructor(place: string, where: Place, key: Uint8Array) {
    this.place = place
    this.#where = where
    this.#key = key
  }

  async connect(session: Session, events: LinkEvents, token: CancellationToken): Promise<Link> {
    const dial = await dialer(this.#where)
    return new Promise((resolve, reject) => {
      token.check()
      const socket = dial()
      let isOpen = false
      const link = new WireLink(
        { send: (bytes) => void socket.write(bytes), end: () => void socket.destroy() },
        {
          session,
          key: this.#key,
          nonce: randomBytes(NONCE_BYTES),
          events: {
            notice: (state) => events.notice(state),
            lost: (error) => {
              givenUp.stop()
              if (isOpen) events.lost(error)
              else reject(error)
            },
          },
          opened: () => {
            isOpen = true
            givenUp.stop()
            resolve(link)
          },
        },
      )
      const givenUp = token.onCancel((error) => link.fail(error))
      socket.setNoDelay(true)
      // Whoever waits for something keeps the process alive by himself.
      socket.unref()
      const isTls = 'tls' in this.#where
      socket.once(isTls ? 'secureConnect' : 'connect', () => link.begin())
      socket.on('data', (chunk) => link.receive(chunk))
      socket.on('error', (cause: Error) => link.fail(this.#unreachable(cause.message, cause)))
      socket.on('close', () => link.fail(this.#unreachable('the connection has ended')))
    })
  }

  #unreachable(why: string, cause?: Error): HubError {
    return new HubError('ERR_HUB_UNREACHABLE', `${this.place}: ${why}`, { cause })
  }
}

/** Only who uses TLS loads it. */
async function dialer(where: Place): Promise<() => Socket> {
  if ('path' in where) return () => connectPlain(where.path)
  const { host, port, tls } = where
  if (!tls) return () => connectPlain({ host, port })
  const { connect } = await import('node:tls')
  return () => connect({ host, port, ...tls })
}
