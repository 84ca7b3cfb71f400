/**
 * Leases by compare-and-set, without wall clocks.
 *
 * JetStream has no timers, and its timestamps are times of a wall clock, which may be set. So each reader counts time on the monotonic
 * clock of its process. A lease has ended when a reader has seen the same revision of it for `ttl` *and* has stored that it ended. A
 * renewal is a new revision. Both are stored with compare-and-set, so one of them fails.
 *
 * NL1. A stored entry ends a lease, never time alone. Before that entry its owner can renew it, and afterwards it cannot (E10).
 * NL2. A reader starts to count no earlier than when the revision was stored. So no lease ends before its ttl has passed. It ends later if
 *     there was no reader when its owner fell silent: ttl after the first read.
 * NL3. A fence is the number of the message that began the term. These numbers only go up, for as long as the stream lives.
 */
import { now } from '../../core/clock.js'
import { type Acquired, LEASE_REMEMBERED_FOR, type LeaseRecord } from '../contract/engine.js'
import type { Bucket, Stored } from './bucket.js'
import { leaseKey } from './keys.js'
import { type LeaseEntry, leaseEntryOf } from './records.js'

/** The revisions of leases that this process has seen. They outlive links: a revision stays valid between two reads. */
export class SeenRevisions {
  readonly #seen = new Map<string, { readonly seq: number; readonly first: number }>()

  /** Returns the milliseconds until a revision has been seen for `ttl`. */
  left({ key, seq }: Stored, ttl: number): number {
    const known = this.#seen.get(key)
    if (known?.seq === seq) return known.first + ttl - now()
    this.#seen.set(key, { seq, first: now() })
    return ttl
  }

  forget(key: string): void {
    this.#seen.delete(key)
  }

  /** Drops revisions that were first seen before a time. A later read starts to count again (NL2). */
  forgetBefore(moment: number): void {
    for (const [key, { first }] of this.#seen) if (first < moment) this.#seen.delete(key)
  }
}

export class Leases {
  /** The leases of this process as last written, so a renewal need not read them. */
  readonly #mine = new Map<string, Stored>()

  constructor(
    private readonly bucket: Bucket,
    private readonly seenRevisions: SeenRevisions,
  ) {}

  /** Returns the state of a lease and its stored record. Ends the lease if its time has passed (NL1). */
  async look(
    path: string,
    known: Stored | undefined,
  ): Promise<{ readonly stored: Stored | undefined; readonly record: LeaseRecord | undefined }> {
    let stored = known
    for (;;) {
      const entry = entryOf(stored)
      if (!stored || !entry) return { stored, record: undefined }
      const { state, fence, lost, ttl } = entry
      if (state !== 'held') {
        this.seenRevisions.forget(stored.key)
        const isForgotten = lost === 0 || this.bucket.age(stored) > LEASE_REMEMBERED_FOR
        return { stored, record: isForgotten ? undefined : { fence, left: 0, lost } }
      }
      const left = this.seenRevisions.left(stored, ttl)
      if (left > 0) return { stored, record: { fence, left, lost } }
      const ended = await this.#write(path, { ...entry, state: 'lost', lost: fence }, stored.seq)
      if (ended) this.bucket.announce(leaseKey(path))
      stored = ended ?? (await this.#read(path))
    }
  }

  async acquire(path: string, owner: string, ttl: number): Promise<Acquired> {
    // After this a newly elected leader has applied everything.
    await this.bucket.settle()
    for (;;) {
      const stored = await this.#read(path)
      const entry = entryOf(stored)
      let lost = entry?.lost ?? 0
      if (stored && entry?.state === 'held') {
        if (entry.owner === owner) {
          if (await this.#write(path, { ...entry, ttl }, stored.seq)) return { held: true, fence: entry.fence }
          continue
        }
        const left = this.seenRevisions.left(stored, entry.ttl)
        if (left > 0) return { held: false, left }
        lost = entry.fence
      }
      const taken = await this.#write(path, { state: 'held', owner, ttl, fence: 0, lost }, stored?.seq ?? 0)
      if (!taken) continue
      this.bucket.announce(leaseKey(path))
      return { held: true, fence: taken.seq }
    }
  }

  async renew(path: string, fence: number, ttl: number): Promise<boolean> {
    let stored = this.#mine.get(path) ?? (await this.#read(path))
    for (;;) {
      const entry = entryOf(stored)
      if (stored && entry?.state === 'held' && entry.fence === fence) {
        if (await this.#write(path, { ...entry, ttl }, stored.seq)) return true
      } else if (!stored || stored !== this.#mine.get(path)) return false
      this.#mine.delete(path)
      stored = await this.#read(path)
    }
  }

  async release(path: string, fence: number): Promise<void> {
    for (;;) {
      const stored = await this.#read(path)
      const entry = entryOf(stored)
      if (!stored || entry?.state !== 'held' || entry.fence !== fence) return
      if (!(await this.#write(path, { ...entry, state: 'released' }, stored.seq))) continue
      this.bucket.announce(leaseKey(path))
      return
    }
  }

  /** Forgets a lease that has ended. */
  async forget(path: string): Promise<void> {
    const stored = await this.#read(path)
    const entry = entryOf(stored)
    if (stored && entry && entry.state !== 'held') await this.bucket.delete(stored.key, stored.seq)
  }

  #read(path: string): Promise<Stored | undefined> {
    return this.bucket.get(leaseKey(path))
  }

  /** Returns the stored record; undefined if another client was faster. */
  async #write(path: string, entry: LeaseEntry, expected: number): Promise<Stored | undefined> {
    const key = leaseKey(path)
    const text = JSON.stringify(entry)
    const seq = await this.bucket.replace(key, text, expected)
    this.#mine.delete(path)
    if (seq === undefined) return undefined
    const stored = { key, seq, at: this.bucket.time, text }
    if (entry.state === 'held') this.#mine.set(path, stored)
    return stored
  }
}

function entryOf(stored: Stored | undefined): LeaseEntry | undefined {
  return stored?.text === undefined ? undefined : leaseEntryOf(stored.text, stored.seq)
}
