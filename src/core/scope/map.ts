/** Runs a task for each item of a source, a limited number at a time: `map` keeps the results in order. */
import { iterate } from '../iterate.js'
import { type CancellationToken, SimpleToken } from '../token.js'
import type { TokenLike } from '../tokens/from.js'
import type { Gate, Limit } from './limit.js'
import { type ScopeState, submit, failUnlessCancelled, nothing } from './scope-state.js'

/** The options of `map`. */
export interface MapOptions {
  /**
   * How many items may run at once, or a limit that is shared. The limit of the scope holds as well. Default: the limit
   * of the scope.
   */
  readonly concurrency?: number | Limit | undefined
  /** The name of the tasks in reports, each with its index. Default: the name of the function. */
  readonly name?: string | undefined
  /**
   * A token, or any other value that `from` takes. Its cancellation ends this call alone: the running items are
   * cancelled, the source is closed, and the call rejects with the token's error. This is no failure of the scope.
   */
  readonly token?: TokenLike
}

export type MapTask<T, R> = (item: T, token: CancellationToken, index: number) => R | PromiseLike<R>

/** What `map` and `stream` have in common. */
export interface Flow<T, R> {
  readonly state: ScopeState
  /** The parent of the tokens of the items. */
  readonly parent: CancellationToken
  /** The source is closed with this token. */
  readonly feed: CancellationToken
  /**
   * Where running items are cancelled alone, and not those that have ended, whose results may be in use: the parents of
   * their tokens, one for each.
   */
  readonly running?: Set<SimpleToken>
  readonly items: AsyncIterable<T> | Iterable<T>
  readonly task: MapTask<T, R>
  /** How many items are under way at once, and what their tasks need a place of. */
  readonly limit: number
  readonly gates: readonly Gate[]
  readonly name: string | undefined
  readonly place: Error | undefined
}

interface Thrown {
  readonly error: unknown
}

/**
 * Pulls an item when its task may start, and not before. A failed item cancels the scope, which ends the pulling and
 * closes the source.
 */
export class Pump<T, R> {
  /** The first failure of an item, and the first cancellation of one. The failure says more. */
  failure: Thrown | undefined
  cancelled: Thrown | undefined
  isPulling = false
  private isStopped = false
  private running = 0
  /** Items that are under way: whose tasks run, or whose results were not taken. */
  private underWay = 0
  private wake = nothing

  constructor(
    readonly flow: Flow<T, R>,
    private readonly give: (value: R, index: number) => void,
    /** Called when no further item is pulled because one, or the source, has failed or was cancelled. */
    private readonly cut: () => void = nothing,
  ) {}

  /** Resolves when no item will be pulled any more, and the tasks of all items have settled. */
  async run(): Promise<void> {
    const { items, limit, feed } = this.flow
    try {
      const source = iterate(feed, items)[Symbol.asyncIterator]()
      for (let index = 0; ; index++) {
        while (this.underWay >= limit && !this.isOver) await this.change()
        if (this.isOver) {
          // An item may have cancelled only itself, so that nothing has closed the source.
          await source.return?.()
          break
        }
        this.isPulling = true
        const next = await source.next()
        this.isPulling = false
        if (next.done) break
        this.start(next.value, index)
      }
    } catch (error) {
      this.refuse(error, feed)
    }
    while (this.running) await this.change()
  }

  /** The result of an item was taken, which makes room for another item. */
  taken(): void {
    this.underWay--
    this.wake()
  }

  /** Pulls no further item. An error is that of a cancellation. */
  stop(cancelled?: Thrown): void {
    this.cancelled ??= cancelled
    this.isStopped = true
    this.wake()
  }

  /** Whether no further item is pulled. */
  get isOver(): boolean {
    return this.isStopped || !!this.failure || !!this.cancelled
  }

  private change(): Promise<void> {
    return new Promise((resolve) => {
      this.wake = resolve
    })
  }

  private start(item: T, index: number): void {
    const { state, gates, task, name, place, running } = this.flow
    const parent = running ? new SimpleToken(this.flow.parent) : this.flow.parent
    running?.add(parent)
    this.running++
    this.underWay++
    const resolve = (value: R) => {
      this.running--
      running?.delete(parent)
      this.give(value, index)
      this.wake()
    }
    const reject = (error: unknown, token: CancellationToken) => {
      this.running--
      running?.delete(parent)
      this.refuse(error, token)
      this.taken()
    }
    submit<R>(state, { parent, gates, task: (token) => task(item, token, index), name, index, place, resolve, reject })
  }

  private refuse(error: unknown, token: CancellationToken): void {
    if (failUnlessCancelled(this.flow.state, error, token)) this.failure ??= { error }
    else this.cancelled ??= { error }
    this.cut()
  }
}

/** The promise settles when the running items have settled. */
export async function map<T, R>(flow: Flow<T, R>): Promise<R[]> {
  const results: R[] = []
  const pump = new Pump(flow, (value, index) => {
    results[index] = value
    pump.taken()
  })
  await pump.run()
  const thrown = pump.failure ?? pump.cancelled
  if (thrown) throw thrown.error
  return results
}
