/** The embedded server: sockets around a store. */
import { randomBytes } from 'node:crypto'
import { createServer, type Server, type Socket } from 'node:net'
import { getHeapStatistics } from 'node:v8'
import { type NamesOf, optional, optionsOf, wrongType } from '../../core/arguments.js'
import { after, now } from '../../core/clock.js'
import { HubError } from '../contract/errors.js'
import { keyOf } from '../wire/handshake.js'
import { Journal } from './journal.js'
import { WriteBatch } from './write-batch.js'
import { Peer } from './peer.js'
import { LEAST_FRAME, NONCE_BYTES } from '../wire/protocol.js'
import { period } from '../contract/limits.js'
import { BACKLOG, listening, SocketPlace } from '../wire/socket-path.js'
import { Store } from './store.js'
import { TimeSlices } from './time-slices.js'

/** The limits of a server. */
export interface ServerLimits {
  /** The largest frame in bytes, at least 16,384. Default: 65,536. */
  readonly frame?: number | undefined
  /** The number of open connections. Default: 10,000. */
  readonly connections?: number | undefined
  /** The number of connections that have not proved their key. A further one disconnects the oldest of them. Default: 2,000. */
  readonly handshakes?: number | undefined
  /** The time limit of the handshake, in milliseconds. Default: 5,000. */
  readonly handshakeWithin?: number | undefined
  /** The number of open tokens of one connection. Default: 100,000. */
  readonly names?: number | undefined
  /** The number of all marks and leases. Default: 1,000,000. */
  readonly marks?: number | undefined
  /**
   * The estimated bytes of memory of all stored data: marks, leases and open tokens. Open tokens may take at most three quarters of it.
   * A request that needs more is refused with `ERR_HUB_REFUSED`; stored data stays. Default: half of the heap that Node allows.
   */
  readonly bytes?: number | undefined
  /** The bytes that a client may leave unread before it is disconnected. Default: 8 MiB. */
  readonly unread?: number | undefined
}

/** The options of a server. */
export interface ServerOptions {
  /** The path of a Unix socket, or the name of a pipe on Windows. */
  readonly path?: string | undefined
  /** The address to listen at. Default: `'127.0.0.1'`. Any address except loopback requires a key. */
  readonly host?: string | undefined
  /** A TCP port; 0 picks a free one. */
  readonly port?: number | undefined
  /** The secret that clients must have, at least 16 bytes. Text is encoded as UTF-8. */
  readonly key?: string | Uint8Array | undefined
  /**
   * The path of a file that keeps marks and leases through a crash. One server at a time may use it, by a file `….lock` beside it. A
   * second server is refused with `ERR_HUB_JOURNAL`, and the message names the process. The lock of a dead process is taken over.
   */
  readonly journal?: string | undefined
  /** Over TCP: the options of `tls.createServer` (`key`, `cert` …). */
  readonly tls?: object | undefined
  readonly limits?: ServerLimits | undefined
}

const SERVER_OPTIONS: NamesOf<ServerOptions> = ['path', 'host', 'port', 'key', 'journal', 'tls', 'limits']

type Limits = { readonly [K in keyof ServerLimits]-?: number }

const DEFAULTS: Limits = {
  frame: 65_536,
  connections: 10_000,
  handshakes: 2_000,
  handshakeWithin: 5_000,
  names: 100_000,
  marks: 1_000_000,
  bytes: getHeapStatistics().heap_size_limit / 2,
  unread: 8 * 1_048_576,
}

function limitsOf(given: ServerLimits | undefined): Limits {
  const limits: Record<string, number> = { ...DEFAULTS }
  const names = Object.keys(DEFAULTS) as (keyof ServerLimits)[]
  for (const [name, value] of Object.entries(optionsOf(given, names))) {
    if (value !== undefined) limits[name] = period(`limits.${name}`, value, 1)
  }
  if ((limits['frame'] as number) < LEAST_FRAME) {
    throw new RangeError(`limits.frame must be ${LEAST_FRAME} or more, got ${limits['frame']}`)
  }
  return limits as unknown as Limits
}

/**
 * A server that carries a hub, without dependencies. It may run in a process of its own or beside other code.
 *
 * It keeps the process alive until it is closed. Stored data is in memory; with `journal` it is in a file as well.
 *
 * @example
 * ```ts
 * import { connectHub, TokenServer } from 'calloff/remote'
 *
 * await using server = await TokenServer.listen({ port: 0 })
 * await using here = await connectHub(server.url)
 * await using there = await connectHub(server.url) // usually in another process
 *
 * const job = there.open('job-42')
 * await job.ready
 * const receipt = await here.cancel('job-42', 'stop pressed', { timeout: 1_000, until: 'acknowledged' })
 * console.log(job.reason, receipt.holders, receipt.acknowledged) // → stop pressed 1 1
 * ```
 */
