/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The contract of the token hub: tokens by name, across processes and machines, whatever engine carries them.
 *
 * What is promised, by number; `hubConformance` of calloff/testing tries each of them.
 *
 * H1. `cancelled` of a remote token is local memory: a poll never waits for anybody.
 * H2. Cancelled is final, and known to all: a token that is opened after a cancel was delivered is cancelled by the time it is
 *     `ready`, for as long as the mark lives (`ttl`); one that is open hears of it.
 * H3. A cancel takes effect where it is made at once, connected or not. It is kept, and offered again, until it is delivered.
 * H4. Delivered means: the mark is stored, as durably as the engine stores anything. What was delivered is not lost.
 * H5. A token without a mark, a lost lease or a rule about lost connections that its owner has set never reads cancelled.
 * H6. Of several cancels one mark stands, and whoever comes later reads that one. Each side keeps what it saw first.
 * H7. Kind, reason and who (host, process id, name of the token) cross. An error arrives as an error.
 * H8. A run is a token of its own: what happens to one run of a name does not touch another.
 * H9. After a lost connection everything is read again, and merged by "or". So a cancel that fell into the gap is found. As a
 *     net under announcements that get lost, everything is read again every now and then as well.
 * H10. A lease has one owner at a time, and a number that goes up with every new one. Its owner's token ends before anybody
 *     else's, who in turn are told no earlier than `ttl` after the owner sent the last renewal that was accepted.
 * H11. Nothing about the connection is silent: `state` and events tell.
 */
import type { CancellationKind } from '../../core/errors.js'
import type { TokenOrSignal, Registration } from '../../core/token.js'
import type { LeaseToken, RemoteToken } from './remote-token.js'

/** Who called something off. */
export interface Who {
  readonly host: string
  readonly pid: number
  /** The name of the token where it started. */
  readonly token: string | undefined
}

/** The durable record of a cancel. */
export interface Mark {
  readonly kind: CancellationKind
  /** What was given to `cancel`, as far as it could be written down. */
  readonly reason: unknown
  readonly who: Who
  /** When, by the wall clock of who called it off: for people, never compared. */
  readonly at: Date
}

/** What a holder of a token has said. */
export type HolderState = 'open' | 'acknowledged' | 'finished'

/** One open token, somewhere. */
export interface Holder {
  readonly host: string
  readonly pid: number
  /** How it was come by. */
  readonly role: 'open' | 'exposed' | 'lease'
  /** `'acknowledged'`: it is cancelled there, and the listeners have run. `'finished'`: what was being done has come to its end. */
  readonly state: HolderState
  /** By the wall clock there. */
  readonly since: Date
  /** Its process has not been heard of for a while. */
  readonly silent: boolean
}

/** What became of a cancel. */
export interface Receipt {
  readonly name: string
  readonly runId: string
  /** Whether the mark is stored. If not, it is kept and offered again; nothing is known of the holders then. */
  readonly delivered: boolean
  /**
   * Whether all holders are known. False where the list of them did not come in time, and in the first six seconds after a server has
   * come back, when holders may still be connecting again: there may then be more of them than the receipt counts.
   */
  readonly complete: boolean
  /** The mark that stands, which may be somebody else's, who was first. */
  readonly mark: Mark
  /** How many held the token when it was cancelled, as far as that is known: see `complete`. */
  readonly holders: number
  /** How many of these have seen it, those that have finished included. */
  readonly acknowledged: number
  /** How many of these are done, by `token.finished(…)` or by closing. */
  readonly finished: number
  /** Who is not done yet. */
  readonly waiting: readonly Holder[]
}

/** What `list` shows of one token. */
export interface Listing {
  readonly name: string
  readonly runId: string
  readonly state: 'live' | 'cancelled'
  readonly mark: Mark | undefined
  readonly holders: readonly Holder[]
  readonly lease: { readonly fence: number; readonly held: boolean } | undefined
}

