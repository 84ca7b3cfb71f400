/** The client's side of a connection to an embedded server: bytes in, bytes out. */
import type {
  Acquired,
  HolderRecord,
  HolderReport,
  Link,
  LinkEvents,
  MarkRecord,
  Session,
  Topic,
  TopicReport,
  TopicState,
} from '../contract/engine.js'
import { HubError, type HubErrorCode } from '../contract/errors.js'
import { isProof, proofOf } from './handshake.js'
import { keyOf } from '../contract/topic.js'
import { decode, encode, Frames, HANDSHAKE_FRAME, type Message, VERSION } from './protocol.js'

/** The output of a link. */
export interface Wire {
  send(bytes: Uint8Array): void
  /** Ends the connection. Nothing is received after that. */
  end(): void
}

export interface WireOptions {
  readonly session: Session
  readonly key: Uint8Array
  /** 32 random bytes, new for each connection. */
  readonly nonce: Uint8Array
  readonly events: LinkEvents
  /** Called when the handshake has succeeded. */
  readonly opened: () => void
}

type Answer = Message<'done' | 'states' | 'marked' | 'reports' | 'acquired'>
type Request = Message<
  'enter' | 'leave' | 'read' | 'mark' | 'list' | 'forget' | 'beat' | 'acquire' | 'renew' | 'release' | 'bye'
>

interface Pending {
  /** The type of the answers. */
  readonly type: Answer['type']
  /** The parts of the answer that have arrived. */
  parts: Answer[] | undefined
  readonly resolve: (answers: never) => void
  readonly reject: (error: Error) => void
}

/** The bytes of a frame without the parts of a request. */
const ENVELOPE = 16

/** The error codes that a server may send. Any other code breaks the protocol. */
const CODES = new Set<string>(['ERR_HUB_AUTH', 'ERR_HUB_PROTOCOL', 'ERR_HUB_REFUSED'] satisfies HubErrorCode[])

export class WireLink implements Link {
  sinceRestart: number | undefined
  readonly #wire: Wire
  readonly #options: WireOptions
  readonly #frames = new Frames(HANDSHAKE_FRAME)
  readonly #pending = new Map<number, Pending>()
  #phase: 'hello' | 'proof' | 'open' | 'over' = 'hello'
  #serverNonce = new Uint8Array()
  /** The largest frame that the server accepts, in bytes. */
  #most = HANDSHAKE_FRAME
  #ids = 0

  constructor(wire: Wire, options: WireOptions) {
    this.#wire = wire
    this.#options = options
  }

  /** Begins the handshake. Must be called when the socket is connected. */
  begin(): void {
    const { nonce } = this.#options
    this.#send({ type: 'hello', magic: 'calloff', least: VERSION, version: VERSION, nonce })
  }

