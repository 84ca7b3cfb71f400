/**
 * Cancels on their way to the engine. Each is kept, and offered over every new link, until the engine has stored it.
 *
 * Invariants
 * CO1. One cancel of a topic is offered at a time. The next one waits for its answer.
 * CO2. A cancel stands for a later one of its topic only if it has not been offered yet. An offered cancel may be stored already, and may be
 *      forgotten before the later cancel is made, which therefore needs a mark of its own.
 */
import { after } from '../../core/clock.js'
import type { Cancellation } from '../../core/graph.js'
import type { Link, MarkRecord, Topic } from '../contract/engine.js'
import { errorFrom } from '../contract/errors.js'
import type { HubEvent } from '../contract/hub.js'
import { type Connection, RETRY_REFUSED } from './connection.js'
import { type PendingCancel, PendingCancels } from './pending-cancels.js'

export class CancelOutbox extends PendingCancels {
  readonly #connection: Connection
  readonly #stored: (pending: PendingCancel, mark: MarkRecord) => void
  readonly #tell: (event: HubEvent) => void
  /** Functions that stop the timers of refused cancels. */
  readonly #pauses = new Map<PendingCancel, () => void>()

  /** @param stored is called before the promise of the cancel settles. */
  constructor(
    connection: Connection,
    stored: (pending: PendingCancel, mark: MarkRecord) => void,
    tell: (event: HubEvent) => void,
  ) {
    super()
    this.#connection = connection
    this.#stored = stored
    this.#tell = tell
  }

  /** Returns the pending cancel, or the earlier one that stands for it (CO2). */
  override add(topic: Topic, record: MarkRecord, ttl: number, cancellation: Cancellation | undefined): PendingCancel {
    const last = this.of(topic).at(-1)
    if (last?.isOffered === false) return last
    return super.add(topic, record, ttl, cancellation)
  }

  protected override added(pending: PendingCancel): void {
    if (this.isFirst(pending)) this.#offer(pending)
  }

  /** There is a new link. */
  opened(): void {
    for (const pending of this.all) if (this.isFirst(pending)) this.#offer(pending)
  }

  override close(): void {
    for (const stop of this.#pauses.values()) stop()
    this.#pauses.clear()
    super.close()
  }

  #offer(pending: PendingCancel): void {
    this.#pauses.get(pending)?.()
    this.#pauses.delete(pending)
    const { link } = this.#connection
    if (!link) return
    pending.isOffered = true
    void this.#send(pending, link)
  }

  async #send(pending: PendingCancel, over: Link): Promise<void> {
    const { topic, record, ttl, stored } = pending
    try {
      const mark = await this.#connection.call((link) => link.mark(topic, record, ttl))
      if (!this.isFirst(pending)) return
      const next = this.remove(pending)
      if (next) this.#offer(next)
      this.#stored(pending, mark)
      stored.resolve(mark)
    } catch (error) {
      // Over a later link it is offered anyway.
      if (this.#connection.link !== over || !this.isFirst(pending)) return
      this.#pauses.set(
        pending,
        after(RETRY_REFUSED, () => this.#offer(pending), false),
      )
      this.#tell({ type: 'refused', name: topic.name, error: errorFrom(error) })
    }
  }
}
