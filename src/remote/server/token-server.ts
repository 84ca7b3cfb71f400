/** The embedded server: sockets around a store. */
import { randomBytes } from 'node:crypto'
import { createServer, type Server, type Socket } from 'node:net'
import { getHeapStatistics } from 'node:v8'
import { type NamesOf, optional, optionsOf, wrongType } from '../../core/arguments.js'
import { after, now } from '../../core/clock.js'
import { HubError } from '../contract/errors.js'
import { keyOf } from '../wire/handshake.js'
import { Journal } from './journal.js'
import { Outbox } from './write-batch.js'
import { Peer } from './peer.js'
import { LEAST_FRAME, NONCE_BYTES } from '../wire/protocol.js'
import { period } from '../contract/limits.js'
import { BACKLOG, listening, SocketPlace } from '../wire/socket-path.js'
import { Store } from './store.js'
import { Turns } from './time-slices.js'

/** How much a server puts up with. */
export interface ServerLimits {
  /** The largest frame, in bytes, at least 16,384. Default: 65,536. */
  readonly frame?: number | undefined
  /** Connections at a time. Default: 10,000. */
  readonly connections?: number | undefined
  /** Of these, how many that have not shown the key yet: for a further one, the oldest is cut off. Default: 2,000. */
  readonly handshakes?: number | undefined
  /** Milliseconds for the handshake. Default: 5,000. */
  readonly handshakeWithin?: number | undefined
  /** Tokens of one connection. Default: 100,000. */
  readonly names?: number | undefined
  /** Marks and leases in all. Default: 1,000,000. */
  readonly marks?: number | undefined
  /**
   * Bytes of memory, estimated, for all that clients have stored: marks, leases and open tokens, which take three quarters of it at the
   * most. What would take more is refused with `ERR_HUB_REFUSED`; what is stored stays. Default: half of the heap that Node allows.
   */
  readonly bytes?: number | undefined
  /** Bytes that a connection may leave unread before it is cut off. Default: 8 MiB. */
  readonly unread?: number | undefined
}

/** Where a server listens, and what it demands. */
export interface ServerOptions {
  /** A Unix socket, or the name of a pipe on Windows. */
  readonly path?: string | undefined
  /** An address to listen at. Default: `'127.0.0.1'`. Anything but loopback needs a key. */
  readonly host?: string | undefined
  /** A TCP port; 0 picks a free one. */
  readonly port?: number | undefined
  /** The secret that clients must have, at least 16 bytes; text counts as UTF-8. */
  readonly key?: string | Uint8Array | undefined
  /**
   * A file in which marks and leases survive a crash. One server at a time, by a file `….lock` beside it: another one is refused
   * with `ERR_HUB_JOURNAL`, which names the process; what a process that has died has left is taken over.
   */
  readonly journal?: string | undefined
  /** Over TCP: what `tls.createServer` takes (`key`, `cert` …). */
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
 * A server that carries a hub, with no dependency: in a process of its own, or beside something else.
 *
 * It keeps the process alive until it is closed. What is stored lives in memory; with `journal`, in a file as well.
 *
 * @example
 * ```ts
 * import { connectHub, TokenServer } from 'calloff/remote'
 *
 * await using server = await TokenServer.listen({ port: 0 })
 * await using here = await connectHub(server.url)
 * await using there = await connectHub(server.url) // in another process, as a rule
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
  /** When it took the place of a server before it, whose clients now enter again; undefined where there was none. */
  #restartedAt: number | undefined
  #ended!: (error?: Error) => void
  /**
   * Resolves when the server is closed; rejects if that was because its journal could not be written any more (`ERR_HUB_JOURNAL`), or
   * its socket was replaced by that of another server (`ERR_HUB_REFUSED`).
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
   * A socket file is for its owner alone (0600). One that a crashed server has left behind is replaced, anything else is not.
   *
   * Errors: `TypeError` and `RangeError` for bad options, for one: an address others can reach, without a `key`;
   * `ERR_HUB_REFUSED` where a server is listening already; what the system says.
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
      // Only a server that uses TLS loads it.
      const make = tls && (await import('node:tls')).createServer
      const listener = make
        ? make({ handshakeTimeout: limits.handshakeWithin, ...tls })
        : createServer({ noDelay: true })
      const server = new TokenServer(listener, store, journal, place)
      if (opened?.isNew === false) server.#restartedAt = now()
      const serve = server.#serve(key, limits, make !== undefined)
      // Before it can be reached: a connection that comes before the listeners is never answered.
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

  /** What `connectHub` takes. */
  get url(): string {
    return this.#url
  }

  /** How many are connected, those included that have not shown the key yet. */
  get connections(): number {
    return this.#sockets.size
  }

  /** Ends all connections, flushes the journal, and takes a socket file away. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#stopWatching()
    // First the path, and then the server: as long as it listens no other one takes its path.
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
   * Looks now and then whether clients can still find the server: what cleans up temporary files may have removed its socket. Then it
   * listens again at the same path; the connections that there are go on.
   */
  #watch(place: SocketPlace, serve: (listener: Server) => void): void {
    const look = async () => {
      const standing = await place.look()
      if (this.#closing) return
      if (standing === 'gone') {
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
      } else if (standing === 'of another')
        this.#fail(new HubError('ERR_HUB_REFUSED', `another server has replaced this one at ${this.#url}`))
      this.#watch(place, serve)
    }
    // Where it cannot be made it is tried again: a folder may be gone and come back.
    const again = () => void look().catch(() => this.#watch(place, serve))
    if (!this.#closing) this.#stopWatching = after(LOOK, again, false)
  }

  #fail(error: Error): void {
    this.#failure ??= error
    void this.close()
  }

