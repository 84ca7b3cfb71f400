/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The contract of the token hub: tokens that processes and machines share by name, over any engine.
 *
 * What the hub promises, by number. `hubConformance` of calloff/testing tests each promise.
 *
 * H1. `cancelled` of a remote token is local memory: a poll never waits for another process.
 * H2. A cancel is final and reaches every holder. A token that is opened after a cancel was delivered is cancelled by the time it
 *     is `ready`, for as long as the mark lives (`ttl`). A token that is open receives the cancel.
 * H3. A cancel takes effect at once in its own process, connected or not. The hub keeps it and offers it again until it is
 *     delivered.
 * H4. Delivered means that the mark is stored, as durably as the engine stores anything. A delivered cancel is not lost.
 * H5. Only a mark, a lost lease or the rule about lost connections that its owner has chosen (`onDisconnect`) cancels an open token.
 * H6. Of several cancels one mark is stored, and every later reader receives that mark. Each process keeps the cancel that it saw
 *     first.
 * H7. The kind, the reason and the origin (host, process id, name of the token) cross. An error arrives as an error.
 * H8. Each run of a name has a token of its own: what happens to one run does not affect another.
 * H9. After a lost connection the hub reads everything again and merges it by "or", so it finds a cancel that was made in the gap.
 *     It also reads everything again from time to time, because announcements may be lost.
 * H10. A lease has one owner at a time, and a number that goes up with every new owner. The token of the owner is cancelled before
 *     the tokens of all others. Those are cancelled no earlier than `ttl` after the owner sent the last renewal that was accepted.
 * H11. The connection never fails silently: `state` and events report every change.
 */
import type { CancellationKind } from '../../core/errors.js'
import type { TokenOrSignal, Registration } from '../../core/token.js'
import type { LeaseToken, RemoteToken } from './remote-token.js'

/** Where a cancel started. */
export interface Who {
  readonly host: string
  readonly pid: number
  /** The name of the token where the cancel started. */
  readonly token: string | undefined
}

/** The durable record of a cancel. */
export interface Mark {
  readonly kind: CancellationKind
  /** The reason given to `cancel`, as far as it could be encoded. */
  readonly reason: unknown
  readonly who: Who
  /** When, by the wall clock of the canceller. For display only: it is never compared. */
  readonly at: Date
}

/** How far a holder has got. See `Holder.state`. */
export type HolderState = 'open' | 'acknowledged' | 'finished'

/** One open token of a name, in any process. */
export interface Holder {
  readonly host: string
  readonly pid: number
  /** Which method of the hub made the token. */
  readonly role: 'open' | 'exposed' | 'lease'
  /** `'acknowledged'`: the token is cancelled there, and its listeners have run. `'finished'`: its tasks have settled, or it was closed. */
  readonly state: HolderState
  /** When it was opened, by the wall clock of its process. */
  readonly since: Date
  /** True if its process has been silent for longer than its `sessionTtl`. */
  readonly silent: boolean
}

/** The outcome of a cancel. */
export interface Receipt {
  readonly name: string
  readonly runId: string
  /** Whether the mark is stored. If not, the hub keeps it and offers it again; the holders are unknown then. */
  readonly delivered: boolean
  /**
   * Whether all holders are known. False if their list did not arrive in time. Also false in the first six seconds after a server has
   * restarted, while holders may still be reconnecting. There may then be more holders than the receipt counts.
   */
  readonly complete: boolean
  /** The mark that is stored. It is the mark of another cancel if that came first. */
  readonly mark: Mark
  /** How many holders the token had when it was cancelled, as far as they are known: see `complete`. */
  readonly holders: number
  /** How many of these holders have seen the cancel, including those that have finished. */
  readonly acknowledged: number
  /** How many of these holders have finished, by `token.finished(…)` or by closing. */
  readonly finished: number
  /** The holders that have not finished. */
  readonly waiting: readonly Holder[]
}

/** One token, as `list` returns it. */
export interface Listing {
  readonly name: string
  readonly runId: string
  readonly state: 'live' | 'cancelled'
  readonly mark: Mark | undefined
  readonly holders: readonly Holder[]
  readonly lease: { readonly fence: number; readonly held: boolean } | undefined
}

/** `'connecting'` occurs before the first connection only. */
export type HubState = 'connecting' | 'connected' | 'disconnected' | 'closed'

