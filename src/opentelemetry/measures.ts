/** The metrics. */
import type { Counter, Histogram, Meter, UpDownCounter } from '@opentelemetry/api'
import { now } from '../core/clock.js'
import type { CancelEvent, Observer, ScopeEvent, TaskEvent } from '../core/observers.js'
import type { StuckReport } from '../core/scope/unfinished.js'
import type { CancellationToken } from '../core/token.js'
import type { ScopeEnds } from './scope-ends.js'

/** Seconds. A scope stops within milliseconds, or waits for what cannot be stopped. */
const BOUNDARIES = [0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

export class Measures implements Observer, Disposable {
  readonly #cancellations: Counter
  readonly #durations: Histogram
  readonly #activeTasks: UpDownCounter
  readonly #stuckScopes: UpDownCounter
  /** The moment of each cancellation, by the token where it started. */
  readonly #times = new WeakMap<CancellationToken, number>()
  /** The running tasks. A task that is here when the metrics end is subtracted. */
  readonly #tasks = new Set<TaskEvent>()
  readonly #scopes = new WeakSet<CancellationToken>()
  readonly #stuck = new Set<CancellationToken>()

  constructor(
    meter: Meter,
    readonly ends: ScopeEnds,
  ) {
    this.#cancellations = meter.createCounter('calloff.cancellations', {
      description: 'Cancellations, by their kinds.',
      unit: '{cancellation}',
    })
    this.#durations = meter.createHistogram('calloff.scope.stop.duration', {
      description: 'The time from the cancellation of a scope until everything in it has ended.',
      unit: 's',
      advice: { explicitBucketBoundaries: BOUNDARIES },
    })
    this.#activeTasks = meter.createUpDownCounter('calloff.active_tasks', {
      description: 'Tasks of scopes that run.',
      unit: '{task}',
    })
    this.#stuckScopes = meter.createUpDownCounter('calloff.stuck_scopes', {
      description: 'Scopes that were cancelled, have not ended within their stuckAfter, and still go on.',
      unit: '{scope}',
    })
  }

  cancel(event: CancelEvent): void {
    if (this.ends.isEnd(event)) return
    this.#times.set(event.origin, event.at)
    this.#cancellations.add(1, { 'calloff.kind': event.kind })
  }

  scopeStart({ token }: ScopeEvent): void {
    this.#scopes.add(token)
  }

  scopeEnd({ token }: ScopeEvent): void {
    if (this.#stuck.delete(token)) this.#stuckScopes.add(-1)
    const { cancelledBy, kind } = token
    const at = cancelledBy && this.#times.get(cancelledBy)
    if (at !== undefined) this.#durations.record(Math.max(0, now() - at) / 1_000, { 'calloff.kind': kind })
  }

  stuck({ token }: StuckReport): void {
    if (!this.#scopes.has(token)) return
    this.#stuck.add(token)
    this.#stuckScopes.add(1)
  }

  taskStart(task: TaskEvent): void {
    this.#tasks.add(task)
    this.#activeTasks.add(1)
  }

  taskEnd(task: TaskEvent): void {
    if (this.#tasks.delete(task)) this.#activeTasks.add(-1)
  }

  /** Subtracts the tasks and scopes that are still counted, because their ends will not be reported. */
  [Symbol.dispose](): void {
    if (this.#tasks.size > 0) this.#activeTasks.add(-this.#tasks.size)
    if (this.#stuck.size > 0) this.#stuckScopes.add(-this.#stuck.size)
    this.#tasks.clear()
    this.#stuck.clear()
  }
}
