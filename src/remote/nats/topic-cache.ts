/**
 * A cache of the topics that a link follows, so that reading thousands of topics again takes one or two requests, and not two for each.
 *
 * TC1. If the `round` of a topic is the present one, the cache contains everything that was stored up to message `#upTo`, or something newer.
 * TC2. `#upTo` moves by reading the next mark or lease after it from the leader of the stream, one after the other, until there is none. So
 *     the cache is then as new as the last request (E6). Deletions are messages in the stream, too, and are read in the same way.
 * TC3. If too much has happened meanwhile, a new round begins, in which every topic is first read by itself.
 */
import type { Topic } from '../contract/engine.js'
import type { Bucket, Stored } from './bucket.js'
import { leaseKey, markKey, parseKey, pathOf, TOPICS } from './keys.js'

export interface CachedTopic {
  readonly topic: Topic
  readonly path: string
  /** The holders of the topic on this link. */
  readonly holders: Set<number>
  mark: Stored | undefined
  lease: Stored | undefined
  /** The round in which it was last read. */
  round: number
}

/** How a topic is stored. */
export type TopicRecords = Pick<CachedTopic, 'mark' | 'lease'>

/** Up to this many topics are always read one by one. */
const FEW = 4
/** The limit for steps at a time. */
const STEPS = 100

export class TopicCache {
  readonly #topics = new Map<string, CachedTopic>()
  #round = 0
  #upTo: number

  constructor(private readonly bucket: Bucket) {
    this.#upTo = bucket.stored
  }

  of(path: string): CachedTopic | undefined {
    return this.#topics.get(path)
  }

  add(topic: Topic, id: number): void {
    const path = pathOf(topic)
    const known = this.#topics.get(path)
    if (known) known.holders.add(id)
    else {
      const { name, runId } = topic
      const holders = new Set([id])
      this.#topics.set(path, { topic: { name, runId }, path, holders, mark: undefined, lease: undefined, round: -1 })
    }
  }

  remove(path: string, id: number): void {
    const known = this.#topics.get(path)
    known?.holders.delete(id)
    if (known?.holders.size === 0) this.#topics.delete(path)
  }

  /** Applies a stored record. Returns its topic if that is followed. */
  learn(stored: Stored): CachedTopic | undefined {
    const parsed = parseKey(stored.key)
    if (parsed?.kind !== 'mark' && parsed?.kind !== 'lease') return undefined
    const known = this.#topics.get(parsed.path)
    if (known && (known[parsed.kind]?.seq ?? 0) <= stored.seq) known[parsed.kind] = stored
    return known
  }

  /** Returns the stored state of a topic at this moment. */
  async read(path: string): Promise<TopicRecords> {
    const [before, round] = [this.bucket.stored, this.#round]
    const [mark, lease] = await Promise.all([this.bucket.get(markKey(path)), this.bucket.get(leaseKey(path))])
    const known = this.#topics.get(path)
    if (!known) return { mark, lease }
    for (const [kind, found] of [
      ['mark', mark],
      ['lease', lease],
    ] as const) {
      if (found) this.learn(found)
      // It was swept, unless it was stored only after the request and its notice came before the answer.
      else if ((known[kind]?.seq ?? 0) <= before) known[kind] = undefined
    }
    known.round = round
    return known
  }

  /** Returns the stored states of topics at this moment. */
  async readAll(paths: readonly string[]): Promise<readonly TopicRecords[]> {
    const known = paths.filter((path) => this.#topics.get(path)?.round === this.#round)
    if (known.length > FEW) await this.#catchUp()
    const caughtUp = new Set(known.length > FEW ? known : [])
    return Promise.all(
      paths.map(async (path) => {
        const followed = caughtUp.has(path) ? this.#topics.get(path) : undefined
        return followed?.round === this.#round ? followed : this.read(path)
      }),
    )
  }

  async #catchUp(): Promise<void> {
    const before = this.bucket.stored
    // A step costs half as much as reading a topic.
    for (let i = Math.min(STEPS, 2 * this.#topics.size); i >= 0; i--) {
      const next = await this.bucket.next(TOPICS, this.#upTo + 1)
      if (!next) {
        this.#upTo = Math.max(this.#upTo, before)
        return
      }
      this.#upTo = Math.max(this.#upTo, next.seq)
      this.learn(next)
    }
    this.#round++
    this.#upTo = Math.max(this.#upTo, before)
  }
}