export class TokenServer implements AsyncDisposable {
  #url = ''
  #listener: Server
  readonly #store: Store
  readonly #journal: Journal | undefined
  readonly #place: SocketPlace | undefined
  #stopWatching = () => {}
  readonly #sockets = new Set<Socket>()
  #closing: Promise<void> | undefined
  #failure: Error | undefined
  /** When this server replaced an earlier one, whose clients now enter again; undefined if there was none. */
  #restartedAt: number | undefined
  #ended!: (error?: Error) => void
  /**
   * Resolves when the server is closed. Rejects if it closed because its journal could no longer be written (`ERR_HUB_JOURNAL`), or
   * because another server replaced its socket (`ERR_HUB_REFUSED`).
   */
  readonly closed: Promise<void>

  private constructor(listener: Server, store: Store, journal: Journal | undefined, place: SocketPlace | undefined) {
    this.#listener = listener
    this.#store = store
    this.#journal = journal
    this.#place = place
    this.closed = new Promise((resolve, reject) => {
      this.#ended = (error) => (error ? reject(error) : resolve())
    })
    this.closed.catch(() => {})
  }

  /**
   * Starts a server.
   *
   * Only the user of the process may use its socket file (mode 0600). The socket of a crashed server is replaced; any other file is not.
   *
   * Errors: `TypeError` and `RangeError` for bad options, such as an address that other machines can reach without a `key`;
   * `ERR_HUB_REFUSED` if another server is listening there; errors of the system.
   */
  static async listen(options: ServerOptions): Promise<TokenServer> {
    const given = optionsOf(options, SERVER_OPTIONS)
    const path = optional('path', 'string', given.path)
    const host = optional('host', 'string', given.host) ?? '127.0.0.1'
    const { port, tls } = given
    const key = keyOf(given.key)
    const limits = limitsOf(given.limits)
    if ((path === undefined) === (port === undefined)) throw new TypeError('options must have either path or port')
    if (tls !== undefined && (typeof tls !== 'object' || tls === null || path !== undefined)) {
      throw wrongType('tls', 'an object of options for node:tls, and needs port', tls)
    }
    if (port !== undefined && (!Number.isInteger(port) || port < 0 || port > 65_535)) {
      throw typeof port === 'number'
        ? new RangeError(`port must be an integer from 0 to 65535, got ${port}`)
        : wrongType('port', 'a number', port)
    }
    if (path === undefined && key.length === 0 && !isLoopback(host)) {
      throw new TypeError(`key is required to listen at ${host}, because other machines can reach it`)
    }
    const file = optional('journal', 'string', given.journal)
    const place = path === undefined ? undefined : SocketPlace.at(path)
    const opened = file === undefined ? undefined : await Journal.open(file)
    const journal = opened?.journal
    const store = new Store(limits, journal, opened?.changes)
    journal?.of(() => store.changes())
    try {
      // Loaded only by a server that uses TLS.
      const make = tls && (await import('node:tls')).createServer
      const listener = make
        ? make({ handshakeTimeout: limits.handshakeWithin, ...tls })
        : createServer({ noDelay: true })
      const server = new TokenServer(listener, store, journal, place)
      if (opened?.isNew === false) server.#restartedAt = now()
      const serve = server.#serve(key, limits, make !== undefined)
      // Attach handlers before listening: a connection that arrives earlier is never answered.
      serve(listener)
      if (place) {
        await place.listen(listener)
        if (place.hasPredecessor) server.#restartedAt ??= now()
        server.#url = place.url
        server.#watch(place, serve)
      } else server.#url = await listenAt(listener, host, port as number, make ? 'tls' : 'tcp')
      return server
    } catch (error) {
      store.close()
      await journal?.close()
      throw error
    }
  }

  /** The URL for `connectHub`. */
  get url(): string {
    return this.#url
  }

  /** The number of connections, including those that have not proved their key. */
  get connections(): number {
    return this.#sockets.size
  }