  /** Returns what has a listener let clients in. */
  #serve(key: Uint8Array, limits: Limits, isTls: boolean): (listener: Server) => void {
    /** Who has not shown the key yet, the oldest first. */
    const strangers = new Set<Socket>()
    if (this.#journal) this.#journal.onFailure = (error) => this.#fail(error)
    /** Over TLS: the connections below, by where they come from, which is all that tells them. */
    const below = new Map<string, Socket>()
    // Counted by the system's connections, so that a TLS handshake counts as well.
    const count = (socket: Socket) => {
      const source = sourceOf(socket)
      this.#sockets.add(socket)
      strangers.add(socket)
      if (isTls) below.set(source, socket)
      socket.once('close', () => {
        this.#sockets.delete(socket)
        strangers.delete(socket)
        below.delete(source)
      })
      socket.on('error', () => void socket.destroy())
      const [oldest] = strangers
      if (this.#sockets.size > limits.connections) socket.destroy()
      else if (strangers.size > limits.handshakes) oldest?.destroy()
    }
    const turns = new Turns()
    const letIn = (socket: Socket) => {
      const stranger = isTls ? below.get(sourceOf(socket)) : socket
      const outbox = new Outbox((bytes) => {
        if (socket.destroyed) return
        socket.write(bytes)
        if (socket.writableLength > limits.unread) cut()
        else if (output.isFull) wait()
      })
      const output = {
        send: (bytes: Uint8Array) => outbox.send(bytes),
        end: () => {
          outbox.flush()
          socket.end(() => void socket.destroy())
          after(LAST_WORD, () => void socket.destroy(), false)
        },
        // A client that asks faster than it reads is to read first.
        get isFull() {
          return socket.writableNeedDrain && socket.writableLength > limits.unread / 8
        },
      }
      const cut = () => {
        socket.destroy()
        peer.closed()
        turns.remove(worker)
      }
      let isWaiting = false
      const wait = () => {
        if (isWaiting) return
        isWaiting = true
        socket.pause()
        socket.once('drain', () => {
          isWaiting = false
          turns.run(worker)
        })
      }
      const peer = new Peer(this.#store, output, {
        key,
        nonce: randomBytes(NONCE_BYTES),
        frame: limits.frame,
        handshakeWithin: limits.handshakeWithin,
        restartedAt: this.#restartedAt,
        opened: () => void (stranger && strangers.delete(stranger)),
      })
      const worker = {
        work(until: number): boolean {
          let isLeft = false
          outbox.reading(() => (isLeft = peer.work(until)))
          // What it has sent is worked on before more of it is read.
          if (isLeft) socket.pause()
          else if (!output.isFull) socket.resume()
          return isLeft
        },
      }
      socket.setNoDelay(true)
      socket.on('data', (chunk: Buffer) => {
        peer.hold(chunk)
        turns.run(worker)
      })
      socket.on('error', () => void socket.destroy())
      socket.once('close', cut)
    }
    return (listener) => {
      listener.on('connection', count)
      listener.on(isTls ? 'secureConnection' : 'connection', letIn)
      listener.on('tlsClientError', (_error: Error, socket: Socket) => void socket.destroy())
      listener.on('error', () => {}) // of accepting: what there is goes on
    }
  }
}

/** Milliseconds between two looks at the socket. */
const LOOK = 1_000

/** Who is cut off and does not read why is not waited for any longer, in milliseconds. */
const LAST_WORD = 1_000

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
