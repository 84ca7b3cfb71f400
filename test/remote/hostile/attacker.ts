/** A client that has the key and means harm. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { proofOf, protocol } from '../inside.js'

const { decode, encode, Frames } = protocol
export type Message = ReturnType<typeof decode>

/** A client that says what it likes, in frames. */
export class Attacker {
  readonly socket: Socket
  readonly #frames = new Frames(1e9)
  readonly #nonce = new Uint8Array(32).fill(7)
  #session: string
  /** How many answers have come to their end. */
  answers = 0
  onMessage: (message: Message) => void = () => {}

  private constructor(socket: Socket, session: string) {
    this.socket = socket
    this.#session = session
  }

  static async connect(url: string, session: string): Promise<Attacker> {
    const { hostname, port } = new URL(url)
    const socket = connect(Number(port), hostname)
    await once(socket, 'connect')
    const attacker = new Attacker(socket, session)
    socket.on('error', () => {})
    await new Promise<void>((resolve) => {
      attacker.onMessage = (message) => {
        if (message.type === 'challenge') attacker.#prove(message.nonce)
        if (message.type === 'welcome') resolve()
      }
      socket.on('data', (chunk: Buffer) => attacker.#hear(chunk))
      attacker.send({ type: 'hello', magic: 'calloff', least: 1, version: 1, nonce: attacker.#nonce })
    })
    return attacker
  }

  #prove(serverNonce: Uint8Array): void {
    const session = this.#session
    const agreed = { least: 1, most: 1, version: 1, clientNonce: this.#nonce, serverNonce, session }
    const mac = proofOf('client', new Uint8Array(), agreed)
    this.send({ type: 'proof', mac, session, host: 'evil', pid: 1, ttl: 30_000 })
  }

  #hear(chunk: Buffer): void {
    this.#frames.add(chunk)
    for (let frame = this.#frames.next(); frame; frame = this.#frames.next()) {
      const message = decode(frame)
      if (!('more' in message && message.more)) this.answers++
      this.onMessage(message)
    }
  }

  send(message: Message): void {
    this.socket.write(encode(message))
  }

  /** As one write. */
  sendAll(messages: readonly Message[]): void {
    this.socket.write(Buffer.concat(messages.map((message) => encode(message))))
  }
}

export const topic = (name: string) => ({ name, runId: '' })
export const holders = (count: number, stem = 'x') =>
  Array.from({ length: count }, (_, id) => ({ id, topic: topic(`${stem}${id}`), state: 0, role: 0, since: 0 }))
export const markOf = (id: string) => ({
  id,
  kind: 'manual',
  reason: '',
  host: 'evil',
  pid: 1,
  token: '',
  what: 'x',
  at: 0,
})

/** Many requests of one kind, in one write. */
export const floods: Readonly<Record<string, (count: number) => Message[]>> = {
  'lists of all names': (count) =>
    Array.from({ length: count }, (_, id) => ({ type: 'list', id, prefix: '', topic: undefined })),
  'lists of no name': (count) =>
    Array.from({ length: count }, (_, id) => ({ type: 'list', id, prefix: 'no such name', topic: undefined })),
  cancels: (count) =>
    Array.from({ length: 20 * count }, (_, id) => ({
      type: 'mark',
      id,
      topic: topic(`m${id}`),
      mark: markOf(`${id}`),
      ttl: 60_000,
    })),
  'reads of many names': (count) =>
    Array.from({ length: count }, (_, id) => ({ type: 'read', id, topics: holders(500).map((one) => one.topic) })),
}