  /** Ends all connections, flushes the journal and removes the socket file. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#stopWatching()
    // First the path, then the server: while the server listens, no other server takes its path.
    await this.#place?.remove()
    const closed = new Promise<void>((resolve) => void this.#listener.close(() => resolve()))
    for (const socket of this.#sockets) socket.destroy()
    this.#store.close()
    await this.#journal?.close()
    await closed
    this.#ended(this.#failure)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /**
   * Checks from time to time whether clients can still find the server, because a cleaner of temporary files may have removed its socket.
   * If so, the server listens again at the same path. Open connections go on.
   */
  #watch(place: SocketPlace, serve: (listener: Server) => void): void {
    const check = async () => {
      const found = await place.check()
      if (this.#closing) return
      if (found === 'gone') {
        const listener = createServer({ noDelay: true })
        serve(listener)
        await place.listen(listener)
        if (this.#closing) {
          await place.remove()
          listener.close()
          return
        }
        this.#listener.close()
        this.#listener = listener
      } else if (found === 'of another')
        this.#fail(new HubError('ERR_HUB_REFUSED', `another server has replaced this one at ${this.#url}`))
      this.#watch(place, serve)
    }
    // If the socket cannot be made, the server tries again: a folder may be missing for a while.
    const again = () => void check().catch(() => this.#watch(place, serve))
    if (!this.#closing) this.#stopWatching = after(CHECK_EVERY, again, false)
  }

  #fail(error: Error): void {
    this.#failure ??= error
    void this.close()
  }

  /** Returns a function that makes a listener accept clients. */
  #serve(key: Uint8Array, limits: Limits, isTls: boolean): (listener: Server) => void {
    /** The connections that have not proved their key, the oldest first. */
    const unproven = new Set<Socket>()
    if (this.#journal) this.#journal.onFailure = (error) => this.#fail(error)
    /** Over TLS: the TCP connections, by their remote address. Nothing else identifies them. */
    const below = new Map<string, Socket>()
    // Counts TCP connections, so that a pending TLS handshake counts as well.
    const count = (socket: Socket) => {
      const source = sourceOf(socket)
      this.#sockets.add(socket)
      unproven.add(socket)
      if (isTls) below.set(source, socket)
      socket.once('close', () => {
        this.#sockets.delete(socket)
        unproven.delete(socket)
        below.delete(source)
      })
      socket.on('error', () => void socket.destroy())
      const [oldest] = unproven
      if (this.#sockets.size > limits.connections) socket.destroy()
      else if (unproven.size > limits.handshakes) oldest?.destroy()
    }
    const slices = new TimeSlices()
    const accept = (socket: Socket) => {
      const tcp = isTls ? below.get(sourceOf(socket)) : socket
      const batch = new WriteBatch((bytes) => {
        if (socket.destroyed) return
        socket.write(bytes)
        if (socket.writableLength > limits.unread) cut()
        else if (output.isFull) wait()
      })
      const output = {
        send: (bytes: Uint8Array) => batch.send(bytes),
        end: () => {
          batch.flush()
          socket.end(() => void socket.destroy())
          after(GOODBYE_TIMEOUT, () => void socket.destroy(), false)
        },
        // A client that sends requests faster than it reads must read first.
        get isFull() {
          return socket.writableNeedDrain && socket.writableLength > limits.unread / 8
        },
      }
      const cut = () => {
        socket.destroy()
        peer.closed()
        slices.remove(worker)
      }
      let isWaiting = false
      const wait = () => {
        if (isWaiting) return
        isWaiting = true
        socket.pause()
        socket.once('drain', () => {
          isWaiting = false
          slices.run(worker)
        })
      }
      const peer = new Peer(this.#store, output, {
        key,
        nonce: randomBytes(NONCE_BYTES),
        frame: limits.frame,
        handshakeWithin: limits.handshakeWithin,
        restartedAt: this.#restartedAt,
        opened: () => void (tcp && unproven.delete(tcp)),
      })
      const worker = {
        work(until: number): boolean {
          let isLeft = false
          batch.reading(() => (isLeft = peer.work(until)))
          // Its earlier requests are handled before more bytes are read.
          if (isLeft) socket.pause()
          else if (!output.isFull) socket.resume()
          return isLeft
        },
      }
      socket.setNoDelay(true)
      socket.on('data', (chunk: Buffer) => {
        peer.hold(chunk)
        slices.run(worker)
      })
      socket.on('error', () => void socket.destroy())
      socket.once('close', cut)
    }
    return (listener) => {
      listener.on('connection', count)
      listener.on(isTls ? 'secureConnection' : 'connection', accept)
      listener.on('tlsClientError', (_error: Error, socket: Socket) => void socket.destroy())
      listener.on('error', () => {}) // errors of accepting: open connections go on
    }
  }
}

/** Milliseconds between two checks of the socket. */
const CHECK_EVERY = 1_000

/** How long a disconnected client may take to read the error message, in milliseconds. */
const GOODBYE_TIMEOUT = 1_000

function sourceOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host)
}

async function listenAt(server: Server, host: string, port: number, scheme: string): Promise<string> {
  await listening(server, () => server.listen({ port, host, backlog: BACKLOG }))
  const at = server.address() as { readonly port: number }
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${at.port}`
}