/** A change of the connection, or a problem with it. */
export type HubEvent =
  | { readonly type: 'connected' }
  /** The connection was lost, or could not be made. `retryIn`: milliseconds. */
  | { readonly type: 'disconnected'; readonly error: Error; readonly retryIn: number }
  /** `onDisconnect: 'cancel'` has cancelled this many tokens. */
  | { readonly type: 'gave-up'; readonly tokens: number }
  /** The engine refused a cancel. The hub will offer it again. */
  | { readonly type: 'refused'; readonly name: string; readonly error: Error }
  | { readonly type: 'closed' }

/** The options of `connectHub`. All times are in milliseconds. */
export interface HubOptions {
  /** The secret that client and server share. Text is encoded as UTF-8. */
  readonly key?: string | Uint8Array | undefined
  /** For `tls://`: the options of `node:tls` (`ca`, `cert`, `servername` …). */
  readonly tls?: object | undefined
  /** How long a mark lives. Default: 24 hours. */
  readonly ttl?: number | undefined
  /** What happens to open tokens while there is no connection. Default: `'keep'`. */
  readonly onDisconnect?: 'keep' | 'cancel' | undefined
  /** How long a connection may be missing before `'cancel'` cancels, with kind `'disconnect'`. Default: 30,000. */
  readonly disconnectAfter?: number | undefined
  /** Return the hub without waiting for the first connection, and keep trying. Default: false, a failure rejects. */
  readonly lazy?: boolean | undefined
  /** How long an answer may take before the connection counts as lost. Default: 10,000. */
  readonly timeout?: number | undefined
  /** How long this process may be silent before others list its tokens as silent. Default: 30,000. */
  readonly sessionTtl?: number | undefined
  /** About how often the hub reads everything again, even if the connection was not lost. Default: 30,000. */
  readonly reread?: number | undefined
  /**
   * Keep the connection in a background thread. A loop that never yields then sees a cancel from another machine, and leases are
   * renewed while it runs. Works with a URL only; options must be plain data. Default: false.
   */
  readonly background?: boolean | undefined
  /**
   * With `background`: the program of that thread, a path or a URL, as `new Worker` takes it. If a program is bundled into one file,
   * bundle `calloff/remote/worker` into a second file and pass its path. Default: the file in the package.
   */
  readonly worker?: string | URL | undefined
  /** The first and the longest wait before reconnecting. The wait doubles each time; a random part, up to half, is taken off. Default: 50 and 5,000. */
  readonly backOff?: { readonly first?: number | undefined; readonly most?: number | undefined } | undefined
}

/** Selects a token of a name. */
export interface NameOptions {
  /** Separates runs of a name, so a late cancel of one run does not affect the next. Default: `''`, a run like any other. */
  readonly runId?: string | undefined
}

/** The options of `hub.open`. */
export interface OpenOptions extends NameOptions {
  /** Replaces the option of the hub for this token. */
  readonly onDisconnect?: 'keep' | 'cancel' | undefined
  /**
   * Whether this token takes the place of all tokens of the name that are open: they are cancelled (kind `'superseded'`), and the token is
   * `ready` when all of them have finished, as a receipt says. Then the name is live again, also if it was cancelled before. Of
   * several processes that replace the name at once one comes after the other, and the last one stays. Default: false.
   */
  readonly replace?: boolean | undefined
  /** With `replace`: how long to wait for the tokens before, in milliseconds. Default: 30,000. */
  readonly timeout?: number | undefined
}

/** The options of `hub.cancel`. */
export interface CancelOptions extends NameOptions {
  /** How long to wait for the holders, in milliseconds. Default: 0, the receipt comes as soon as the mark is stored. */
  readonly timeout?: number | undefined
  /** Which state of the holders to wait for. Default: `'finished'`. */
  readonly until?: 'acknowledged' | 'finished' | undefined
  /** How long this mark lives, in milliseconds. Default: the `ttl` of the hub. */
  readonly ttl?: number | undefined
}

/** The options of `hub.expose`. */
export interface ExposeOptions extends NameOptions {
  /** Whether other processes may cancel the token. Default: false, they only see it cancelled. */
  readonly cancellable?: boolean | undefined
}

/** The options of `hub.lease`. */
export interface LeaseOptions extends NameOptions {
  /** How long the owner may be silent, in milliseconds, at least 100. */
  readonly ttl: number
  /**
   * How long to wait for the lease of another owner to end, and for an answer, in milliseconds. Default: 0: the call rejects at once if
   * there is another owner, and waits for a connection without limit.
   */
  readonly timeout?: number | undefined
}

