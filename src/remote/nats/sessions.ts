/** Holders, as other processes see them. */
import { FINISHED, type HolderReport, SILENT_FOR } from '../contract/engine.js'
import type { Bucket, Stored } from './bucket.js'
import { parseKey, sessionKey } from './keys.js'
import { holderEntryOf, sessionEntryOf } from './records.js'

type Process = Pick<HolderReport, 'host' | 'pid' | 'silent'>

/** The sessions of holders. Each is read once. */
export class SessionCache {
  readonly bucket: Bucket
  readonly #known = new Map<string, Promise<Stored | undefined>>()

  constructor(bucket: Bucket) {
    this.bucket = bucket
  }

  stored(session: string): Promise<Stored | undefined> {
    const asked = this.#known.get(session) ?? this.bucket.get(sessionKey(session))
    this.#known.set(session, asked)
    return asked
  }

  /** Returns undefined if the session is gone or has expired. */
  async of(session: string): Promise<Process | undefined> {
    const stored = await this.stored(session)
    const entry = stored?.text === undefined ? undefined : sessionEntryOf(stored.text)
    if (!stored || !entry) return undefined
    const silence = this.bucket.age(stored) - entry.ttl
    return silence > SILENT_FOR ? undefined : { host: entry.host, pid: entry.pid, silent: silence > 0 }
  }
}

/** Returns a holder whose key was there a moment ago. A holder that has gone meanwhile has finished. */
export async function reportOf(
  key: string,
  stored: Stored | undefined,
  sessions: SessionCache,
): Promise<HolderReport | undefined> {
  const parsed = parseKey(key)
  if (parsed?.kind !== 'holder') return undefined
  const { session, id } = parsed
  const process = await sessions.of(session)
  const gone = { session, id, host: '', pid: 0, silent: false, ...process, state: FINISHED, role: 0, since: 0 }
  if (!stored) return gone
  const entry = stored.text === undefined ? undefined : holderEntryOf(stored.text)
  if (!entry) return undefined
  if (process) return { session, id, ...process, ...entry }
  // Its process has ended the session meanwhile, or died long ago and was not removed yet.
  return (await sessions.bucket.get(key)) ? undefined : gone
}
