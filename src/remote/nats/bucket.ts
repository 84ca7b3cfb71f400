/**
 * The part of a JetStream key-value bucket that a hub needs: a stream that keeps the last message of every subject.
 *
 * Every request goes to the leader of the stream, never to a replica, which may lag behind (E6). So nothing is read or watched with
 * consumers, because consumers may run on any replica. There is a second reason: in server 2.9 a purge makes all consumers of the stream
 * skip their undelivered messages, even messages that were not purged.
 *
 * Invariants
 * NB1. A request without an answer or without a leader is sent again within the same call. An election costs only its own time.
 * NB2. If several servers keep the stream, a revision that replaces another counts only when it is known to be the last (see `replace`). A
 *     leader compares with the messages that it has applied. It ignores messages on their way to its followers (nats-server#4320), and
 *     sometimes messages that an earlier leader had accepted (nats-server#8469).
 */
import type { JetStreamClient, JetStreamManager, MsgRequest, StoredMsg } from '@nats-io/jetstream'
import type { Msg, NatsConnection, Subscription } from '@nats-io/transport-node'
import { now } from '../../core/clock.js'
import { inTime, pause } from '../contract/deferred.js'
import { HubError } from '../contract/errors.js'
import { Semaphore } from './semaphore.js'
import { TURN } from './keys.js'
import { type Library, library } from './library.js'

/** The options of a new bucket. */
export interface BucketOptions {
  readonly name: string
  readonly replicas: number
  readonly storage: 'file' | 'memory'
}

/** The last message of a key. */
export interface Stored {
  readonly key: string
  /** Its revision: the number of the message in the stream. */
  readonly seq: number
  /** When it was stored, in milliseconds by the wall clock of the server. */
  readonly at: number
  /** Undefined if the message is a delete marker. */
  readonly text: string | undefined
}

/** Requests under way. The server queues several thousand of all clients together. */
const UNDER_WAY = 256
/** Milliseconds after which a request fails. The timeout of the caller is usually shorter. */
const TIMEOUT = 30_000
/** Milliseconds after which a request is sent again: the server may be frozen or no longer the leader. */
const ATTEMPT = 2_000
/** Milliseconds until a request without a leader is sent again. */
const RETRY = 100

/** An error of the server for a request that it understands but refuses. */
const WRONG_LAST_SEQUENCE = new Set<number | undefined>([10071, 10164])
const NAME_IN_USE = 10058
const NO_STREAM = 10059
/** No leader is known at the moment: "not assigned", "temporarily unavailable", "not the leader", "stream is offline". */
const NO_LEADER = new Set<number | undefined>([10007, 10008, 10009, 10118])

const OPERATION = 'KV-Operation'
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

export class Bucket {
  readonly #library: Library
  readonly #js: JetStreamClient
  readonly #stream: string
  readonly #root: string
  readonly #semaphore = new Semaphore(UNDER_WAY)
  /** The subjects under which the server publishes changes. */
  readonly #changes: string
  /** The server's wall clock when ours was at 0, or earlier: see `setClock`. */
  #clock: number | undefined
  #stored = 0
  /** Several servers keep the stream. */
  #isReplicated = false
  /** How often a request had to be sent again: there may have been an election in between. */
  #interruptions = 0
  #isClosed = false

  private constructor(
    known: Library,
    private readonly nc: NatsConnection,
    private readonly jsm: JetStreamManager,
    name: string,
  ) {
    this.#library = known
    this.#js = known.jetstream(nc, { timeout: ATTEMPT })
    this.#stream = `KV_${name}`
    this.#root = `$KV.${name}.`
    this.#changes = changesOf(name)
  }

  /** Opens the bucket, or creates it if there is none. */
  static async open(nc: NatsConnection, options: BucketOptions): Promise<Bucket> {
    const known = await library()
    const jsm = await known.jetstreamManager(nc, { checkAPI: false, timeout: ATTEMPT })
    const bucket = new Bucket(known, nc, jsm, options.name)
    await bucket.#make(options)
    return bucket
  }

