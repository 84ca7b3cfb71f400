/**
 * Removes expired records, so that the bucket does not grow. Readers check the age of records themselves, so the time
 * of removal does not matter. One process does it for all: the first process that finds a round due. Every hour it
 * reads all stored records, in the order in which they were stored, one part a minute.
 */
import { LEASE_REMEMBERED_FOR, SILENT_FOR } from '../contract/engine.js'
import type { Bucket, Stored } from './bucket.js'
import { parseKey, SWEEP } from './keys.js'
import { leaseEntryOf, markEntryOf, sessionEntryOf } from './records.js'
import { SessionCache } from './sessions.js'

/** Milliseconds between two checks whether a round is due. */
export const SWEEP_EVERY = 60_000
/** Milliseconds between two rounds. */
const ROUND = 3_600_000
/** The number of messages that one part reads. */
const SWEPT = 2_000
/** How long a delete marker stays, for later readers (TC2), in milliseconds. */
const NOTED = 24 * 3_600_000
/** Milliseconds that are subtracted from each age, because the clock may be inexact. */
const MARGIN = 1_000

export class Sweeper {
  constructor(private readonly bucket: Bucket) {}

  /** Sweeps the next part of the bucket, unless another process does. */
  async sweep(): Promise<void> {
    const last = await this.bucket.get(SWEEP)
    let from = Number(last?.text ?? 0) || 0
    if (last && this.bucket.age(last) < (from === 0 ? ROUND : SWEEP_EVERY - MARGIN)) return
    const turn = await this.bucket.put(SWEEP, String(from), last?.seq ?? 0)
    if (turn === undefined) return
    const sessions = new SessionCache(this.bucket)
    for (let i = 0; i < SWEPT; i++) {
      const stored = await this.bucket.next('>', from + 1)
      from = stored && stored.seq < turn ? stored.seq : 0
      if (!stored || from === 0) break
      if (await this.#isOver(stored, sessions)) await this.#take(stored, turn)
    }
    await this.bucket.put(SWEEP, String(from), turn)
  }

  /** Removes records up to a revision: later records stay. */
  async #take({ key, seq }: Stored, turn: number): Promise<void> {
    const taken = await this.bucket.purge(key, seq)
    const parsed = parseKey(key)
    // If the session comes back, it learns that it was removed, and stores its holders again.
    if (parsed?.kind === 'session' && taken > 0) await this.bucket.purge(`holder.*.*.${parsed.session}.*`, turn)
  }

  async #isOver(stored: Stored, sessions: SessionCache): Promise<boolean> {
    const { key, seq, text } = stored
    const parsed = parseKey(key)
    if (!parsed) return false
    const age = this.bucket.age(stored) - MARGIN
    if (text === undefined) return age > NOTED
    // A session is stored before its holders, so the process that removed the session died before it removed them.
    if (parsed.kind === 'holder') return !(await sessions.stored(parsed.session))
    if (parsed.kind === 'mark') {
      const { ttl, remembered } = markEntryOf(text)
      return age > Math.max(ttl, remembered)
    }
    if (parsed.kind === 'lease') return leaseEntryOf(text, seq)?.state !== 'held' && age > LEASE_REMEMBERED_FOR
    return age > (sessionEntryOf(text)?.ttl ?? 0) + SILENT_FOR
  }
}
