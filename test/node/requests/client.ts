/** A client that can do what browsers do not let you do: a socket, and the bytes of HTTP/1. */
import { once } from 'node:events'
import { connect as connectSocket, type Socket } from 'node:net'

export const GET = 'GET / HTTP/1.1\r\nHost: test\r\n\r\n'

/** A request with a body of `length` bytes, of which as many are sent as `body` has. */
export function post(body: string, length = body.length): string {
  return `POST / HTTP/1.1\r\nHost: test\r\nContent-Length: ${length}\r\n\r\n${body}`
}

export class Client {
  readonly socket: Socket
  /** What has come so far. */
  text = ''

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('error', () => {}) // a reset, or a pipe that is broken: what the tests are about
    socket.setEncoding('latin1').on('data', (chunk: string) => (this.text += chunk))
  }

  static async connect(port: number): Promise<Client> {
    // Half-open, so that `halfClose` does just that.
    const socket = connectSocket({ port, host: '127.0.0.1', allowHalfOpen: true })
    await once(socket, 'connect')
    return new Client(socket)
  }

  send(text: string): this {
    this.socket.write(text)
    return this
  }

  /** Waits until it has got this text; fails with what came instead. */
  async got(text: string): Promise<void> {
    const signal = AbortSignal.timeout(120_000)
    while (!this.text.includes(text)) {
      await once(this.socket, 'data', { signal }).catch((cause: unknown) => {
        throw new Error(`wanted ${JSON.stringify(text)}, got ${JSON.stringify(this.text.slice(-1_000))}`, { cause })
      })
    }
  }

  /** Reads no more, so that what the server sends piles up. */
  pause(): void {
    this.socket.pause()
  }

  resume(): void {
    this.socket.resume()
  }

  leave(): void {
    this.socket.destroy()
  }

  reset(): void {
    this.socket.resetAndDestroy()
    // At once, and not when all is written: see test/remote/proxy.ts.
    this.socket.destroy()
  }

  halfClose(): void {
    this.socket.end()
  }
}
