/**
 * An engine in memory, for tests of code that uses a hub: the store of the embedded server, without a socket, a file or a thread. It
 * uses the clock of calloff, so a manual clock drives it.
 */
import { now, soon } from '../../core/clock.js'
import type { CancellationToken } from '../../core/token.js'
import { LinkBase } from '../adapter/link-base.js'
import { type Opening, openLink } from '../adapter/open-link.js'
import type {
  Acquired,
  Engine,
  HolderRecord,
  Link,
  LinkEvents,
  MarkRecord,
  Session,
  Topic,
  TopicReport,
  TopicState,
} from '../contract/engine.js'
import { HubError } from '../contract/errors.js'
import type { Change } from '../server/changes.js'
import { Store } from '../server/store.js'
import type { Watcher } from '../server/topics.js'

/** An engine in memory. All hubs over the same engine share its memory. */
export interface MemoryEngine extends Engine {
  /** Cuts all connections, as a network failure does. The hubs reconnect. */
  cut(): void
  /** Cuts all connections and accepts none until `start`: connecting rejects with `ERR_HUB_UNREACHABLE`. Does nothing if the engine is stopped. */
  stop(): void
  /**
   * Accepts connections again, as a server that was restarted with its journal does: marks and leases are kept, and hubs enter their
   * tokens again. Does nothing if the engine is not stopped.
   */
  start(): void
}

const NO_LIMITS = { marks: Infinity, names: Infinity }

class Memory implements MemoryEngine {
  readonly place = 'memory'
  readonly inOrder = true
  /** Absent while the engine is stopped. */
  #store: Store | undefined = new Store(NO_LIMITS)
  /** The durable state while the engine is stopped. */
  #kept: readonly Change[] = []
  #restartedAt: number | undefined
  readonly #openings = new Set<Opening>()

  connect(session: Session, events: LinkEvents, token: CancellationToken): Promise<Link> {
    return openLink(this, session, events, token, async (opening) => {
      const store = this.#store
      if (!store) throw new HubError('ERR_HUB_UNREACHABLE', `${this.place}: the engine has been stopped`)
      this.#openings.add(opening)
      opening.own(opening, () => void this.#openings.delete(opening))
      return new MemoryLink(opening, store, this.#restartedAt)
    })
  }

  /** All other errors are bugs: there is no client library whose errors need a kind. */
  classify(): 'refused' {
    return 'refused'
  }

  cut(): void {
    for (const opening of this.#openings)
      opening.lost(new HubError('ERR_HUB_UNREACHABLE', 'memory: the connection was cut'))
  }

  stop(): void {
    const store = this.#store
    if (!store) return
    this.#store = undefined
    this.cut()
    this.#kept = [...store.changes()]
    store.close()
  }

  start(): void {
    if (this.#store) return
    this.#store = new Store(NO_LIMITS, undefined, this.#kept)
    this.#kept = []
    this.#restartedAt = now()
  }
}

class MemoryLink extends LinkBase implements Link {
  readonly sinceRestart: number | undefined
  readonly #watcher: Watcher

  constructor(
    opening: Opening,
    private readonly store: Store,
    restartedAt: number | undefined,
  ) {
    super(opening)
    this.sinceRestart = restartedAt === undefined ? undefined : now() - restartedAt
    this.#watcher = {
      // Later, as over a network: a cancel must not run the listeners of other hubs.
      notice: (state) => soon(() => this.notice(state)),
      replaced: () => opening.lost(new HubError('ERR_HUB_PROTOCOL', 'another connection has taken over the session')),
    }
    store.attach(this.session, this.#watcher)
  }

  protected override ended(): void {
    this.store.detach(this.session.id, this.#watcher)
  }

  /** Calls the store, synchronously. */
  #do<T>(what: (store: Store, session: string) => T | Promise<T>): Promise<T> {
    return this.ask(async () => what(this.store, this.session.id))
  }

  enter(holders: readonly HolderRecord[]): Promise<readonly TopicState[]> {
    return this.#do((store, session) => store.enter(session, this.#watcher, holders))
  }

  leave(ids: readonly number[]): Promise<void> {
    return this.#do((store, session) => store.leave(session, ids))
  }

  read(topics: readonly Topic[]): Promise<readonly TopicState[]> {
    return this.#do((store) => store.read(topics))
  }

  mark(topic: Topic, mark: MarkRecord, ttl: number): Promise<MarkRecord> {
    return this.#do((store) => store.mark(topic, mark, ttl))
  }

  list(what: { readonly prefix: string } | { readonly topic: Topic }): Promise<readonly TopicReport[]> {
    return this.#do((store) => store.list(what))
  }

  forget(topic: Topic): Promise<void> {
    return this.#do((store) => store.forget(topic))
  }

  beat(): Promise<boolean> {
    return this.#do((store, session) => store.beat(session))
  }

  acquire(topic: Topic, owner: string, ttl: number): Promise<Acquired> {
    return this.#do((store) => store.acquire(topic, owner, ttl))
  }

  renew(topic: Topic, fence: number, _ttl: number): Promise<boolean> {
    return this.#do((store) => store.renew(topic, fence))
  }

  release(topic: Topic, fence: number): Promise<void> {
    return this.#do((store) => store.release(topic, fence))
  }

  bye(): Promise<void> {
    return this.#do((store, session) => store.bye(session))
  }
}

/**
 * Returns an engine in memory, for unit tests of code that uses a hub. Pass it to `connectHub` instead of a URL. It starts no socket,
 * server or thread, and `manualClock()` drives it.
 *
 * Several hubs over one engine share its memory, as several processes share a server. The stored data lives as long as the engine.
 *
 * @example
 * ```ts
 * import { connectHub } from 'calloff/remote'
 * import { memoryEngine } from 'calloff/testing'
 *
 * const engine = memoryEngine()
 * await using here = await connectHub(engine)
 * await using there = await connectHub(engine)
 * const token = there.open('report-7')
 * await here.cancel('report-7', 'no longer wanted')
 * console.log((await token.wait()).cause) // → no longer wanted
 * ```
 */
export function memoryEngine(): MemoryEngine {
  return new Memory()
}
