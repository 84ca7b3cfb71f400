/** The embedded server as an engine: links over sockets. */
import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import { connect as connectPlain, type Socket } from 'node:net'
import type { CancellationToken } from '../../core/token.js'
import { openLink } from '../adapter/open-link.js'
import type { Engine, Link, LinkEvents, Session } from '../contract/engine.js'
import { NONCE_BYTES } from './protocol.js'
import { WireLink } from './wire-link.js'

/** The address of a server. */
export type Address =
  | { readonly path: string }
  | { readonly host: string; readonly port: number; readonly tls?: object }

export class SocketEngine implements Engine {
  readonly place: string
  readonly inOrder = true
  readonly #address: Address
  readonly #key: Uint8Array

  constructor(place: string, address: Address, key: Uint8Array) {
    this.place = place
    this.#address = address
    this.#key = key
  }

  connect(session: Session, events: LinkEvents, token: CancellationToken): Promise<Link> {
    return openLink(this, session, events, token, async (opening) => {
      const dial = await dialer(this.#address)
      return new Promise((resolve) => {
        const link = new WireLink(opening, {
          send: (bytes) => void socket.write(bytes),
          key: this.#key,
          nonce: randomBytes(NONCE_BYTES),
          opened: () => resolve(link),
        })
        const socket = dial((bytes) => link.receive(bytes))
        opening.own(socket, (one) => void one.destroy())
        socket.setNoDelay(true)
        // A pending promise keeps the process alive by itself.
        socket.unref()
        socket.once('tls' in this.#address ? 'secureConnect' : 'connect', () => link.begin())
        socket.on('error', (cause: Error) => opening.lost(cause))
        socket.on('close', () => opening.lost(new Error('the connection has ended')))
      })
    })
  }

  /** Every error of a socket ends it. */
  classify(): 'gone' {
    return 'gone'
  }
}

/** Makes a socket that passes the bytes it reads to `receive`. The bytes are valid during the call only. */
type Dial = (receive: (bytes: Uint8Array) => void) => Socket

/** The size of the buffer for reads, which is reused. A stream would allocate 64 KiB for each read. */
const READ_BYTES = 16_384

async function dialer(address: Address): Promise<Dial> {
  if (!('tls' in address) || !address.tls) {
    return (receive) => {
      const callback = (count: number, bytes: Uint8Array) => {
        receive(bytes.subarray(0, count))
        return true
      }
      return connectPlain({ ...address, onread: { buffer: Buffer.allocUnsafeSlow(READ_BYTES), callback } })
    }
  }
  const { host, port, tls } = address
  // Loaded only for TLS.
  const { connect } = await import('node:tls')
  return (receive) => connect({ host, port, ...tls }).on('data', receive)
}