/** A local token that other processes see. */
export interface Exposure extends Disposable {
  readonly name: string
  readonly runId: string
  /** Resolves when other processes can see the token, and the state of the hub has been read. */
  readonly ready: Promise<void>
  /** Resolves when the cancel of the token is stored. Pending until the token is cancelled. */
  readonly delivered: Promise<void>
  /** Ends the exposure; the token itself lives on. The same as its dispose. */
  close(): void
}

/**
 * Tokens by name. Made by `connectHub`.
 *
 * Timing: everything that does not return a promise works on local memory, connected or not.
 *
 * Errors: `TypeError` and `RangeError` for bad input; methods that return promises reject with them. {@link HubError} with a
 * `code`: `ERR_HUB_CLOSED`, `ERR_HUB_UNREACHABLE`, `ERR_HUB_AUTH`, `ERR_HUB_PROTOCOL`, `ERR_HUB_HELD`, `ERR_HUB_REFUSED`, `ERR_LEASE_HELD`.
 *
 * Memory: a token that is dropped is garbage, and other processes learn that it is gone. A token with listeners is kept. The hub
 * does not keep the process alive. Pending promises and undelivered cancels do.
 */
export interface TokenHub extends AsyncDisposable {
  readonly state: HubState

  /**
   * Returns a token of that name: a `CancellationToken` like any other, which is cancelled when any process cancels the name.
   *
   * Timing: returns at once; `await token.ready` waits until the state of the hub has been read. Each call makes a token of its own,
   * which is a holder of its own.
   *
   * With `replace`, start the task when `ready` has resolved. If the tokens before have not finished in time, `ready` rejects with
   * `ERR_HUB_HELD`, which names their processes, and the token is closed. The name stays cancelled then.
   *
   * @param name 1 to 256 bytes of UTF-8
   */
  open(name: string, options?: OpenOptions): RemoteToken

  /**
   * Cancels a name, with or without holders. Local tokens of the name are cancelled at once.
   *
   * Resolves with the receipt when the mark is stored. With `timeout` it resolves when all holders have finished or that time has
   * passed, whichever comes first, whatever happens to the connection. Without `timeout` it waits for a connection without limit.
   */
  cancel(name: string, reason?: unknown, options?: CancelOptions): Promise<Receipt>

  /**
   * Shows a local token, of any kind, to other processes under a name. When it is cancelled, their tokens of the name are cancelled
   * with its kind, reason and name.
   *
   * With `cancellable`, a cancel of the name calls `cancel(reason)` of the token.
   */
  expose(name: string, token: TokenOrSignal, options?: ExposeOptions): Exposure

  /** Resolves with the open and the marked tokens whose names begin with `prefix`, and with their holders. */
  list(prefix?: string): Promise<readonly Listing[]>

  /**
   * Forgets the mark of a name, and a lost lease of it. Tokens that are opened from now on are live. Open tokens stay as they are.
   *
   * The mark is forgotten for good: it does not come back if its canceller did not learn that it was stored, and offers it again. A
   * cancel that is stored for the first time afterwards counts.
   */
  forget(name: string, options?: NameOptions): Promise<void>

  /**
   * Takes the lease of a name. All tokens of the name live while this process renews the lease. When this process is silent for
   * longer than `ttl`, they are cancelled with kind `'lease'`, the token of the owner before all others.
   *
   * A token of the name that is opened after the loss is cancelled, until an owner takes the lease again. That begins a new term with
   * a higher `fence`. Closing the token of the lease releases the lease, and cancels no other token.
   *
   * Errors: `ERR_LEASE_HELD` while another owner has the lease; `ERR_HUB_UNREACHABLE` if no answer comes in time.
   */
  lease(name: string, options: LeaseOptions): Promise<LeaseToken>

  /** Calls `listener` with every event of the connection. */
  onEvent(listener: (event: HubEvent) => void): Registration

  /**
   * Delivers pending cancels, for at most `timeout` milliseconds (default 5,000), and ends the session. Tokens that are still open are
   * cancelled with kind `'dispose'`, because no later cancel could reach them. Exposed tokens are left as they are.
   *
   * Errors: `ERR_HUB_UNREACHABLE` if cancels were left undelivered.
   */
  close(options?: { readonly timeout?: number | undefined }): Promise<void>
}