/** `'connecting'` is the first time only. */
export type HubState = 'connecting' | 'connected' | 'disconnected' | 'closed'

/** What there is to tell about the connection. */
export type HubEvent =
  | { readonly type: 'connected' }
  /** The connection was lost, or could not be made. `retryIn`: milliseconds. */
  | { readonly type: 'disconnected'; readonly error: Error; readonly retryIn: number }
  /** `onDisconnect: 'cancel'` has called off so many tokens. */
  | { readonly type: 'gave-up'; readonly tokens: number }
  /** The engine refuses a cancel, which will be offered again. */
  | { readonly type: 'refused'; readonly name: string; readonly error: Error }
  | { readonly type: 'closed' }

/** What `connectHub` takes. Milliseconds throughout. */
export interface HubOptions {
  /** The secret that both sides must have; text counts as UTF-8. */
  readonly key?: string | Uint8Array | undefined
  /** For `tls://`: what `node:tls` takes (`ca`, `cert`, `servername` …). */
  readonly tls?: object | undefined
  /** How long a mark lives. Default: 24 hours. */
  readonly ttl?: number | undefined
  /** What becomes of open tokens while there is no connection. Default: `'keep'`. */
  readonly onDisconnect?: 'keep' | 'cancel' | undefined
  /** After how long without one `'cancel'` cancels, kind `'disconnect'`. Default: 30,000. */
  readonly disconnectAfter?: number | undefined
  /** Give the hub back without waiting for the first connection, and keep trying. Default: false, a failure rejects. */
  readonly lazy?: boolean | undefined
  /** How long an answer may take before the connection counts as lost. Default: 10,000. */
  readonly timeout?: number | undefined
  /** How long the others believe in this process without hearing of it. Default: 30,000. */
  readonly sessionTtl?: number | undefined
  /** How often everything is read again, connection or not lost: about. Default: 30,000. */
  readonly reread?: number | undefined
  /**
   * Keep the connection in a thread of its own, so that a loop that never yields sees a cancel from another machine, and leases are
   * renewed while it runs. Only for a URL; options must be plain data. Default: false.
   */
  readonly background?: boolean | undefined
  /**
   * With `background`: the program of that thread, a path or a URL, as `new Worker` takes it. For programs that were bundled into one
   * file: bundle `calloff/remote/worker` into a second one, and name that. Default: the one that comes with the package.
   */
  readonly worker?: string | URL | undefined
  /** The first wait before connecting again, and the longest; in between it doubles, and chance takes up to half off. Default: 50 and 5,000. */
  readonly backOff?: { readonly first?: number | undefined; readonly most?: number | undefined } | undefined
}

/** Which token of a name. */
export interface NameOptions {
  /** Keeps a late cancel of one run away from the next one of the same name. Default: `''`, a run like any other. */
  readonly runId?: string | undefined
}

/** What `hub.open` takes. */
export interface OpenOptions extends NameOptions {
  /** As the hub's, for this token. */
  readonly onDisconnect?: 'keep' | 'cancel' | undefined
}

/** What `hub.cancel` takes. */
export interface CancelOptions extends NameOptions {
  /** Wait so many milliseconds for the holders. Default: 0, the receipt comes as soon as the mark is stored. */
  readonly timeout?: number | undefined
  /** What to wait for. Default: `'finished'`. */
  readonly until?: 'acknowledged' | 'finished' | undefined
  /** How long this mark lives. Default: the hub's. */
  readonly ttl?: number | undefined
}

/** What `hub.expose` takes. */
export interface ExposeOptions extends NameOptions {
  /** Others may cancel the token. Default: false; they then only see it end. */
  readonly cancellable?: boolean | undefined
}

/** What `hub.lease` takes. */
export interface LeaseOptions extends NameOptions {
  /** How long the owner may be silent, in milliseconds, 100 at least. */
  readonly ttl: number
  /**
   * Wait so many milliseconds for another owner's lease to end, and for an answer. Default: 0, it rejects at once if there is another owner, and
   * waits for a connection.
   */
  readonly timeout?: number | undefined
}

