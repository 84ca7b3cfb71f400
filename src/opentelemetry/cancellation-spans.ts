/** The cancellations in the spans of the program, and in the spans of scopes and tasks. */
import { type Context, context, type Span, type SpanContext, trace as api, type Tracer } from '@opentelemetry/api'
import { isOurs } from '../core/errors.js'
import { each, type TokenNode } from '../core/graph.js'
import type { CancelEvent, Observer, ScopeEvent, TaskEvent, TaskOutcome } from '../core/observers.js'
import { readable } from '../core/reasons.js'
import { RemoteOrigin } from '../core/remote-origin.js'
import type { CancellationToken } from '../core/token.js'
import { addCancellation, type Facts, LONGEST, setError } from './cancellation-event.js'
import type { CancellationTreatment } from './policy.js'
import type { ScopeEnds } from './scope-ends.js'
import { SpanRegister } from './span-register.js'
import { contextOf } from './trace-parent.js'

/** Which spans are made. */
export interface Wanted {
  readonly tracer: Tracer
  readonly scopes: boolean
  readonly tasks: boolean
}

/** A span of a scope or of a task. */
interface OwnSpan {
  readonly span: Span
  /** The context in which the scope or the task runs. */
  readonly inside: Context
  /** The span that was active where it started. */
  readonly outer: Span | undefined
}

export class CancellationSpans implements Observer {
  readonly #register = new SpanRegister()
  readonly #own = new WeakMap<ScopeEvent | TaskEvent, OwnSpan>()
  readonly #ownSpans = new WeakSet<Span>()
  /** For each span, the cancellations of which it has an event, by the tokens where they started. */
  readonly #told = new WeakMap<Span, WeakSet<CancellationToken>>()
  /** When each reported cancellation happened, and the span of the code that cancelled, by the token where it started. */
  readonly #reported = new WeakMap<
    CancellationToken,
    { readonly at: number; readonly canceller: SpanContext | undefined }
  >()

  constructor(
    readonly treatmentOf: (kind: Facts['kind']) => CancellationTreatment,
    readonly wanted: Wanted,
    readonly ends: ScopeEnds,
  ) {}

  notice(token: CancellationToken): void {
    this.#register.notice(token)
  }

  cancel(event: CancelEvent): void {
    if (this.ends.isEnd(event)) return
    const { origin, kind, at } = event
    this.#reported.set(origin, { at, canceller: cancellerOf(event) })
    const treatment = this.treatmentOf(kind)
    if (treatment === 'ignore') return
    for (const [span, tokens] of this.#register.of(event)) {
      this.#tell(span, tokens, event)
      // A span that was made here gets its status at its end: code may succeed although its token was cancelled.
      if (treatment === 'error' && !this.#ownSpans.has(span)) setError(span, kind, event.error.message)
    }
  }

  scopeStart(scope: ScopeEvent): void {
    const { name, token } = scope
    // A token that the program has just combined has no listener yet. Its first would be that of a task, in the span of that task.
    each((token as TokenNode).sources, (parent) => this.#register.notice(parent as CancellationToken))
    if (this.wanted.scopes) this.#start(scope, name === undefined ? 'scope' : `scope ${name}`, name, context.active())
    else this.#register.set(token, api.getActiveSpan())
  }

  taskStart(task: TaskEvent): void {
    const parent = this.#contextFor(task)
    const { name } = task
    // Without the index of an item, because a backend groups spans by their names.
    if (this.wanted.tasks && name !== undefined) this.#start(task, `task ${name.replace(/\[\d+\]$/, '')}`, name, parent)
    else this.#register.set(task.token, api.getSpan(parent))
  }

  #start(event: ScopeEvent | TaskEvent, title: string, name: string | undefined, parent: Context): void {
    const attributes = name === undefined ? {} : { 'calloff.name': name }
    const span = this.wanted.tracer.startSpan(title, { attributes }, parent)
    this.#ownSpans.add(span)
    this.#own.set(event, { span, inside: api.setSpan(parent, span), outer: api.getSpan(parent) })
    this.#register.set(event.token, span)
  }

  /**
   * Returns the context for the span of a task: the active one, or the one with the span of the scope if the active span
   * is not inside that. It is not inside in an open scope, in browsers (the active span is lost at an `await`), and for a
   * task that had to wait, because the end of another task starts it.
   */
  #contextFor({ scope }: TaskEvent): Context {
    const active = context.active()
    const own = scope && this.#own.get(scope)
    const span = api.getSpan(active)
    if (!own || (span && span !== own.outer)) return active
    return api.setSpan(active, own.span)
  }

