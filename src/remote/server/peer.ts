/**
 * The server's side of one connection: bytes in, bytes out. It performs the handshake and passes requests to the store.
 *
 * A client that breaks the protocol or takes too long is disconnected with an error message. Other clients do not notice.
 */
import { after, now } from '../../core/clock.js'
import { type TopicReport, type TopicState } from '../contract/engine.js'
import { errorFrom, HubError } from '../contract/errors.js'
import { isProof, proofOf } from '../wire/handshake.js'
import {
  decode,
  encode,
  ENVELOPE,
  Frames,
  HANDSHAKE_FRAME,
  inFrames,
  type Message,
  MOST_PARTS,
  type Request,
  sizeOf,
  unexpected,
  VERSION,
} from '../wire/protocol.js'
import { isHolder, type Store } from './store.js'
import type { Watcher } from './topics.js'

/** The output of a peer. */
export interface Output {
  send(bytes: Uint8Array): void
  /** Ends the connection when all sent bytes are on their way. Nothing is received or sent after that. */
  end(): void
  /** Whether the client must read before the server handles more requests: too many bytes are unread. */
  readonly isFull?: boolean
}

export interface PeerOptions {
  readonly key: Uint8Array
  /** 32 random bytes, new for each connection. */
  readonly nonce: Uint8Array
  /** The largest frame after the handshake. */
  readonly frame: number
  /** The time limit of the handshake, in milliseconds. */
  readonly handshakeWithin: number
  /** When this server replaced an earlier one, whose holders now enter again; undefined if there was none. */
  readonly restartedAt?: number | undefined
  /** Called when the handshake has succeeded. */
  readonly opened?: () => void
}

/** The largest and the smallest ttl of a session, in milliseconds. */
const LONGEST_SESSION = 600_000
const SHORTEST_SESSION = 100

export class Peer implements Watcher {
  readonly #frames = new Frames(HANDSHAKE_FRAME)
  #phase: 'hello' | 'proof' | 'open' | 'over' = 'hello'
  #hello: Message<'hello'> | undefined
  #session = ''
  #ttl = 0
  #heard = 0
  /** The list that is being written. Later requests wait, so answers come in order. */
  #listing: Iterator<void> | undefined
  #stopTimer: () => void

  constructor(
    private readonly store: Store,
    private readonly output: Output,
    private readonly options: PeerOptions,
  ) {
    const late = () => this.#cut(new HubError('ERR_HUB_PROTOCOL', 'the handshake timed out'))
    this.#stopTimer = after(options.handshakeWithin, late, false)
  }

  /** Whether the client has proved that it has the key. */
  get isOpen(): boolean {
    return this.#phase === 'open'
  }

  /** Takes in bytes and handles their requests. */
  receive(chunk: Uint8Array): void {
    this.hold(chunk)
    this.work(Infinity)
  }