  async #make({ name, replicas, storage }: BucketOptions): Promise<void> {
    const republish = { src: `${this.#root}mark.>`, dest: `${this.#changes}mark.>` }
    const info = () => this.#again(() => this.jsm.streams.info(this.#stream), false)
    const { config, state } = await info().catch(async (error: unknown) => {
      if (codeOf(error) !== NO_STREAM) throw error
      const add = () =>
        this.jsm.streams.add({
          name: this.#stream,
          subjects: [`${this.#root}>`],
          // These settings make the stream a bucket for all tools.
          max_msgs_per_subject: 1,
          discard: 'new',
          allow_rollup_hdrs: true,
          deny_delete: true,
          allow_direct: false,
          storage,
          num_replicas: replicas,
          republish,
        })
      return this.#again(add, false).catch((failure: unknown) => {
        // Another hub was faster.
        if (codeOf(failure) === NAME_IN_USE) return info()
        throw failure
      })
    })
    const wrong = [
      config.max_msgs_per_subject !== 1 && 'history is not 1',
      config.max_age !== 0 && 'ttl is not 0, so open tokens would expire',
      config.deny_purge && 'purging is denied',
      (config.republish?.src !== republish.src || config.republish.dest !== republish.dest) &&
        `it does not republish marks from ${republish.src} to ${republish.dest}`,
    ].filter((one) => typeof one === 'string')
    if (wrong.length > 0) {
      throw new HubError(
        'ERR_HUB_REFUSED',
        `the bucket ${JSON.stringify(name)} cannot carry a hub: ${wrong.join('; ')}`,
      )
    }
    this.#stored = state.last_seq
    this.#isReplicated = config.num_replicas > 1
  }

  /** Stops all repetitions of requests. */
  close(): void {
    this.#isClosed = true
  }

  /** All messages up to this number were stored before now. */
  get stored(): number {
    return this.#stored
  }

  // ---- One key

  async get(key: string): Promise<Stored | undefined> {
    const found = await this.#ask(() => this.jsm.streams.getMessage(this.#stream, { last_by_subj: this.#root + key }))
    return found ? this.#read(found) : undefined
  }

  /** Returns the first message from a number on, among the keys of that form. */
  async next(filter: string, from: number): Promise<Stored | undefined> {
    // The types of the library lack `next_by_subj`.
    const query = { seq: from, next_by_subj: this.#root + filter } as MsgRequest
    const found = await this.#ask(() => this.jsm.streams.getMessage(this.#stream, query))
    return found ? this.#read(found) : undefined
  }

  #read({ subject, seq, timestamp, header, data }: StoredMsg): Stored {
    this.#stored = Math.max(this.#stored, seq)
    const text = header.has(OPERATION) ? undefined : decoder.decode(data)
    return { key: subject.slice(this.#root.length), seq, at: Date.parse(timestamp), text }
  }

  /**
   * Stores a value and returns its revision. With `expected` it stores the value only if that is the revision of the key, 0 for a missing
   * key, and otherwise returns undefined.
   */
  put(key: string, text: string, expected?: number): Promise<number | undefined> {
    return this.#publish(key, text, expected)
  }

  /** Stores a delete marker for the key, if that is still its revision. */
  delete(key: string, expected: number): Promise<number | undefined> {
    return this.#publish(key, undefined, expected)
  }

  /**
   * Replaces the revision `expected` by a value. Several hubs may try this at the same time: at most one of them gets a revision, the
   * others get undefined (NB2). For a missing key all servers compare when the value is stored.
   */
  async replace(key: string, text: string, expected: number): Promise<number | undefined> {
    const seq = await this.put(key, text, expected)
    if (seq === undefined || expected === 0 || !this.#isReplicated) return seq
    for (;;) {
      const before = this.#interruptions
      await this.settle()
      const last = await this.get(key)
      if (before === this.#interruptions) return last?.seq === seq ? seq : undefined
    }
  }

  /** Returns the last message of a key, when no write is under way that another hub made without knowing of it (NB2). */
  async final(key: string): Promise<Stored | undefined> {
    for (let found = await this.get(key); ;) {
      if (!this.#isReplicated) return found
      await this.settle()
      const again = await this.get(key)
      if (again?.seq === found?.seq) return again
      found = again
    }
  }

  /**
   * Waits until the leader has applied all that was accepted before, by it or by a leader before it: a message of its own has
   * gone through the log. A write that was accepted before is then ahead of that message.
   */
  async settle(): Promise<void> {
    if (this.#isReplicated) await this.put(TURN, '')
  }

  async #publish(key: string, text: string | undefined, expected: number | undefined): Promise<number | undefined> {
    const options: Parameters<JetStreamClient['publish']>[2] = {}
    if (expected !== undefined) options.expect = { lastSubjectSequence: expected }
    if (text === undefined) {
      options.headers = this.#library.headers()
      options.headers.set(OPERATION, 'DEL')
    }
    try {
      const { seq } = await this.#ask(() => this.#js.publish(this.#root + key, text ?? '', options), true)
      this.#stored = Math.max(this.#stored, seq)
      return seq
    } catch (error) {
      if (WRONG_LAST_SEQUENCE.has(codeOf(error))) return undefined
      throw error
    }
  }

  /** Purges keys up to a revision. Returns how many messages were removed. */
  async purge(filter: string, upTo?: number): Promise<number> {
    const purged = await this.#ask(() =>
      this.jsm.streams.purge(this.#stream, {
        filter: this.#root + filter,
        // The first message to keep.
        ...(upTo === undefined ? {} : { seq: upTo + 1 }),
      }),
    )
    return purged.purged
  }

  // ---- Many keys

  /** Returns the keys of that form, as they were at one moment. */
  async keys(filter: string): Promise<string[]> {
    const { state } = await this.#ask(() =>
      this.jsm.streams.info(this.#stream, { subjects_filter: this.#root + filter }),
    )
    return Object.keys(state.subjects ?? {}).map((subject) => subject.slice(this.#root.length))
  }

  // ---- Notices

  /** Calls back with the key, and for a mark with its text and revision, when the server or another hub publishes a change. */
  onChange(callback: (key: string, text: string | undefined, seq: number) => void): Subscription {
    return this.nc.subscribe(`${this.#changes}>`, {
      callback: (error, message: Msg) => {
        if (error) return
        const key = message.subject.slice(this.#changes.length)
        const seq = Number(message.headers?.get('Nats-Sequence') ?? 0)
        this.#stored = Math.max(this.#stored, seq)
        callback(key, message.headers?.has(OPERATION) ? undefined : message.string(), seq)
      },
    })
  }

  /** Publishes that a key has changed. The server does so by itself for marks only. */
  announce(key: string): void {
    this.nc.publish(this.#changes + key)
  }

  // ---- The clock of the server

  /** The server's wall clock, or a little less: as long as it takes to ask. */
  get time(): number {
    return this.#clock === undefined ? 0 : now() + this.#clock
  }

  /** Returns how long ago a message was stored, in milliseconds. */
  age({ at }: Stored): number {
    return Math.max(0, this.time - at)
  }

  /** Sets the clock by a record that was stored before `moment`, a time by `now()`. */
  setClock({ at }: Stored, moment: number): void {
    this.#clock = at - moment
  }

  /** Limits concurrent requests. Writes go before reads, so marks and renewals need not wait for thousands of receipts. */
  #ask<T>(what: () => Promise<T>, isUrgent = false): Promise<T> {
    return this.#semaphore.run(isUrgent, () => this.#again(what, true))
  }

  /** Sends a request, and again (NB1). `isKnown`: the stream had a leader before, so if nothing listens now, it has none at the moment. */
  async #again<T>(what: () => Promise<T>, isKnown: boolean): Promise<T> {
    const began = now()
    for (;;) {
      try {
        return await what()
      } catch (error) {
        const isTimeout = error instanceof Error && error.name === 'TimeoutError'
        const hasNoLeader = NO_LEADER.has(codeOf(error)) || (isKnown && hasNoResponder(error))
        if (this.#isClosed || now() - began >= TIMEOUT || !(isTimeout || hasNoLeader)) throw error
        this.#interruptions++
        if (isTimeout) await this.#ping()
        else await pause(RETRY, false)
      }
    }
  }

  /** Rejects if the server does not answer at all. Another server may answer. */
  async #ping(): Promise<void> {
    if (
      await inTime(
        this.nc.flush().then(() => true),
        ATTEMPT,
      )
    )
      return
    // The connection of the caller would notice this only after minutes.
    this.nc.reconnect().catch(() => {})
    throw new Error(`the server was silent for ${2 * ATTEMPT} ms`)
  }
}

/** Returns the error code of JetStream; undefined for any other error. */
function codeOf(error: unknown): number | undefined {
  const { apiError, code } = (error as { apiError?: unknown; code?: unknown } | null) ?? {}
  return typeof apiError === 'function' && typeof code === 'number' ? code : undefined
}

/** Whether no server listens to the subject: JetStream is not enabled, or the stream has no leader. */
function hasNoResponder(error: unknown): boolean {
  const { cause } = error as { cause?: { isNoResponders?(): boolean } }
  return cause?.isNoResponders?.() === true
}

/** Returns the prefix of the subjects under which changes of a bucket are published. */
function changesOf(name: string): string {
  return `calloff.${name}.`
}

/** Whether the server refuses the request. False if the connection is lost or the bucket is gone. */
export function isRefusal(error: unknown): boolean {
  const code = codeOf(error)
  return code !== undefined && code !== NO_STREAM
}
