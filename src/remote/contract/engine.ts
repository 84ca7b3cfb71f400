/**
 * What carries a hub: the little that an embedded server, Redis, NATS and PostgreSQL have in common. One adapter implements
 * it. Everything else (the local cancel, offering it again, connecting again and reading again, receipts, the clocks of
 * leases) is written once, above it, in client/hub-client.ts.
 *
 * The seam is at *connections that die*. An adapter makes a connection, uses it, and says when it is lost. It does not
 * connect again, keep anything for later, or wait for anything: who calls does that.
 *
 * What an engine promises, by number; the engine cases of `hubConformance` try each of them.
 *
 * E1. Stored means stored. When `mark` resolves, the mark is as durable as the engine's data is, and every `enter`, `read` and
 *     `list` that begins later, over whatever link, gives it, until its ttl is over or it is forgotten.
 * E2. The first mark stands. Every `mark` of a topic resolves with the one that stands, whoever wrote it. And a mark counts once:
 *     one that stood and was forgotten is not stored again, however late, and over whatever link, it is offered again, as long
 *     as it would have lived. It has been stored, and was taken back: so that `mark` resolves with itself. The last
 *     {@link FORGOTTEN_PER_TOPIC} of a topic are enough to know. A mark that comes for the first time after a `forget` counts: nobody can have meant that one.
 * E3. Stored before announced. No link is given a mark, by whatever call or notice, that is not stored.
 * E4. Announced. What changes about a topic (a mark; a lease taken, lost or released) is noticed by every link that has entered
 *     a holder there before, unless that link is lost. Notices may be late, doubled, out of order and, where the engine cannot
 *     help it, lost: `read` is there for that.
 * E5. `enter` stores the holders first, and reads the topics then. So of somebody who enters and somebody who marks and then
 *     lists, at least one sees the other.
 * E6. What is asked of one topic sees all that was done before, by whomever: no stale copies.
 * E7. Times are counted by the engine's clock, as durations. Nobody's wall clocks are compared.
 * E8. A session lives while it is heard of. Silent for longer than its ttl, it is listed as silent; its holders are gone
 *     {@link SILENT_FOR} later at the earliest. After `bye` they are gone at once. What a session has entered survives its link.
 * E9. The state of a holder only goes up, so that late and doubled entries do no harm.
 * E10. A lease has at most one owner. Each time somebody takes one, its fence is higher than any before. It ends no earlier
 *     than ttl after the last renewal was accepted, and once it has ended it cannot be renewed.
 * E11. Every call may be repeated when its outcome is unknown, and comes to the same.
 * E12. A link is lost once: `lost` is called, and everything pending and everything later rejects. `close` is no loss, and
 *     everything pending rejects just so.
 */
import type { CancellationToken } from '../../core/token.js'

const DAY = 24 * 3_600_000
/** How long a mark lives, unless its canceller says otherwise: milliseconds. */
export const MARK_TTL = DAY
/** How long a session that has fallen silent is still listed, as silent (E8): milliseconds, at least. */
export const SILENT_FOR = 60_000
/** How long it is remembered that a lease was lost, or given back after a loss (`LeaseRecord.lost`): milliseconds. */
export const LEASE_REMEMBERED_FOR = DAY
/** How many forgotten marks of a topic are remembered, so that none of them is stored again (E2). An engine may remember more. */
export const FORGOTTEN_PER_TOPIC = 16

/** Which token. Names and runs are well-formed, and at most 256 bytes of UTF-8. */
export interface Topic {
  readonly name: string
  readonly runId: string
}

/** A cancel as it is stored: plain data. */
export interface MarkRecord {
  /** Which cancel this is: nobody else's, the same whenever it is offered again, and no secret; at most 64 bytes. See E2. */
  readonly id: string
  readonly kind: string
  /** As core/reasons.ts writes it; empty for none. */
  readonly reason: string
  readonly host: string
  readonly pid: number
  /** The name of the token where it started; empty for none. */
  readonly token: string
  /** What happened to that, for messages. */
  readonly what: string
  /** By the wall clock of who cancelled: for people. */
  readonly at: number
}

/** How a lease stands. */
export interface LeaseRecord {
  /** Of the present term, or of the last one. */
  readonly fence: number
  /** Milliseconds until it ends, as the engine counts; 0 if nobody holds it. */
  readonly left: number
  /** The fence of the last term that ended without being released; 0 if none has. */
  readonly lost: number
}