  around(event: ScopeEvent | TaskEvent, run: () => void): void {
    const own = this.#own.get(event)
    if (own) context.with(own.inside, run)
    else run()
  }

  scopeEnd(scope: ScopeEvent, outcome: TaskOutcome): void {
    this.#end(scope, outcome)
  }

  taskEnd(task: TaskEvent, outcome: TaskOutcome): void {
    this.#end(task, outcome)
  }

  #end(event: ScopeEvent | TaskEvent, { state, error }: TaskOutcome): void {
    const { token } = event
    const span = this.#register.get(token)
    const { kind, cancelledBy: origin } = token
    const treatment = kind && this.treatmentOf(kind)
    // A token without a listener notices late that it is cancelled.
    if (state === 'cancelled' && kind && origin && treatment !== 'ignore' && span?.isRecording()) {
      const isNew = this.#tell(span, [token], {
        kind,
        origin,
        reason: token.reason,
        at: this.#reported.get(origin)?.at,
      })
      if (isNew && treatment === 'error' && !this.#ownSpans.has(span)) setError(span, kind, token.error?.message ?? '')
    }
    const own = this.#own.get(event)?.span
    if (!own) return
    own.setAttribute('calloff.outcome', state)
    if (state === 'failed') {
      own.recordException(error as Error)
      setError(own, typeOf(error), readable(error, LONGEST))
    } else if (state === 'cancelled' && kind) {
      own.setAttribute('calloff.kind', kind)
      if (treatment === 'error') setError(own, kind, token.error?.message ?? '')
    }
    own.end()
  }

  /** Adds the event, unless the span has it. Returns whether it has added it. */
  #tell(span: Span, tokens: readonly CancellationToken[], facts: Facts): boolean {
    let told = this.#told.get(span)
    if (!told) this.#told.set(span, (told = new WeakSet()))
    if (told.has(facts.origin)) return false
    told.add(facts.origin)
    addCancellation(span, tokens, facts)
    const canceller = this.#reported.get(facts.origin)?.canceller
    if (canceller && canceller.traceId !== span.spanContext().traceId) {
      span.addLink({ context: canceller, attributes: { 'calloff.kind': facts.kind } })
    }
    return true
  }
}

/** Returns the `error.type` of a failure. */
function typeOf(error: unknown): string {
  if (isOurs(error)) return error.kind
  try {
    const { name } = Object(error) as { name?: unknown }
    return typeof name === 'string' && name !== '' ? name : '_OTHER'
  } catch {
    return '_OTHER' // a getter or a proxy that throws
  }
}

/** The kinds for which the active span is that of the code that cancels. For a timer, for example, the active span says nothing. */
const BY_CODE: ReadonlySet<string> = new Set<Facts['kind']>(['manual', 'dispose', 'superseded'])

/** Returns the span of the code that has cancelled, here or in another process. */
function cancellerOf({ kind, origin }: CancelEvent): SpanContext | undefined {
  if (origin instanceof RemoteOrigin) return origin.trace === undefined ? undefined : contextOf(origin.trace)
  return BY_CODE.has(kind) ? api.getActiveSpan()?.spanContext() : undefined
}
