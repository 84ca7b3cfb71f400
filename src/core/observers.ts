/** Observers: code that is told what happens and changes nothing, such as tracing, metrics and an inspector. */
import { wrongType } from './arguments.js'
import { now } from './clock.js'
import { type CancellationError, type CancellationKind, isCancellation } from './errors.js'
import { type Cancellation, errorOf, GraceCancellation, type TokenNode } from './graph.js'
import { type LateOperation, type Reports, reportTo } from './observation.js'
import type { ScopeState, SubmittedTask } from './scope/scope-state.js'
import { describeTask, emitWarning, lineOf, nameOf, type StuckReport, type UnfinishedTask } from './scope/unfinished.js'
import type { CancellationToken } from './token.js'
import { tracer } from './traces.js'

/** A new cancellation. */
export interface CancelEvent {
  /** The first token that the cancellation has reached. For one that started here, it is the token where it started. */
  readonly token: CancellationToken
  /** The token where the cancellation started: `error.token`. It may stand for a token of another process. */
  readonly origin: CancellationToken
  /** Why, in one word: `error.kind`. */
  readonly kind: CancellationKind
  /** What was given as the reason, of any type: `error.cause`. */
  readonly reason: unknown
  /** The moment when it happened, in milliseconds as `performance.now()` gives them. It may be noticed later. */
  readonly at: number
  /**
   * How many tokens it has reached at once: `token`, and those that derive from it and have a listener. Other tokens
   * that derive from it find out when they are polled.
   */
  readonly reached: number
  /** Returns the tokens that it has reached at once: parents come before the tokens that derive from them. */
  tokens(): CancellationToken[]
  /**
   * The one error of this cancellation, the same that every token gives. It is made when it is first read. If that is
   * while the observer is called, its stack shows the code that has cancelled.
   */
  readonly error: CancellationError
  /**
   * For a deadline: the stack of the code that made it, one frame a line. Undefined for other kinds, and if there was no
   * observer with `deadlines: true` when the deadline was made.
   */
  readonly madeAt: string | undefined
}

/** A failure that reaches no caller, because it comes after the operation has settled. */
export interface LateErrorEvent {
  /** What the task has thrown. */
  readonly error: unknown
  /** The operation that has dropped the error. */
  readonly operation: LateOperation
  /** The token of the operation. */
  readonly token: CancellationToken
}

/** A scope. An observer gets the same object at the start and at the end. */
export interface ScopeEvent {
  /** The scope's own token. */
  readonly token: CancellationToken
  /** The name of the scope. */
  readonly name: string | undefined
  /** The moment of the start, in milliseconds as `performance.now()` gives them. */
  readonly since: number
  /** Where it was started, as a line of a stack. */
  readonly startedAt: string | undefined
  /** Whether the body, or the block of an open scope, has not ended. */
  readonly isBodyRunning: boolean
  /** Returns the tasks that have not settled, in the order in which they were passed to the scope. */
  unfinished(): UnfinishedTask[]
}

/** A task of a scope. An observer gets the same object at the start and at the end. */
export interface TaskEvent {
  /** The task's own token. */
  readonly token: CancellationToken
  /** The scope of the task. Undefined if the scope was started before there was an observer. */
  readonly scope: ScopeEvent | undefined
  /** The given name, else the name of the function. For an item of `map`, it ends with the index. */
  readonly name: string | undefined
  /** The moment of the start, in milliseconds as `performance.now()` gives them. */
  readonly since: number
  /** Where it was passed to the scope, as a line of a stack. Undefined for a scope with `trace: false`. */
  readonly startedAt: string | undefined
}

/** How a task, or a scope, has ended. A cancellation of its own token is not a failure. */
export interface TaskOutcome {
  readonly state: 'succeeded' | 'failed' | 'cancelled'
  /** What it has thrown. Undefined if it has succeeded. */
  readonly error: unknown
}

