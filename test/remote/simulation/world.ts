/**
 * A hub in a world of its own: the very code of client and server, over a network, a disk and a clock that are made up, so that
 * a run with a seed is always the same run.
 *
 * The network delays and cuts up what is sent, keeps it back for a while, and breaks connections, of which each side hears in
 * its own time. The disk takes its time, and a crash loses what it had not written yet. Nothing is lost silently, as with TCP.
 */
import {
  after,
  type Change,
  type Engine,
  HubClient,
  now,
  type Opening,
  openLink,
  Peer,
  settingsOf,
  Store,
  WireLink,
} from '../inside.js'

/** Numbers from 0 up to 1 that are the same for the same seed. */
export function chance(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const key = new TextEncoder().encode('a key of the simulation')
const LIMITS = { marks: 10_000, names: 10_000 }
const FRAME = 16_384
const rules = { place: 'the simulation', classify: () => 'gone' as const }

/** Calls back later, by the clock of the simulation. */
const later = (callback: () => void, ms: number): void => void after(ms, callback, false)

/** One direction of a connection: what is sent arrives in order, in pieces, later. */
class Pipe {
  readonly #network: Network
  readonly #receive: (bytes: Uint8Array) => void
  #free = 0
  isBroken = false

  constructor(network: Network, receive: (bytes: Uint8Array) => void) {
    this.#network = network
    this.#receive = receive
  }

  send(bytes: Uint8Array): void {
    const { random } = this.#network
    let rest = bytes.slice()
    while (rest.length > 0) {
      const part = random() < 0.1 ? rest.subarray(0, 1 + Math.floor(random() * rest.length)) : rest
      rest = rest.subarray(part.length)
      this.#free = Math.max(this.#free, now() + random() * (random() < 0.1 ? 200 : 5), this.#network.heldUntil)
      later(() => {
        if (!this.isBroken) this.#receive(part)
      }, this.#free - now())
    }
  }
}

class Connection {
  readonly #network: Network
  readonly #toClient: Pipe
  readonly #toServer: Pipe
  readonly #link: WireLink
  readonly #peer: Peer
  readonly owner: string

  constructor(network: Network, store: Store, opening: Opening, opened: (link: WireLink) => void) {
    this.#network = network
    this.owner = opening.session.id
    const { random } = network
    const nonce = () => Uint8Array.from({ length: 32 }, () => random() * 256)
    const send = (bytes: Uint8Array) => this.#toServer.send(bytes)
    const link = new WireLink(opening, { send, key, nonce: nonce(), opened: () => opened(link) })
    this.#link = link
    this.#peer = new Peer(
      store,
      { send: (bytes) => this.#toClient.send(bytes), end: () => this.cut() },
      { key, nonce: nonce(), frame: FRAME, handshakeWithin: 5_000 },
    )
    this.#toClient = new Pipe(network, (bytes) => this.#link.receive(bytes))
    this.#toServer = new Pipe(network, (bytes) => this.#peer.receive(bytes))
    network.connections.add(this)
    network.ofServer.add(this)
    link.begin()
  }

  /** Breaks it: what is under way may still arrive, up to some point; then each side hears of it, in its own time. */
  cut(): void {
    const { random, connections } = this.#network
    if (!connections.delete(this)) return
    const sides = [
      { pipe: this.#toClient, told: () => this.#link.fail(new Error('cut')) },
      { pipe: this.#toServer, told: () => this.#closed() },
    ]
    for (const { pipe, told } of sides) {
      later(
        () => {
          pipe.isBroken = true
          told()
        },
        random() * (random() < 0.2 ? 3_000 : 20),
      )
    }
  }

  /** The server is gone, at once; the client hears of it later. */
  crash(): void {
    this.#toServer.isBroken = true
    this.#closed()
    this.cut()
  }

  #closed(): void {
    this.#network.ofServer.delete(this)
    this.#peer.closed()
  }
}

/** Writes in order, late, and loses in a crash what it has not written. */
class Disk {
  readonly written: Change[] = []
  /** The server has decided something, and is about to write it down. */
  onAppend: (change: Change) => void = () => {}
  #network: Network
  #free = 0
  #told = 0
  #crashes = 0

  constructor(network: Network) {
    this.#network = network
  }

  append(change: Change): Promise<void> {
    this.onAppend(change)
    const { random } = this.#network
    const life = this.#crashes
    this.#free = Math.max(this.#free, now() + random() * (random() < 0.2 ? 500 : 10))
    return new Promise((resolve) => {
      later(() => {
        if (life !== this.#crashes) return
        this.written.push(JSON.parse(JSON.stringify(change)) as Change)
        // Written, but the server may not live to hear of it.
        this.#told = Math.max(this.#told, now() + random())
        later(() => {
          if (life === this.#crashes) resolve()
        }, this.#told - now())
      }, this.#free - now())
    })
  }

  /** With `isLost`, as a server without a journal: nothing is left. */
  crash(isLost: boolean): void {
    this.#crashes++
    this.#free = 0
    if (isLost) this.written.length = 0
  }
}

export class Network {
  readonly random: () => number
  /** Those that work; and those of which the server has not heard that they do not. */
  readonly connections = new Set<Connection>()
  readonly ofServer = new Set<Connection>()
  readonly disk: Disk
  /** Until when nothing arrives. */
  heldUntil = 0
  #store: Store | undefined
  /** Whose attempts to connect fail, for good. */
  readonly #dead = new Set<string>()

  /** Whether what is stored survives a crash of the server. */
  readonly hasJournal: boolean

  constructor(random: () => number, hasJournal = true) {
    this.random = random
    this.hasJournal = hasJournal
    this.disk = new Disk(this)
    this.start()
  }

  get isUp(): boolean {
    return this.#store !== undefined
  }

  start(): void {
    this.#store ??= this.hasJournal ? new Store(LIMITS, this.disk, this.disk.written) : new Store(LIMITS)
  }

  /** As with SIGKILL. */
  crash(): void {
    this.disk.crash(!this.hasJournal)
    for (const connection of this.ofServer) connection.crash()
    this.#store?.close()
    this.#store = undefined
  }

  stop(): void {
    this.#store?.close()
  }

  /** A client is gone, as with SIGKILL: nobody says good-bye. */
  kill(session: string): void {
    this.#dead.add(session)
    for (const connection of this.connections) if (connection.owner === session) connection.cut()
  }

  readonly engine: Engine = {
    place: 'the simulation',
    connect: (session, events, token) =>
      openLink(rules, session, events, token, async (opening) => {
        await new Promise<void>((resolve) => later(resolve, this.random() * 5))
        const store = this.#store
        if (!store || this.#dead.has(session.id)) throw new Error('no server is listening')
        return new Promise<WireLink>((resolve) => {
          const connection = new Connection(this, store, opening, resolve)
          opening.own(connection, (one) => one.cut())
        })
      }),
  }

  hub(session: string, pid: number): HubClient {
    const settings = settingsOf({
      lazy: true,
      timeout: 2_000,
      sessionTtl: 3_000,
      reread: 5_000,
      backOff: { first: 20, most: 1_000 },
    })
    return new HubClient(this.engine, settings, { session, host: 'simulation', pid, random: this.random })
  }
}