  /** Takes in bytes for a later `work`. */
  hold(chunk: Uint8Array): void {
    if (this.#phase === 'over') return
    this.#heard = now()
    this.#frames.add(chunk)
  }

  /**
   * Handles the requests, in order, until a moment. Returns whether it could go on at once. It cannot while the client does not read its
   * answers.
   */
  work(until: number): boolean {
    try {
      while (this.#phase !== 'over' && this.output.isFull !== true) {
        if (this.#listing) {
          if (this.#listing.next().done === true) this.#listing = undefined
        } else {
          const frame = this.#frames.next()
          if (!frame) return false
          this.#take(decode(frame))
        }
        if (until < Infinity && now() >= until) return true
      }
    } catch (error) {
      this.#cut(error)
    }
    return false
  }

  /** The connection is lost. */
  closed(): void {
    if (this.#phase === 'open') this.store.detach(this.#session, this)
    this.#phase = 'over'
    this.#listing = undefined
    this.#stopTimer()
  }

  notice(state: TopicState): void {
    this.#send({ type: 'notice', ...state })
  }

  replaced(): void {
    this.#cut(new HubError('ERR_HUB_PROTOCOL', 'another connection has taken over the session'))
  }

  /** Sends the error to the client and ends the connection. */
  #cut(thrown: unknown): void {
    if (this.#phase === 'over') return
    const error = errorFrom(thrown)
    const code = error instanceof HubError ? error.code : 'ERR_HUB_PROTOCOL'
    this.#send({ type: 'goodbye', code, message: cropped(error.message) })
    this.closed()
    this.output.end()
  }

  #send(message: Message): void {
    if (this.#phase !== 'over') this.output.send(encode(message))
  }

  #take(message: Message): void {
    switch (this.#phase) {
      case 'hello':
        if (message.type !== 'hello') throw unexpected(message)
        return this.#greet(message)
      case 'proof':
        if (message.type !== 'proof') throw unexpected(message)
        return this.#admit(message)
      case 'open':
        return this.#serve(message as Request)
      case 'over':
    }
  }

  #greet(hello: Message<'hello'>): void {
    if (hello.magic !== 'calloff')
      throw new HubError('ERR_HUB_PROTOCOL', 'the client does not speak the protocol of calloff')
    if (hello.least > VERSION || hello.version < VERSION) {
      throw new HubError('ERR_HUB_PROTOCOL', `the server speaks protocol version ${VERSION} only`)
    }
    this.#hello = hello
    this.#phase = 'proof'
    this.#send({ type: 'challenge', version: VERSION, nonce: this.options.nonce })
  }

  #admit({ mac, session, host, pid, ttl }: Message<'proof'>): void {
    const { key, nonce, frame, restartedAt, opened } = this.options
    const { least, version: most, nonce: clientNonce } = this.#hello as Message<'hello'>
    const agreed = { least, most, version: VERSION, clientNonce, serverNonce: nonce, session }
    if (!isProof('client', key, agreed, mac)) throw new HubError('ERR_HUB_AUTH', 'client key does not match')
    if (session === '') throw new HubError('ERR_HUB_PROTOCOL', 'the session id must not be empty')
    this.#stopTimer()
    this.#session = session
    this.#ttl = Math.min(LONGEST_SESSION, Math.max(SHORTEST_SESSION, ttl))
    this.#phase = 'open'
    this.#frames.limit = frame
    this.store.attach({ id: session, host, pid, ttl: this.#ttl }, this)
    const sinceRestart = restartedAt === undefined ? undefined : Math.max(0, now() - restartedAt)
    this.#send({ type: 'welcome', mac: proofOf('server', key, agreed), frame, sinceRestart })
    this.#expect()
    opened?.()
  }

  /** Disconnects a client that was silent for the ttl of its session: it is gone, though the network has not reported that. */
  #expect(): void {
    const left = this.#heard + this.#ttl - now()
    const look = () => {
      if (this.#heard + this.#ttl <= now())
        this.#cut(new HubError('ERR_HUB_PROTOCOL', 'the client was silent for too long'))
      else this.#expect()
    }
    this.#stopTimer = after(Math.max(1, left), look, false)
  }

  #serve(request: Request): void {
    const { id } = request
    const fail = (thrown: unknown) => {
      const error = errorFrom(thrown)
      const code = error instanceof HubError ? error.code : 'ERR_HUB_REFUSED'
      this.#send({ type: 'failed', id, code, message: cropped(error.message) })
    }
    // At once if possible, so a cancel is sent to its holders before anything else happens.
    const answer = <T>(outcome: T | Promise<T>, send: (value: T) => void) => {
      if (outcome instanceof Promise) void outcome.then(send).catch(fail)
      else send(outcome)
    }
    const done = (yes: boolean | void) => this.#send({ type: 'done', id, yes: yes !== false })
    const store = this.store
    const session = this.#session
    try {
      switch (request.type) {
        case 'enter':
          if (!request.holders.every(isHolder))
            throw new HubError('ERR_HUB_PROTOCOL', 'the role or the state of a holder is unknown')
          return this.#sendStates(id, store.enter(session, this, request.holders))
        case 'leave':
          return done(store.leave(session, request.holders))
        case 'read':
          return this.#sendStates(id, store.read(request.topics))
        case 'mark': {
          const { topic, mark, ttl } = request
          return answer(store.mark(topic, mark, ttl), (mark) => this.#send({ type: 'marked', id, mark }))
        }
        case 'list':
          this.#listing = this.#sendReports(id, store.listing(request))
          return
        case 'forget':
          return answer(store.forget(request.topic), done)
        case 'beat':
          return done(store.beat(session))
        case 'acquire': {
          const { topic, owner, ttl } = request
          return answer(store.acquire(topic, owner, ttl), (outcome) =>
            this.#send({ type: 'acquired', id, fence: 0, left: 0, ...outcome }),
          )
        }
        case 'renew':
          return done(store.renew(request.topic, request.fence))
        case 'release':
          return answer(store.release(request.topic, request.fence), done)
        case 'bye':
          return done(store.bye(session))
        default:
          throw unexpected(request)
      }
    } catch (error) {
      if (error instanceof HubError && error.code === 'ERR_HUB_PROTOCOL') throw error
      fail(error)
    }
  }

  /** Sends states in as many frames as they need, and in one if there are none. */
  #sendStates(id: number, states: readonly TopicState[]): void {
    const parts = inFrames(states, (one) => sizeOf('states', one), this.options.frame)
    const last = parts.pop() ?? []
    for (const part of parts) this.#send({ type: 'states', id, states: part, more: true })
    this.#send({ type: 'states', id, states: last, more: false })
  }

  /** Sends reports in steps: a list may be long, and other clients get their turn in between. */
  *#sendReports(id: number, found: Iterable<TopicReport | undefined>): Generator<undefined, undefined> {
    let part: TopicReport[] = []
    let size = ENVELOPE
    let steps = 0
    for (const report of found) {
      for (const small of report ? inPieces(report) : NOTHING) {
        const own = sizeOf('reports', small)
        if (part.length > 0 && (size + own > this.options.frame || part.length === MOST_PARTS)) {
          this.#send({ type: 'reports', id, reports: part, more: true })
          part = []
          size = ENVELOPE
        }
        part.push(small)
        size += own
        if (++steps % STEP === 0) yield
      }
      if (++steps % STEP === 0) yield
    }
    this.#send({ type: 'reports', id, reports: part, more: false })
  }
}

/** The number of topics and holders that one step of a list reads. */
const STEP = 32
const NOTHING: readonly TopicReport[] = []

/** Splits a topic with many holders into several reports. The client joins them. */
function* inPieces(report: TopicReport): Iterable<TopicReport> {
  const { holders } = report
  if (holders.length <= HOLDERS) {
    yield report
    return
  }
  for (let at = 0; at < holders.length; at += HOLDERS) yield { ...report, holders: holders.slice(at, at + HOLDERS) }
}

/** This many holders fit in the smallest frame together with a mark, however long the names of their hosts are. */
const HOLDERS = 8

/** Shortens a message so that it fits in a frame, however many bytes its characters take. */
function cropped(message: string): string {
  return message.slice(0, 300)
}