/**
 * Code that is told what happens. Each method is optional, and is called in the tick of the event. What a method returns is
 * ignored. If a method throws, or returns a promise that rejects, the library goes on, and warns once for each observer: by a
 * warning of the process (`ObserverWarning`), or on the console of a runtime that has no such warnings.
 */
export interface Observer {
  /**
   * A token was cancelled. This is called once for each cancellation, however many tokens it reaches. At that moment all
   * tokens that it reaches at once are cancelled, and none of their listeners was called yet. A deadline that passes is
   * reported when a poll, or the timer of a listener, notices it. `grace` repeats a cancellation, and is not reported.
   */
  cancel?(event: CancelEvent): void
  /**
   * A task has failed after its race, or other operation, has settled. Nothing else reports this failure. A cancellation
   * is not a failure.
   */
  lateError?(event: LateErrorEvent): void
  /** A scope with `stuckAfter` has not stopped in time. This is called just before `onStuck`. */
  stuck?(report: StuckReport): void
  /** A scope has started. Its body was not called yet. */
  scopeStart?(scope: ScopeEvent): void
  /** A scope has ended: its body and all its tasks have settled. Its start was reported to an observer. */
  scopeEnd?(scope: ScopeEvent, outcome: TaskOutcome): void
  /** A task has started. A task that waits for its turn is reported when it starts. */
  taskStart?(task: TaskEvent): void
  /** A task has settled. Its start was reported to an observer. */
  taskEnd?(task: TaskEvent, outcome: TaskOutcome): void
  /**
   * Starts the body of a scope, or a task, by a call of `run`, which returns when the synchronous part has returned. So
   * an observer can set a context for the task (`AsyncLocalStorage.run`). If the observer does not call `run`, the
   * library does. A further call of `run` does nothing. `run` never throws. For an open scope `run` does nothing, because
   * the library does not call its block.
   */
  around?(event: ScopeEvent | TaskEvent, run: () => void): void
  /**
   * A token has got its first listener or signal, or is being made with a name. Such a token is not complete yet: read it
   * later. Keep a `WeakRef` of it: an observer that holds the token keeps it alive.
   */
  notice?(token: CancellationToken): void
  /**
   * Whether the library records where each deadline is made, for `CancelEvent.madeAt`. That takes about 2 µs for each
   * `TimeoutToken`. Default: false.
   */
  readonly deadlines?: boolean
}

const METHODS = [
  'cancel',
  'lateError',
  'stuck',
  'scopeStart',
  'scopeEnd',
  'taskStart',
  'taskEnd',
  'around',
  'notice',
] as const

interface Entry {
  readonly observer: Observer
  readonly deadlines: boolean
  isMuted: boolean
  isRemoved: boolean
}

/** The observers, in the order in which they were added. It is replaced at each change, so that a loop over it goes on. */
let observers: readonly Entry[] = []

/**
 * Adds an observer, for this thread and this copy of the package. Disposing what it returns removes the observer.
 * Observers are called in the order in which they were added. An observer is told nothing that happened before.
 *
 * Cost: without an observer, each cancellation, scope and task, and the first listener of a token, cost one check. Polling
 * a token, deriving one and adding a further listener cost nothing.
 * Memory: the library holds the observer until it is removed. What an observer gets holds the token.
 *
 * @throws TypeError if `observer` is no object, or if a member of it has the wrong type
 *
 * @example
 * ```ts
 * import { SimpleToken, trace } from 'calloff'
 *
 * const request = new SimpleToken({ name: 'request' })
 * {
 *   using _ = trace({ cancel: ({ kind, reason, origin }) => console.log(kind, origin.name, reason) })
 *   request.cancel('the client has left') // → manual request the client has left
 * }
 * new SimpleToken().cancel() // no observer any more
 * ```
 */
