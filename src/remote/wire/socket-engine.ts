/** The embedded server as an engine: links over sockets. */
import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import { connect as connectPlain, type Socket } from 'node:net'
import type { CancellationToken } from '../../core/token.js'
import type { Engine, Link, LinkEvents, Session } from '../contract/engine.js'
import { HubError } from '../contract/errors.js'
import { NONCE_BYTES } from './protocol.js'
import { WireLink } from './wire-link.js'

/** The address of a server. */
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
      const socket = dial((bytes) => link.receive(bytes))
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
      // A pending promise keeps the process alive by itself.
      socket.unref()
      const isTls = 'tls' in this.#where
      socket.once(isTls ? 'secureConnect' : 'connect', () => link.begin())
      socket.on('error', (cause: Error) => link.fail(this.#unreachable(cause.message, cause)))
      socket.on('close', () => link.fail(this.#unreachable('the connection has ended')))
    })
  }

  #unreachable(why: string, cause?: Error): HubError {
    return new HubError('ERR_HUB_UNREACHABLE', `${this.place}: ${why}`, { cause })
  }
}

/** Makes a socket that passes the bytes it reads to `receive`. The bytes are valid during the call only. */
type Dial = (receive: (bytes: Uint8Array) => void) => Socket

/** The size of the buffer for reads, which is reused. A stream would allocate 64 KiB for each read. */
const READ = 16_384

async function dialer(where: Place): Promise<Dial> {
  if (!('tls' in where) || !where.tls) {
    return (receive) => {
      const callback = (count: number, bytes: Uint8Array) => {
        receive(bytes.subarray(0, count))
        return true
      }
      return connectPlain({ ...where, onread: { buffer: Buffer.allocUnsafeSlow(READ), callback } })
    }
  }
  const { host, port, tls } = where
  // Loaded only for TLS.
  const { connect } = await import('node:tls')
  return (receive) => connect({ host, port, ...tls }).on('data', receive)
}
