/** The client's side of a connection to an embedded server: bytes in, bytes out. */
import { LinkBase } from '../adapter/link-base.js'
import type { Opening } from '../adapter/open-link.js'
import type {
  Acquired,
  HolderRecord,
  HolderReport,
  Link,
  MarkRecord,
  Topic,
  TopicReport,
  TopicState,
} from '../contract/engine.js'
import { HubError, type HubErrorCode } from '../contract/errors.js'
import { keyOf } from '../contract/topic.js'
import { isProof, proofOf } from './handshake.js'
import {
  decode,
  encode,
  ENVELOPE,
  Frames,
  HANDSHAKE_FRAME,
  inFrames,
  type Message,
  type Request,
  unexpected,
  VERSION,
} from './protocol.js'

type Answer = Message<'done' | 'states' | 'marked' | 'reports' | 'acquired'>

type Unnumbered<R = Request> = R extends Request ? Omit<R, 'id'> : never

interface Pending {
  /** The type of the answers. */
  readonly type: Answer['type']
  /** The parts of the answer that have arrived. */
  readonly parts: Answer[]
  readonly resolve: (answers: never) => void
  readonly reject: (error: Error) => void
}

/** The error codes that a server may send. Any other code breaks the protocol. */
const CODES = new Set<string>(['ERR_HUB_AUTH', 'ERR_HUB_PROTOCOL', 'ERR_HUB_REFUSED'] satisfies HubErrorCode[])

export interface WireOptions {
  /** Sends bytes to the server. */
  readonly send: (bytes: Uint8Array) => void
  readonly key: Uint8Array
  /** 32 random bytes, new for each connection. */
  readonly nonce: Uint8Array
  /** Called when the handshake has succeeded. */
  readonly opened: () => void
}

export class WireLink extends LinkBase implements Link {
  sinceRestart: number | undefined
  readonly #frames = new Frames(HANDSHAKE_FRAME)
  readonly #pending = new Map<number, Pending>()
  #phase: 'hello' | 'proof' | 'open' = 'hello'
  #serverNonce = new Uint8Array()
  /** The largest frame that the server accepts, in bytes. */
  #most = HANDSHAKE_FRAME
  #ids = 0

  constructor(
    opening: Opening,
    private readonly options: WireOptions,
  ) {
    super(opening)
  }

  /** Begins the handshake. Must be called when the socket is connected. */
  begin(): void {
    const { nonce } = this.options
    this.#send({ type: 'hello', magic: 'calloff', least: VERSION, version: VERSION, nonce })
  }

  /** Takes in bytes of the server. */
  receive(chunk: Uint8Array): void {
    try {
      this.#frames.add(chunk)
      for (;;) {
        // A message may end the link.
        const frame = this.over ? undefined : this.#frames.next()
        if (!frame) return
        this.#take(decode(frame))
      }
    } catch (error) {
      this.fail(error as Error)
    }
  }

  protected override ended(): void {
    for (const { reject } of this.#pending.values()) reject(this.over as Error)
    this.#pending.clear()
  }

  #send(message: Message): void {
    this.options.send(encode(message))
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
        return this.notice(message)
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
    const [clientNonce, serverNonce] = [this.options.nonce, this.#serverNonce]
    return { least: VERSION, most: VERSION, version: VERSION, clientNonce, serverNonce, session: this.session.id }
  }

  #prove({ version, nonce }: Message<'challenge'>): void {
    if (version !== VERSION)
      throw new HubError('ERR_HUB_PROTOCOL', `the server speaks protocol version ${version}, the client ${VERSION}`)
    this.#serverNonce = nonce as Uint8Array<ArrayBuffer>
    this.#phase = 'proof'
    const { id, host, pid, ttl } = this.session
    this.#send({ type: 'proof', mac: proofOf('client', this.options.key, this.#agreed()), session: id, host, pid, ttl })
  }

  #enterIn({ mac, frame, sinceRestart }: Message<'welcome'>): void {
    if (!isProof('server', this.options.key, this.#agreed(), mac)) {
      throw new HubError('ERR_HUB_AUTH', 'server key does not match')
    }
    this.sinceRestart = sinceRestart
    this.#most = frame
    this.#frames.limit = frame
    this.#phase = 'open'
    this.options.opened()
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
    pending.parts.push(message)
    if ((message.type === 'states' || message.type === 'reports') && message.more) return
    this.#pending.delete(message.id)
    pending.resolve(pending.parts as never)
  }

  /** Sends a request. Resolves with the parts of its answer, which must have the given type. */
  #ask<A extends Answer['type']>(request: Unnumbered, type: A): Promise<[Message<A>, ...Message<A>[]]> {
    return new Promise((resolve, reject) => {
      if (this.over) throw this.over
      const id = (this.#ids = (this.#ids + 1) >>> 0)
      const frame = encode({ ...request, id })
      this.#pending.set(id, { type, parts: [], resolve, reject })
      this.options.send(frame)
    })
  }

  async #askStates(requests: readonly Unnumbered[]): Promise<TopicState[]> {
    const answers = await Promise.all(requests.map((request) => this.#ask(request, 'states')))
    return answers.flat().flatMap(({ states }) => states)
  }

  enter(holders: readonly HolderRecord[]): Promise<readonly TopicState[]> {
    const parts = inFrames(holders, ({ topic }) => 2 * ENVELOPE + topicBytes(topic), this.#most)
    return this.#askStates(parts.map((part) => ({ type: 'enter', holders: part })))
  }

  async leave(ids: readonly number[]): Promise<void> {
    const parts = inFrames(ids, () => 4, this.#most)
    await Promise.all(parts.map((part) => this.#ask({ type: 'leave', holders: part }, 'done')))
  }

  read(topics: readonly Topic[]): Promise<readonly TopicState[]> {
    const parts = inFrames(topics, topicBytes, this.#most)
    return this.#askStates(parts.map((part) => ({ type: 'read', topics: part })))
  }

  async mark(topic: Topic, mark: MarkRecord, ttl: number): Promise<MarkRecord> {
    const [answer] = await this.#ask({ type: 'mark', topic, mark, ttl }, 'marked')
    return answer.mark
  }

  async list(what: { readonly prefix?: string; readonly topic?: Topic }): Promise<readonly TopicReport[]> {
    const answers = await this.#ask({ type: 'list', prefix: what.prefix, topic: what.topic }, 'reports')
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
    await this.#ask({ type: 'forget', topic }, 'done')
  }

  async beat(): Promise<boolean> {
    const [{ yes }] = await this.#ask({ type: 'beat' }, 'done')
    return yes
  }

  async acquire(topic: Topic, owner: string, ttl: number): Promise<Acquired> {
    const [{ held, fence, left }] = await this.#ask({ type: 'acquire', topic, owner, ttl }, 'acquired')
    return held ? { held, fence } : { held, left }
  }

  async renew(topic: Topic, fence: number, ttl: number): Promise<boolean> {
    const [{ yes }] = await this.#ask({ type: 'renew', topic, fence, ttl }, 'done')
    return yes
  }

  async release(topic: Topic, fence: number): Promise<void> {
    await this.#ask({ type: 'release', topic, fence }, 'done')
  }

  async bye(): Promise<void> {
    await this.#ask({ type: 'bye' }, 'done')
  }
}

/** The largest size of a topic in bytes: a UTF-16 code unit takes at most three bytes of UTF-8. */
function topicBytes({ name, runId }: Topic): number {
  return 4 + 3 * (name.length + runId.length)
}