export function trace(observer: Observer): Disposable {
  if (typeof observer !== 'object' || observer === null) throw wrongType('observer', 'an object', observer)
  for (const name of METHODS) {
    const method: unknown = observer[name]
    if (method !== undefined && typeof method !== 'function') throw wrongType(`observer.${name}`, 'a function', method)
  }
  const { deadlines } = observer
  if (deadlines !== undefined && typeof deadlines !== 'boolean') {
    throw wrongType('observer.deadlines', 'a boolean', deadlines)
  }
  const entry: Entry = { observer, deadlines: deadlines ?? false, isMuted: false, isRemoved: false }
  const change = (next: typeof observers) => {
    observers = next
    keepsPlaces = observers.some((one) => one.deadlines)
    reportTo(observers.length ? toObservers : undefined)
  }
  change([...observers, entry])
  return {
    [Symbol.dispose]() {
      entry.isRemoved = true
      change(observers.filter((one) => one !== entry))
    },
  }
}

/** Calls one method of each observer, but for those that were removed meanwhile. */
function tell(call: (observer: Observer) => unknown, entries: readonly Entry[] = observers): void {
  for (const entry of entries) tellOne(entry, call)
}

function tellOne(entry: Entry, call: (observer: Observer) => unknown): void {
  if (entry.isRemoved) return
  try {
    const result = call(entry.observer)
    if (result !== undefined) void Promise.resolve(result).then(undefined, (error: unknown) => warn(entry, error))
  } catch (error) {
    warn(entry, error)
  }
}

function warn(entry: Entry, error: unknown): void {
  if (entry.isMuted) return
  entry.isMuted = true
  let text = 'an observer of calloff has failed'
  try {
    text += `: ${String((Object(error) as Error).stack ?? error)}`
  } catch {
    // It has no text.
  }
  emitWarning(text, 'ObserverWarning', 'CALLOFF_OBSERVER')
}

// ---- What observers get

class ReportedCancel implements CancelEvent {
  readonly token: CancellationToken
  readonly reached: number
  readonly #cancellation: Cancellation
  readonly #nodes: readonly TokenNode[]

  /** `nodes` has those that were reached, and perhaps others. */
  constructor(node: TokenNode, cancellation: Cancellation, nodes: readonly TokenNode[]) {
    this.token = node as CancellationToken
    this.#cancellation = cancellation
    this.#nodes = nodes
    let count = 0
    for (const { outcome } of nodes) if (outcome === cancellation) count++
    this.reached = count
  }

  tokens(): CancellationToken[] {
    return this.#nodes.filter(({ outcome }) => outcome === this.#cancellation) as CancellationToken[]
  }

  get origin(): CancellationToken {
    return this.#cancellation.origin as CancellationToken
  }

  get kind(): CancellationKind {
    return this.#cancellation.kind
  }

  get reason(): unknown {
    return this.#cancellation.reason
  }

  get at(): number {
    return this.#cancellation.at
  }

  get error(): CancellationError {
    return errorOf(this.#cancellation, telling ? reached : undefined)
  }

  get madeAt(): string | undefined {
    const { origin, kind } = this.#cancellation
    return kind === 'timeout' ? framesOf(places.get(origin)) : undefined
  }
}

class ReportedScope implements ScopeEvent {
  readonly since: number = now()
  readonly token: CancellationToken
  /** Those that hear of the end. */
  readonly #heardBy = observers
  readonly #state: ScopeState
  readonly #place: Error | undefined

  constructor(state: ScopeState, place: Error | undefined) {
    this.token = state.token
    this.#state = state
    this.#place = place
  }

  get name(): string | undefined {
    return this.token.name
  }