/** How a topic stands. */
export interface TopicState {
  readonly topic: Topic
  readonly mark: MarkRecord | undefined
  /** Absent if nobody holds it, and none was lost, or that was forgotten. */
  readonly lease: LeaseRecord | undefined
}

/** See E9. */
export const OPEN = 0
export const ACKNOWLEDGED = 1
export const FINISHED = 2

export const ROLES = ['open', 'exposed', 'lease'] as const

/** An open token, as its session enters it. */
export interface HolderRecord {
  /** Of its session's own choice. */
  readonly id: number
  readonly topic: Topic
  readonly state: number
  /** An index of {@link ROLES}. */
  readonly role: number
  /** By the wall clock of its process: for people. */
  readonly since: number
}

/** An open token, as others see it. */
export interface HolderReport {
  readonly session: string
  readonly host: string
  readonly pid: number
  readonly id: number
  readonly state: number
  readonly role: number
  readonly since: number
  /** See E8. */
  readonly silent: boolean
}

/** All about a topic. */
export interface TopicReport extends TopicState {
  readonly holders: readonly HolderReport[]
}

/** What was asked for, or who has it. */
export type Acquired =
  | { readonly held: true; readonly fence: number }
  | { readonly held: false; /** Milliseconds until it ends, unless it is renewed. */ readonly left: number }

/** A process, as the others know it; the same over all its links. */
export interface Session {
  /** Unguessable, and nobody else's. */
  readonly id: string
  readonly host: string
  readonly pid: number
  /** Milliseconds; see E8. */
  readonly ttl: number
}

/** What a link tells by itself. */
export interface LinkEvents {
  /** How a topic stands now (E4). */
  notice(state: TopicState): void
  /** See E12. */
  lost(error: Error): void
}

/** A connection, until it is lost. */
export interface Link {
  /**
   * Milliseconds since the server came back from a restart that has cut its holders off, as it said when the link was made; undefined
   * where there was none. Holders enter again over links of their own, one by one.
   */
  readonly sinceRestart?: number | undefined
  /** Enters holders, or enters them again with another state; resolves with how their topics stand, each once (E4, E5). */
  enter(holders: readonly HolderRecord[]): Promise<readonly TopicState[]>
  /** Takes holders of this session out. */
  leave(ids: readonly number[]): Promise<void>
  /** How topics stand. */
  read(topics: readonly Topic[]): Promise<readonly TopicState[]>
  /** Stores a mark, unless there is one; resolves with the one that stands (E1, E2). */
  mark(topic: Topic, mark: MarkRecord, ttl: number): Promise<MarkRecord>
  /** All there is under names that begin with a prefix, or about one topic. */
  list(what: { readonly prefix: string } | { readonly topic: Topic }): Promise<readonly TopicReport[]>
  /** Forgets the mark of a topic, for good (E2), and a lease that has ended. */
  forget(topic: Topic): Promise<void>
  /** The session lives. False if it has been forgotten meanwhile, with its holders. */
  beat(): Promise<boolean>
  /** Takes a lease for an owner, or finds it taken (E10). The same owner gets the same again, and that counts as a renewal. */
  acquire(topic: Topic, owner: string, ttl: number): Promise<Acquired>
  /** True if it was accepted. */
  renew(topic: Topic, fence: number, ttl: number): Promise<boolean>
  release(topic: Topic, fence: number): Promise<void>
  /** The session is over, with all its holders. Leases are released one by one, before. */
  bye(): Promise<void>
  /** Lets go of the connection, at once. */
  close(): void
}

/** What carries a hub. */
export interface Engine {
  /** For messages: where it is, without secrets. */
  readonly place: string
  /**
   * Says that no notice of a link is older than the answers that came before it: both come by one way. Where it does not, what a
   * token hears in its first seconds is read again before it counts, since it may speak of a mark that was forgotten before.
   */
  readonly inOrder?: boolean
  /**
   * Makes a connection. Rejects with a `HubError`, or any error, where none can be made; and gives up, leaving nothing behind,
   * when `token` is cancelled before.
   */
  connect(session: Session, events: LinkEvents, token: CancellationToken): Promise<Link>
}
