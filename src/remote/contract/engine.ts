/**
 * The contract of an engine: what an embedded server, Redis, NATS and PostgreSQL have in common. One adapter implements it for
 * each. Everything else (the local cancel, retries, reconnecting, reading again, receipts, the clocks of leases) is written once,
 * above the engine, in client/hub-client.ts.
 *
 * An engine deals with *connections that die*. An adapter makes a connection, uses it, and reports when it is lost. It does not
 * reconnect, store anything for later or wait for anything: its caller does.
 *
 * What an engine promises, by number. The engine cases of `hubConformance` test each promise.
 *
 * E1. Stored means stored. When `mark` resolves, the mark is as durable as the data of the engine. Every `enter`, `read` and
 *     `list` that begins later, over any link, returns the mark until its ttl has passed or it is forgotten.
 * E2. The first mark wins. Every `mark` of a topic resolves with the mark that is stored, whichever client wrote it. A mark counts
 *     once. Offering a forgotten mark again, over any link, is a no-op that resolves with that mark, for as long as the mark would
 *     have lived. An engine need remember only the last {@link FORGOTTEN_PER_TOPIC} forgotten marks of a topic. A mark that is first
 *     offered after a `forget` counts: that `forget` cannot have meant it.
 * E3. Stored before announced. A link receives a mark, by a call or a notice, only after the mark is stored.
 * E4. Announced. When a topic changes (a mark; a lease taken, lost or released), every link that has entered a holder of it before
 *     receives a notice, unless that link is lost. Notices may be late, doubled or out of order. They may be lost where the engine
 *     cannot prevent it: `read` makes up for that.
 * E5. `enter` stores the holders first and reads the topics afterwards. So if one client enters while another marks and then
 *     lists, at least one of them sees the other.
 * E6. A request about one topic sees every earlier change, by any client: it never reads a stale copy.
 * E7. The engine measures durations by its own clock. Wall clocks of processes are never compared.
 * E8. A session lives while the engine hears from it. A session that is silent for longer than its ttl is listed as silent. Its
 *     holders are removed {@link SILENT_FOR} later at the earliest. `bye` removes them at once. Holders survive the link over which
 *     their session entered them.
 * E9. The state of a holder only goes up, so late and doubled entries do no harm.
 * E10. A lease has at most one owner. Each new term has a higher fence than every term before. A lease ends no earlier than ttl
 *     after the last renewal was accepted. A lease that has ended cannot be renewed.
 * E11. Every call may be repeated when its outcome is unknown. The repetition has the same effect as a single call.
 * E12. A link is lost once: `lost` is called, and every pending and every later call rejects. `close` is not a loss: `lost` is not
 *     called, and every pending call rejects all the same.
 */
import type { CancellationToken } from '../../core/token.js'

const DAY = 24 * 3_600_000
/** The default ttl of a mark, in milliseconds. */
export const MARK_TTL = DAY
/** How long a silent session is listed at least, as silent, in milliseconds (E8). */
export const SILENT_FOR = 60_000
/** How long an engine remembers that a lease was lost, or released after a loss (`LeaseRecord.lost`), in milliseconds. */
export const LEASE_REMEMBERED_FOR = DAY
/** How many forgotten marks of a topic an engine remembers, so that it stores none of them again (E2). It may remember more. */
export const FORGOTTEN_PER_TOPIC = 16

/** Identifies a token. `name` and `runId` are well-formed text of at most 256 bytes of UTF-8 each. */
export interface Topic {
  readonly name: string
  readonly runId: string
}

/** A cancel as it is stored, as plain data. */
export interface MarkRecord {
  /** Identifies the cancel: unique, the same at each repetition, not secret, at most 64 bytes (E2). */
  readonly id: string
  readonly kind: string
  /** The reason as core/reasons.ts encodes it; empty for none. */
  readonly reason: string
  readonly host: string
  readonly pid: number
  /** The name of the token where the cancel started; empty for none. */
  readonly token: string
  /** What happened to that token, for messages. */
  readonly what: string
  /** When, by the wall clock of the canceller. For display only. */
  readonly at: number
}

/** The state of a lease. */
export interface LeaseRecord {
  /** The fence of the current term, or of the last one. */
  readonly fence: number
  /** Milliseconds until the lease ends, by the clock of the engine; 0 if it has no owner. */
  readonly left: number
  /** The fence of the last term that ended without being released; 0 if none has. */
  readonly lost: number
}