  get startedAt(): string | undefined {
    return lineOf(this.#place)
  }

  get isBodyRunning(): boolean {
    return this.#state.isBodyRunning
  }

  unfinished(): UnfinishedTask[] {
    return Array.from(this.#state.tasks, describeTask)
  }

  end(outcome: TaskOutcome): void {
    tell((observer) => observer.scopeEnd?.(this, outcome), this.#heardBy)
  }
}

class ReportedTask implements TaskEvent {
  readonly since: number = now()
  readonly token: CancellationToken
  readonly #heardBy = observers
  readonly #task: SubmittedTask

  constructor(task: SubmittedTask, token: TokenNode) {
    this.token = token as CancellationToken
    this.#task = task
  }

  get scope(): ScopeEvent | undefined {
    return this.#task.state.event
  }

  get name(): string | undefined {
    return nameOf(this.#task)
  }

  get startedAt(): string | undefined {
    return lineOf(this.#task.given.place)
  }

  end(outcome: TaskOutcome): void {
    tell((observer) => observer.taskEnd?.(this, outcome), this.#heardBy)
  }
}

/** Where deadlines were made, while an observer asks for it. */
const places = new WeakMap<TokenNode, { readonly stack?: unknown }>()
let keepsPlaces = false

/** Returns the frames of a stack, without the message that V8 puts before them. */
function framesOf(place: { readonly stack?: unknown } | undefined): string | undefined {
  const stack = place?.stack // it has another type where a program prepares stacks
  return typeof stack === 'string' ? stack.replace(/^\w*Error.*\n/, '').replaceAll(/^ +/gm, '') : undefined
}

// ---- What the library reports

/** How many calls of `reached` are running. Stacks begin with the caller of it, so that they show the code that has cancelled. */
let telling = 0

/** The new cancellations that were recorded and not reported yet, each with the first node that has it. */
let fresh: (readonly [TokenNode, Cancellation])[] = []

function reached(nodes: readonly TokenNode[]): void {
  const all = fresh
  if (!all.length) return
  fresh = []
  telling++
  for (const [node, cancellation] of all) {
    const event = new ReportedCancel(node, cancellation, nodes)
    tell((observer) => observer.cancel?.(event))
  }
  telling--
}

const toObservers: Reports = {
  recorded(node, cancellation) {
    if (!(cancellation instanceof GraceCancellation)) fresh.push([node, cancellation])
  },
  reached,
  noticed: (node) => tell((observer) => observer.notice?.(node as CancellationToken)),
  deadlineMade(node) {
    if (!keepsPlaces) return
    const place = {}
    const capture = tracer()
    if (capture) capture(place, node.constructor)
    places.set(node, capture ? place : new Error())
  },
  failedLate(error, operation, node, tokens) {
    const isOwn = [node, ...(tokens ?? [])].some((token) => isCancellation(error, token as CancellationToken))
    if (isOwn || isCancellation(error)) return
    const event: LateErrorEvent = { error, operation, token: node as CancellationToken }
    tell((observer) => observer.lateError?.(event))
  },
  stuck: (report) => tell((observer) => observer.stuck?.(report)),
  scopeStarted(state, place) {
    const event = new ReportedScope(state, place)
    tell((observer) => observer.scopeStart?.(event))
    return event
  },
  scopeEnded(event, outcome, isFailure) {
    const state = !outcome ? 'succeeded' : isFailure ? 'failed' : 'cancelled'
    ;(event as ReportedScope).end({ state, error: outcome?.error })
  },
  taskStarted(task, token) {
    const event = new ReportedTask(task, token)
    tell((observer) => observer.taskStart?.(event))
    return event
  },
  taskEnded: (event, outcome) => (event as ReportedTask).end(outcome),
  within(event, run) {
    let thrown: { readonly error: unknown } | undefined
    const call = once(() => {
      try {
        run()
      } catch (error) {
        thrown = { error }
      }
    })
    // The first observer is the outermost.
    const nested = observers.reduceRight(
      (inner, entry) =>
        once(() => {
          tellOne(entry, (observer) => observer.around?.(event, inner))
          inner()
        }),
      call,
    )
    nested()
    if (thrown) throw thrown.error
  },
}

/** Returns a function that calls the given one at its first call, and does nothing at a further one. */
function once(what: () => void): () => void {
  let isCalled = false
  return () => {
    if (isCalled) return
    isCalled = true
    what()
  }
}
