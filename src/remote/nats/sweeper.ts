/**
 * Takes away what has lived its time. Who reads looks at ages by himself, so it does not matter when this happens: it keeps
 * the bucket from growing. One process does it for all: whoever finds that it is time. Every hour it goes through everything
 * that is stored, in the order in which it was, a part a minute.
 */
import { LEASE_REMEMBERED_FOR, SILENT_FOR } from '../contract/engine.js'
import type { Bucket, Stored } from './bucket.js'
import { parseKey, sessionKey, SWEEP } from './keys.js'
import { leaseEntryOf, markEntryOf, sessionEntryOf } from './records.js'

/** Milliseconds between two looks at whether it is time. */
export const SWEEP_EVERY = 60_000
/** Milliseconds between two rounds. */
const ROUND = 3_600_000
/** So many messages are looked at in one go. */
const SWEPT = 2_000
/** How long the note that something was deleted stays, for those who come after it (TC2). */
const NOTED = 24 * 3_600_000
/** What has gone for certain, whatever a clock that was asked a moment ago thinks: milliseconds. */
const MARGIN = 1_000

export class Sweeper {
  readonly #bucket: Bucket

  constructor(bucket: Bucket) {
    this.#bucket = bucket
  }

  /** Looks at the next part of the bucket, if nobody else does. */
  async sweep(): Promise<void> {
    const last = await this.#bucket.get(SWEEP)
    let from = Number(last?.text ?? 0) || 0
    if (last && this.#bucket.age(last) < (from === 0 ? ROUND : SWEEP_EVERY - MARGIN)) return
    const turn = await this.#bucket.put(SWEEP, String(from), last?.seq ?? 0)
    if (turn === undefined) return
    const sessions = new Map<string, Promise<Stored | undefined>>()
    const isAlive = async (key: string) => {
      const asked = sessions.get(key) ?? this.#bucket.get(key)
      sessions.set(key, asked)
      return (await asked) !== undefined
    }
    for (let i = 0; i < SWEPT; i++) {
      const stored = await this.#bucket.next('>', from + 1)
      from = stored && stored.seq < turn ? stored.seq : 0
      if (!stored || from === 0) break
      if (await this.#isOver(stored, isAlive)) await this.#take(stored, turn)
    }
    await this.#bucket.put(SWEEP, String(from), turn)
  }

  /** Up to that revision: what is written meanwhile stays. */
  async #take({ key, seq }: Stored, turn: number): Promise<void> {
    const taken = await this.#bucket.purge(key, seq)
    const parsed = parseKey(key)
    // Should the session come back, it is told that it was forgotten, and its holders are stored anew.
    if (parsed?.kind === 'session' && taken > 0) await this.#bucket.purge(`holder.*.*.${parsed.session}.*`, turn)
  }

  async #isOver(stored: Stored, isAlive: (key: string) => Promise<boolean>): Promise<boolean> {
    const { key, seq, text } = stored
    const parsed = parseKey(key)
    if (!parsed) return false
    const age = this.#bucket.age(stored) - MARGIN
    if (text === undefined) return age > NOTED
    // The session is stored before its holders. Somebody who was to take them with it has died on the way.
    if (parsed.kind === 'holder') return !(await isAlive(sessionKey(parsed.session)))
    if (parsed.kind === 'mark') {
      const { ttl, remembered } = markEntryOf(text)
      return age > Math.max(ttl, remembered)
    }
    if (parsed.kind === 'lease') return leaseEntryOf(text, seq)?.state !== 'held' && age > LEASE_REMEMBERED_FOR
    return age > (sessionEntryOf(text)?.ttl ?? 0) + SILENT_FOR
  }
}
