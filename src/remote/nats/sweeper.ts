/**
 * Takes away what has lived its time. Who reads looks at ages by himself, so it does not matter when this happens: it keeps
 * the bucket from growing. One process does it for all: whoever finds that nobody has for a minute.
 */
import type { Bucket, Stored } from './bucket.js'
import { parseKey, sessionKey, SWEEP } from './keys.js'
import { REMEMBERED } from './leases.js'
import { leaseEntryOf, markEntryOf, sessionEntryOf } from './records.js'

/** Milliseconds between two looks at whether it is time. */
export const SWEEP_EVERY = 60_000
/** How long others can still see that a session has fallen silent (E8). */
export const SILENT = 60_000
/** So many messages are looked at in one go. */
const SWEPT = 5_000
/** How long the note that something was deleted stays, for those who come after it (F2). */
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
    if (last && this.#bucket.age(last) < SWEEP_EVERY) return
    const from = Number(last?.text ?? 0) || 0
    const found = await this.#bucket.scan('>', from + 1, SWEPT)
    const next = found.length < SWEPT ? 0 : (found.at(-1)?.seq ?? 0)
    if ((await this.#bucket.put(SWEEP, String(next), last?.seq ?? 0)) === undefined) return
    const sessions = new Map<string, Promise<Stored | undefined>>()
    const isAlive = async (key: string) => {
      const asked = sessions.get(key) ?? this.#bucket.get(key)
      sessions.set(key, asked)
      return (await asked) !== undefined
    }
    await Promise.all(
      found.map(async (stored) => {
        // Up to that revision: what was written meanwhile stays.
        if (await this.#isOver(stored, isAlive)) await this.#bucket.purge(stored.key, stored.seq)
      }),
    )
  }

  async #isOver(stored: Stored, isAlive: (key: string) => Promise<boolean>): Promise<boolean> {
    const { key, seq, text } = stored
    const parsed = parseKey(key)
    if (!parsed) return false
    const age = this.#bucket.age(stored) - MARGIN
    if (text === undefined) return age > NOTED
    // The session is stored before its holders, and goes first.
    if (parsed.kind === 'holder') return !(await isAlive(sessionKey(parsed.session)))
    if (parsed.kind === 'mark') return age > markEntryOf(text).ttl
    if (parsed.kind === 'lease') return leaseEntryOf(text, seq)?.state !== 'held' && age > REMEMBERED
    return age > (sessionEntryOf(text)?.ttl ?? 0) + SILENT
  }
}