  /** Must be read again after each message, because a message may end the link. */
  get #isOver(): boolean {
    return this.#phase === 'over'
  }

  /** Takes in bytes of the server. */
  receive(chunk: Uint8Array): void {
    if (this.#phase === 'over') return
    try {
      this.#frames.add(chunk)
      for (let frame = this.#frames.next(); frame; frame = this.#frames.next()) {
        this.#take(decode(frame))
        if (this.#isOver) return
      }
    } catch (error) {
      this.fail(error as Error)
    }
  }

  /** Ends the link, because the connection is lost or unusable. */
  fail(error: Error): void {
    if (this.#phase === 'over') return
    this.#phase = 'over'
    this.#wire.end()
    for (const { reject } of this.#pending.values()) reject(error)
    this.#pending.clear()
    this.#options.events.lost(error)
  }

  close(): void {
    if (this.#phase === 'over') return
    this.#phase = 'over'
    this.#wire.end()
    const error = new HubError('ERR_HUB_UNREACHABLE', 'the connection was closed')
    for (const { reject } of this.#pending.values()) reject(error)
    this.#pending.clear()
  }

  #send(message: Message): void {
    this.#wire.send(encode(message))
  }

  #take(message: Message): void {
    switch (message.type) {
      case 'goodbye': {
        const { code, message: text } = message
        throw new HubError(CODES.has(code) ? (code as HubErrorCode) : 'ERR_HUB_PROTOCOL', text)
      }
      case 'challenge':
        if (this.#phase !== 'hello') throw unexpected(message)
        return this.#prove(message)
      case 'welcome':
        if (this.#phase !== 'proof') throw unexpected(message)
        return this.#enterIn(message)
      case 'notice':
        if (this.#phase !== 'open') throw unexpected(message)
        return this.#options.events.notice(message)
      case 'done':
      case 'states':
      case 'marked':
      case 'reports':
      case 'acquired':
      case 'failed':
        return this.#answer(message)
      default:
        throw unexpected(message)
    }
  }

  #agreed() {
    const { nonce, session } = this.#options
    return {
      least: VERSION,
      most: VERSION,
      version: VERSION,
      clientNonce: nonce,
      serverNonce: this.#serverNonce,
      session: session.id,
    }
  }

  #prove({ version, nonce }: Message<'challenge'>): void {
    if (version !== VERSION)
      throw new HubError('ERR_HUB_PROTOCOL', `the server speaks protocol version ${version}, the client ${VERSION}`)
    this.#serverNonce = nonce as Uint8Array<ArrayBuffer>
    this.#phase = 'proof'
    const { key, session } = this.#options
    const { id, host, pid, ttl } = session
    this.#send({ type: 'proof', mac: proofOf('client', key, this.#agreed()), session: id, host, pid, ttl })
  }

  #enterIn({ mac, frame, sinceRestart }: Message<'welcome'>): void {
    if (!isProof('server', this.#options.key, this.#agreed(), mac)) {
      throw new HubError('ERR_HUB_AUTH', 'server key does not match')
    }
    this.sinceRestart = sinceRestart
    this.#most = frame
    this.#frames.limit = frame
    this.#phase = 'open'
    this.#options.opened()
  }

  #answer(message: Answer | Message<'failed'>): void {
    const pending = this.#pending.get(message.id)
    if (!pending) throw unexpected(message)
    if (message.type === 'failed') {
      this.#pending.delete(message.id)
      const code = CODES.has(message.code) ? (message.code as HubErrorCode) : 'ERR_HUB_REFUSED'
      pending.reject(new HubError(code, message.message))
      return
    }
    if (message.type !== pending.type) throw unexpected(message)
    if (pending.parts) pending.parts.push(message)
    else pending.parts = [message]
    if ((message.type === 'states' || message.type === 'reports') && message.more) return
    this.#pending.delete(message.id)
    pending.resolve(pending.parts as never)
  }

  #newId(): number {
    return (this.#ids = (this.#ids + 1) >>> 0)
  }

  /** Sends a request. Resolves with its answers, which must have the given type. */
  #ask<A extends Answer['type']>(request: Request, type: A): Promise<Message<A>[]> {
    return new Promise((resolve, reject) => {
      if (this.#phase !== 'open') throw new HubError('ERR_HUB_UNREACHABLE', 'the connection is not open')
      const frame = encode(request)
      this.#pending.set(request.id, { type, parts: undefined, resolve, reject })
      this.#wire.send(frame)
    })
  }

  async enter(holders: readonly HolderRecord[]): Promise<readonly TopicState[]> {
    const parts = inFrames(holders, ({ topic }) => ENVELOPE + 16 + room(topic), this.#most)
    const answers = await Promise.all(
      parts.map((part) => this.#ask({ type: 'enter', id: this.#newId(), holders: part }, 'states')),
    )
    return answers.flat().flatMap(({ states }) => states)
  }

  async leave(ids: readonly number[]): Promise<void> {
    const parts = inFrames(ids, () => 4, this.#most)
    await Promise.all(parts.map((part) => this.#ask({ type: 'leave', id: this.#newId(), holders: part }, 'done')))
  }

  async read(topics: readonly Topic[]): Promise<readonly TopicState[]> {
    const parts = inFrames(topics, room, this.#most)
    const answers = await Promise.all(
      parts.map((part) => this.#ask({ type: 'read', id: this.#newId(), topics: part }, 'states')),
    )
    return answers.flat().flatMap(({ states }) => states)
  }

  async mark(topic: Topic, mark: MarkRecord, ttl: number): Promise<MarkRecord> {
    const [answer] = await this.#ask({ type: 'mark', id: this.#newId(), topic, mark, ttl }, 'marked')
    return (answer as Message<'marked'>).mark
  }

  async list(what: { readonly prefix: string } | { readonly topic: Topic }): Promise<readonly TopicReport[]> {
    const { prefix, topic } = what as { readonly prefix?: string; readonly topic?: Topic }
    const answers = await this.#ask({ type: 'list', id: this.#newId(), prefix, topic }, 'reports')
    // A topic with many holders arrives in several parts.
    const found = new Map<string, TopicReport & { readonly holders: HolderReport[] }>()
    for (const report of answers.flatMap(({ reports }) => reports)) {
      const key = keyOf(report.topic)
      const known = found.get(key)
      if (known) known.holders.push(...report.holders)
      else found.set(key, { ...report, holders: [...report.holders] })
    }
    return [...found.values()]
  }

  async forget(topic: Topic): Promise<void> {
    await this.#ask({ type: 'forget', id: this.#newId(), topic }, 'done')
  }

  async beat(): Promise<boolean> {
    const [answer] = await this.#ask({ type: 'beat', id: this.#newId() }, 'done')
    return (answer as Message<'done'>).yes
  }

  async acquire(topic: Topic, owner: string, ttl: number): Promise<Acquired> {
    const [answer] = await this.#ask({ type: 'acquire', id: this.#newId(), topic, owner, ttl }, 'acquired')
    const { held, fence, left } = answer as Message<'acquired'>
    return held ? { held, fence } : { held, left }
  }

  async renew(topic: Topic, fence: number, ttl: number): Promise<boolean> {
    const [answer] = await this.#ask({ type: 'renew', id: this.#newId(), topic, fence, ttl }, 'done')
    return (answer as Message<'done'>).yes
  }

  async release(topic: Topic, fence: number): Promise<void> {
    await this.#ask({ type: 'release', id: this.#newId(), topic, fence }, 'done')
  }

  async bye(): Promise<void> {
    await this.#ask({ type: 'bye', id: this.#newId() }, 'done')
  }
}

/** The largest size of a topic in bytes: a UTF-16 code unit takes at most three bytes of UTF-8. */
function room({ name, runId }: Topic): number {
  return 4 + 3 * (name.length + runId.length)
}

/** Splits a list into parts that each fit in a frame. */
function inFrames<T>(all: readonly T[], size: (one: T) => number, most: number): T[][] {
  const parts: T[][] = []
  let taken = Infinity
  for (const one of all) {
    const own = size(one)
    if (taken + own > most) {
      parts.push([])
      taken = ENVELOPE
    }
    parts.at(-1)?.push(one)
    taken += own
  }
  return parts
}

function unexpected({ type }: Message): HubError {
  return new HubError('ERR_HUB_PROTOCOL', `unexpected message "${type}"`)
}