/** A local token that others see. */
export interface Exposure extends Disposable {
  readonly name: string
  readonly runId: string
  /** Resolves when the others can see it, and the hub's state has been read. */
  readonly ready: Promise<void>
  /** Resolves when the end of the token is stored. Pending until it ends. */
  readonly delivered: Promise<void>
  /** Takes it back; the token itself lives on. The same as its dispose. */
  close(): void
}

/**
 * Tokens by name. Made by `connectHub`.
 *
 * Timing: everything that is not a promise works on local memory, connected or not.
 *
 * Errors: `TypeError` and `RangeError` for bad input, which methods that return promises reject with; {@link HubError} with a
 * `code`: `ERR_HUB_CLOSED`, `ERR_HUB_UNREACHABLE`, `ERR_HUB_AUTH`, `ERR_HUB_PROTOCOL`, `ERR_HUB_REFUSED`, `ERR_LEASE_HELD`.
 *
 * Memory: a token that is dropped is garbage, and the others are told so; one that somebody listens to is kept. The hub does
 * not keep the process alive, but pending promises do, and cancels that are not delivered yet.
 */
export interface TokenHub extends AsyncDisposable {
  readonly state: HubState

  /**
   * The token of that name, here: a `CancellationToken` like any other, which ends when it is cancelled anywhere.
   *
   * Timing: at once; `await token.ready` for the hub's state to be read. Opened twice, it is two tokens, two holders.
   *
   * @param name 1 to 256 bytes of UTF-8
   */
  open(name: string, options?: OpenOptions): RemoteToken

  /**
   * Cancels a name, whether anybody holds it or not. Local tokens of it at once.
   *
   * Resolves with the receipt when the mark is stored; with `timeout`, when all that hold it have finished, or that time is
   * up, whatever comes first and whatever happens to the connection. Without a connection and without `timeout` it waits for one.
   */
  cancel(name: string, reason?: unknown, options?: CancelOptions): Promise<Receipt>

  /**
   * Offers a local token, of any kind, to the others under a name: when it ends, theirs do, with its kind, reason and name.
   *
   * With `cancellable`, their cancel calls its `cancel(reason)`.
   */
  expose(name: string, token: TokenOrSignal, options?: ExposeOptions): Exposure

  /** What is open or marked under names that begin with `prefix`, by whom, since when, in what state. */
  list(prefix?: string): Promise<readonly Listing[]>

  /**
   * Forgets the mark of a name, and a lost lease of it: what is opened from now on is live. What is open stays as it is.
   *
   * For good: a cancel whose mark had been stored does not come back, though its canceller may not have heard of that and offer
   * it again. A cancel that is stored for the first time afterwards counts.
   */
  forget(name: string, options?: NameOptions): Promise<void>

  /**
   * Takes the lease of a name. While this process renews it, everybody's tokens of the name live. When it falls silent for
   * longer than `ttl`, they are cancelled, kind `'lease'`, the owner's own before the others'.
   *
   * A token of the name that is opened after the loss is cancelled, until somebody takes the lease again: that is a new term,
   * with a higher `fence`. Closing the lease's token releases it, and cancels nobody.
   *
   * Errors: `ERR_LEASE_HELD` while another owner has it; `ERR_HUB_UNREACHABLE` where no answer comes within the limit.
   */
  lease(name: string, options: LeaseOptions): Promise<LeaseToken>

  /** Calls back with whatever happens to the connection. */
  onEvent(listener: (event: HubEvent) => void): Registration

  /**
   * Delivers what is to be delivered, for `timeout` milliseconds at most (default 5,000), says good-bye, and ends the tokens
   * that are still open (kind `'dispose'`), since they would never hear of anything again. Exposed ones are left alone.
   *
   * Errors: `ERR_HUB_UNREACHABLE` where cancels were left undelivered.
   */
  close(options?: { readonly timeout?: number | undefined }): Promise<void>
}
