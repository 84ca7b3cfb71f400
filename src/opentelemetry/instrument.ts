import { type Meter, metrics, trace as api, type Tracer } from '@opentelemetry/api'
import { type NamesOf, optional, optionsOf, wrongType } from '../core/arguments.js'
import { trace } from '../core/observers.js'
import { carryTraces } from '../core/trace-context.js'
import { CancellationSpans } from './cancellation-spans.js'
import { Measures } from './measures.js'
import { type CancellationPolicy, policyOf } from './policy.js'
import { ScopeEnds } from './scope-ends.js'
import { currentTraceParent } from './trace-parent.js'

/** The options of `instrument`. */
export interface InstrumentOptions {
  /** Makes the spans of scopes and tasks. Default: the tracer `calloff` of the global provider. */
  readonly tracer?: Tracer | undefined
  /**
   * Makes the metrics. Default: the meter `calloff` of the global provider. Set the provider before `instrument` is called:
   * a provider that is set later gets no metrics.
   */
  readonly meter?: Meter | undefined
  /**
   * How cancellations are shown, by their kinds. Default: `timeout` and `lease` are errors, because no code asked for
   * them. All other kinds are intended, and leave the status of a span as it is.
   */
  readonly policy?: CancellationPolicy | undefined
  /** Whether each scope gets a span. Default: false. */
  readonly scopes?: boolean | undefined
  /** Whether each task that has a name gets a span. A function gives its name to the task. Default: false. */
  readonly tasks?: boolean | undefined
}

const OPTIONS: NamesOf<InstrumentOptions> = ['tracer', 'meter', 'policy', 'scopes', 'tasks']

/**
 * Shows cancellations in the spans and the metrics of OpenTelemetry, for this thread and this copy of the package.
 * Disposing what it returns stops that. Spans of scopes and tasks that are open at that moment are then never ended.
 *
 * Each cancellation adds an event `cancellation` to a span, with these attributes: `calloff.kind`,
 * `calloff.cancelled_by` (the name of the token where it started, else its text), `calloff.reason` (as text),
 * `calloff.path` (the names of the tokens from there to the token of the span) and `calloff.remaining` (the milliseconds
 * that were left until the deadline, if there was one and it had not passed). Texts are cut at 256 characters.
 *
 * Which span: a token belongs to the span that was active when it got its name, or its first listener or signal. The
 * token of a scope or a task belongs to the span in which the scope or the task has started, or to its own span. The
 * span of each token that the cancellation reaches gets the event. So the span of the task that a deadline cancels gets
 * the event of that deadline, whichever span is active when the timer fires. If no token belongs to a span, the active span
 * gets the event. A span that has ended gets no event.
 *
 * Status: `policy` decides it. A span of the program gets the status when the cancellation comes. A span of a scope or a
 * task gets it at its end: the status is unset if the code has succeeded.
 *
 * Over a hub: a cancel carries the trace of the code that cancels (W3C `traceparent`). The span of a token that this cancel
 * reaches in another process gets a link to that trace.
 *
 * Metrics: the counter `calloff.cancellations`, by `calloff.kind`; the histogram `calloff.scope.stop.duration` (seconds from
 * the cancellation of a scope to its end); the up-down counters `calloff.active_tasks` and `calloff.stuck_scopes`.
 *
 * Memory: running tasks and stuck scopes are held until they end. No other token is kept alive.
 *
 * @throws TypeError if an option has the wrong type, or if `policy` has a kind or a treatment that does not exist
 *
 * @example
 * ```ts
 * import { SimpleToken } from 'calloff'
 * import { instrument } from 'calloff/opentelemetry'
 *
 * using _ = instrument({ policy: { disconnect: 'ignore' } })
 * new SimpleToken({ name: 'upload' }).cancel('the user pressed stop')
 * ```
 */
export function instrument(options?: InstrumentOptions): Disposable {
  const given = optionsOf(options, OPTIONS)
  const { tracer = api.getTracer('calloff'), meter = metrics.getMeter('calloff') } = given
  if (!hasMethod(tracer, 'startSpan')) throw wrongType('tracer', 'a tracer', tracer)
  if (!hasMethod(meter, 'createCounter')) throw wrongType('meter', 'a meter', meter)
  const scopes = optional('scopes', 'boolean', given.scopes) ?? false
  const tasks = optional('tasks', 'boolean', given.tasks) ?? false
  const ends = new ScopeEnds()
  const spans = new CancellationSpans(policyOf(given.policy), { tracer, scopes, tasks }, ends)
  const measures = new Measures(meter, ends)
  const all = [ends, spans, measures].map((observer) => trace(observer))
  const stopCarrying = carryTraces(currentTraceParent)
  return {
    [Symbol.dispose]() {
      stopCarrying()
      for (const one of all) one[Symbol.dispose]()
      measures[Symbol.dispose]()
    },
  }
}

function hasMethod(value: unknown, name: string): boolean {
  return typeof value === 'object' && value !== null && typeof (value as Record<string, unknown>)[name] === 'function'
}