/** The state of a topic. */
export interface TopicState {
  readonly topic: Topic
  readonly mark: MarkRecord | undefined
  /** Absent if the lease has no owner and no loss of it is remembered. */
  readonly lease: LeaseRecord | undefined
}

/** See E9. */
export const OPEN = 0
export const ACKNOWLEDGED = 1
export const FINISHED = 2

export const ROLES = ['open', 'exposed', 'lease'] as const

/** A holder, as its session enters it. */
export interface HolderRecord {
  /** Chosen by the session. */
  readonly id: number
  readonly topic: Topic
  readonly state: number
  /** An index of {@link ROLES}. */
  readonly role: number
  /** When it was opened, by the wall clock of its process. For display only. */
  readonly since: number
}

/** A holder, as other processes see it. */
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

/** The state of a topic and its holders. */
export interface TopicReport extends TopicState {
  readonly holders: readonly HolderReport[]
}

/** The outcome of `acquire`. */
export type Acquired =
  | { readonly held: true; readonly fence: number }
  | {
      readonly held: false
      /** Milliseconds until the lease of the other owner ends, unless it is renewed. */ readonly left: number
    }

/** A process as other processes know it. It is the same over all its links. */
export interface Session {
  /** Unique, and cannot be guessed. */
  readonly id: string
  readonly host: string
  readonly pid: number
  /** In milliseconds; see E8. */
  readonly ttl: number
}

/** What a link reports unasked. */
export interface LinkEvents {
  /** A topic has changed; `state` is its state now (E4). */
  notice(state: TopicState): void
  /** The link is lost (E12). */
  lost(error: Error): void
}

/** A connection, until it is lost. */
export interface Link {
  /**
   * Milliseconds between the last restart of the server that disconnected its holders and the moment this link was made; undefined
   * without such a restart. Holders enter again one by one, each over the link of its own process.
   */
  readonly sinceRestart?: number | undefined
  /** Enters holders, or updates their states. Resolves with the state of their topics, each topic once (E4, E5). */
  enter(holders: readonly HolderRecord[]): Promise<readonly TopicState[]>
  /** Removes holders of this session. */
  leave(ids: readonly number[]): Promise<void>
  /** Resolves with the state of topics. */
  read(topics: readonly Topic[]): Promise<readonly TopicState[]>
  /** Stores a mark, unless the topic has one. Resolves with the mark that is stored (E1, E2). */
  mark(topic: Topic, mark: MarkRecord, ttl: number): Promise<MarkRecord>
  /** Resolves with the reports of all topics whose names begin with a prefix, or of one topic. */
  list(what: { readonly prefix: string } | { readonly topic: Topic }): Promise<readonly TopicReport[]>
  /** Forgets the mark of a topic for good (E2), and its lease if that has ended. */
  forget(topic: Topic): Promise<void>
  /** Keeps the session alive. Resolves with false if the engine has removed the session and its holders. */
  beat(): Promise<boolean>
  /** Takes a lease for an owner, unless another owner has it (E10). For its present owner the term goes on, and the call renews it. */
  acquire(topic: Topic, owner: string, ttl: number): Promise<Acquired>
  /** Resolves with true if the renewal was accepted. */
  renew(topic: Topic, fence: number, ttl: number): Promise<boolean>
  release(topic: Topic, fence: number): Promise<void>
  /** Ends the session and removes all its holders. Leases must be released before, one by one. */
  bye(): Promise<void>
  /** Closes the connection at once. */
  close(): void
}

/** Carries a hub. */
export interface Engine {
  /** Where the engine is, for messages. Contains no secrets. */
  readonly place: string
  /**
   * True if the notices and the answers of a link share one ordered stream: then no notice is older than an answer that came before
   * it. Otherwise the hub reads a topic again before it applies a notice in the first seconds of a token, because the notice may be
   * about a mark that was forgotten before.
   */
  readonly inOrder?: boolean
  /**
   * Makes a connection. Rejects with a `HubError`, or any error, if it cannot. If `token` is cancelled first, it gives up and leaves
   * nothing open.
   */
  connect(session: Session, events: LinkEvents, token: CancellationToken): Promise<Link>
}
