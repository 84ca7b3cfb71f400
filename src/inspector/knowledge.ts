/**
 * What the main thread knows of its tokens: an observer that keeps as little as it can, and a snapshot of it.
 *
 * Invariants
 * IK1. Nothing here polls a token, calls a condition, or lets a deadline be noticed. What is read are records.
 * IK2. A token that belongs to no scope and no task is held by a `WeakRef` alone. References to collected tokens are removed
 *     when there are 1,000 references, and then each time their number has doubled.
 * IK3. A scope and a task are held from their start to their end. Of cancellations and late failures the last 100 are
 *     held, for a minute.
 */
import { now } from '../core/clock.js'
import { callOf, type Described, leftText } from '../core/describe.js'
import { type Cancellation, each, isIdle, reasonTextOf, type TokenNode, whatHappened } from '../core/graph.js'
import type { CancelEvent, LateErrorEvent, Observer, ScopeEvent, TaskEvent } from '../core/observers.js'
import type { CancellationToken } from '../core/token.js'
import type { SharedState } from './shared-state.js'
import {
  type CancelReport,
  cut,
  type LateReport,
  MOST_EVENTS,
  MOST_NODES,
  type NodeReport,
  type Snapshot,
} from './report.js'

/** Returns the text that is shown instead of a reason, or instead of a failure that no caller could get. */
export type Redact = (value: unknown) => string

const MINUTE = 60_000
/** From this number of references on, those to collected tokens are removed. */
const LEAST_PURGE = 1_000
const LONGEST_PATH_UP = 10_000
const PLACES = 32
/** One line, of which two fit into a slot of the shared memory. */
const cutShort = (text: string): string => text.replaceAll('\n', ' ').slice(0, 160)

/** A scope with its running tasks, or a task. */
interface Running {
  readonly scope: ScopeEvent
  readonly tasks: Set<TaskEvent>
}

/** An event, and when it was heard, on the clock of this file. */
interface Heard<T> {
  readonly heard: number
  readonly event: T
}

const isFresh = ({ heard }: Heard<unknown>): boolean => wallClock() - heard < MINUTE

/** The wall clock, also where a program replaces `Date` later. */
const wallClock = Date.now
const textOf = (value: unknown): string => reasonTextOf(value) ?? String(value)

export class Knowledge implements Observer {
  redact: Redact | undefined
  /** Called when a scope or a task has started or ended. */
  onChange: (() => void) | undefined
  /** Where the running task is written. */
  state: SharedState | undefined
  /** How many places may be written to `state` until {@link restoreBudget} is called: the text of a stack takes 20 µs. */
  #budget = PLACES
  #noticed = new Set<WeakRef<CancellationToken>>()
  #purgeAt = LEAST_PURGE
  readonly #scopes = new Map<ScopeEvent, Running>()
  /** Tasks of scopes that were there before the observer. */
  readonly #strayTasks = new Set<TaskEvent>()
  #cancels: Heard<CancelEvent>[] = []
  #lateErrors: Heard<LateErrorEvent>[] = []
  readonly #ids = new WeakMap<TokenNode, number>()
  #lastId = 0

  // ---- What it hears

  notice(token: CancellationToken): void {
    this.#noticed.add(new WeakRef(token))
    if (this.#noticed.size >= this.#purgeAt) this.#purge()
  }

  scopeStart(scope: ScopeEvent): void {
    this.#scopes.set(scope, { scope, tasks: new Set() })
    this.onChange?.()
  }

  scopeEnd(scope: ScopeEvent): void {
    this.#scopes.delete(scope)
    this.onChange?.()
  }

  taskStart(task: TaskEvent): void {
    this.#tasksBeside(task).add(task)
    this.onChange?.()
  }

  taskEnd(task: TaskEvent): void {
    this.#tasksBeside(task).delete(task)
    this.onChange?.()
  }

  around(event: ScopeEvent | TaskEvent, run: () => void): void {
    const { state } = this
    if (!state) return run()
    state.enter(() => this.#textOfRunning(event), wallClock())
    run()
    state.leave()
  }

  #textOfRunning(event: ScopeEvent | TaskEvent): string {
    const shown = event.name ?? '(no name)'
    const what = 'unfinished' in event ? `the body of scope ${shown}` : `task ${shown}`
    if (this.#budget <= 0) return cutShort(what)
    this.#budget--
    const { startedAt } = event
    return startedAt === undefined ? cutShort(what) : `${cutShort(what)}\n${cutShort(startedAt)}`
  }

  restoreBudget(): void {
    this.#budget = PLACES
  }

  cancel(event: CancelEvent): void {
    // Each end of a scope and each loser of a race is one. They would push out the cancellations that a user asks for.
    if (event.kind === 'dispose' || event.kind === 'race') return
    this.#cancels.push({ heard: wallClock(), event })
    if (this.#cancels.length > 2 * MOST_EVENTS) this.#cancels = this.#cancels.slice(-MOST_EVENTS)
  }

  lateError(event: LateErrorEvent): void {
    this.#lateErrors.push({ heard: wallClock(), event })
    if (this.#lateErrors.length > 2 * MOST_EVENTS) this.#lateErrors = this.#lateErrors.slice(-MOST_EVENTS)
  }

  #tasksBeside({ scope }: TaskEvent): Set<TaskEvent> {
    return (scope && this.#scopes.get(scope)?.tasks) ?? this.#strayTasks
  }

  /** IK2. */
  #purge(): void {
    for (const reference of this.#noticed) if (!reference.deref()) this.#noticed.delete(reference)
    this.#purgeAt = Math.max(LEAST_PURGE, 2 * this.#noticed.size)
  }

  /** Drops what happened more than a minute ago. */
  forgetOld(): void {
    if (this.#cancels[0] && !isFresh(this.#cancels[0])) this.#cancels = this.#cancels.filter(isFresh)
    if (this.#lateErrors[0] && !isFresh(this.#lateErrors[0])) this.#lateErrors = this.#lateErrors.filter(isFresh)
  }

  // ---- What it tells

  /** `most` is the number of nodes. */
  snapshot(most: number = MOST_NODES): Snapshot {
    this.forgetOld()
    const drawing = new Drawing(this, most)
    for (const { scope, tasks } of this.#scopes.values()) drawing.addScope(scope, tasks)
    for (const task of this.#strayTasks) drawing.addTask(task)
    for (const reference of this.#noticed) {
      const token = reference.deref()
      if (token && !token.outcome && isListenedTo(token)) drawing.addToken(token)
    }
    return {
      at: wallClock(),
      nodes: drawing.reports(),
      cancels: this.#cancels.slice(-MOST_EVENTS).map(({ event }) => this.#cancelOf(event)),
      lateErrors: this.#lateErrors.slice(-MOST_EVENTS).map(({ heard, event }) => this.#lateOf(heard, event)),
      omitted: drawing.omitted,
    }
  }

  /** Returns the token of a node. Undefined if it is not there any more. */
  tokenWith(id: number): CancellationToken | undefined {
    for (const token of this.#all()) if (this.#ids.get(token) === id) return token
    return undefined
  }

  *#all(): Generator<CancellationToken> {
    const seen = new Set<TokenNode>()
    const rest: TokenNode[] = []
    for (const { scope, tasks } of this.#scopes.values()) {
      rest.push(scope.token)
      for (const { token } of tasks) rest.push(token)
    }
    for (const { token } of this.#strayTasks) rest.push(token)
    for (const reference of this.#noticed) rest.push(...[reference.deref()].filter((one) => one !== undefined))
    for (let at; (at = rest.pop());) {
      if (seen.has(at)) continue
      seen.add(at)
      yield at as CancellationToken
      each(at.sources, (source) => rest.push(source))
    }
  }

  idOf(node: TokenNode): number {
    let id = this.#ids.get(node)
    if (id === undefined) this.#ids.set(node, (id = this.nextId()))
    return id
  }

  /** Returns an id. A task that waits gets one in each snapshot, because it has no token yet. */
  nextId(): number {
    return ++this.#lastId
  }

  /** Never throws, whatever the redaction does. */
  #shown(value: unknown): string {
    if (!this.redact) return cut(safeText(() => textOf(value)))
    return cut(safeText(() => String(this.redact?.(value))))
  }

  storyOf(cancellation: Cancellation): CancelReport {
    const { kind, reason, at } = cancellation
    return {
      at: momentOf(at),
      kind,
      what: cut(safeText(() => whatHappened(cancellation))),
      reason: reason === undefined ? undefined : this.#shown(reason),
      cancelledAt: kind === 'manual' ? placeIn(cancellation.error) : undefined,
    }
  }

  #cancelOf({ token }: CancelEvent): CancelReport {
    // The first token that the cancellation has reached has it as its outcome.
    return this.storyOf((token as TokenNode).outcome as Cancellation)
  }

  #lateOf(heard: number, { error, operation }: LateErrorEvent): LateReport {
    return { at: heard, operation, message: this.#shown(error) }
  }
}

/** Collects the nodes of a snapshot: those that are asked for, and all that they derive from. */
class Drawing {
  readonly #knowledge: Knowledge
  readonly #nodes = new Map<TokenNode, ScopeEvent | TaskEvent | undefined>()
  readonly #waiting: NodeReport[] = []
  omitted = 0

  constructor(
    knowledge: Knowledge,
    readonly most: number,
  ) {
    this.#knowledge = knowledge
  }

  get #isFull(): boolean {
    return this.#nodes.size + this.#waiting.length >= this.most
  }

  addScope(scope: ScopeEvent, tasks: ReadonlySet<TaskEvent>): void {
    if (!this.addToken(scope.token)) return
    this.#nodes.set(scope.token, scope)
    for (const task of tasks) this.addTask(task)
    for (const { name, state, age, startedAt } of scope.unfinished()) {
      if (state === 'running') continue
      if (this.#isFull) {
        this.omitted++
        continue
      }
      this.#waiting.push({
        id: this.#knowledge.nextId(),
        what: 'task',
        name: name === undefined ? undefined : cut(name),
        parents: [this.#knowledge.idOf(scope.token)],
        state,
        since: wallClock() - age,
        startedAt: startedAt === undefined ? undefined : cut(startedAt),
      })
    }
  }

  addTask(task: TaskEvent): void {
    if (this.addToken(task.token)) this.#nodes.set(task.token, task)
  }

  /** Returns false if there is no room for it. */
  addToken(token: TokenNode): boolean {
    if (this.#nodes.has(token)) return true
    if (this.#isFull) {
      this.omitted++
      return false
    }
    for (const node of withAncestors(token)) {
      if (this.#isFull) break
      if (!this.#nodes.has(node)) this.#nodes.set(node, undefined)
    }
    return true
  }

  reports(): NodeReport[] {
    return [...Array.from(this.#nodes, ([node, event]) => this.#reportOf(node, event)), ...this.#waiting]
  }

  #reportOf(node: TokenNode, event: ScopeEvent | TaskEvent | undefined): NodeReport {
    const { name } = node as CancellationToken
    const cancellation = recordOf(node)
    const parents = shownSources(node, (one) => this.#nodes.has(one))
    const form = event ? undefined : formOf(node)
    return {
      id: this.#knowledge.idOf(node),
      what: !event ? 'token' : 'unfinished' in event ? 'scope' : 'task',
      name: optionalText(event ? event.name : name),
      call: form && cut(safeText(() => callOf(node as Described, form))),
      left: optionalText((!cancellation && form && leftText(form)) || undefined),
      parents: parents.slice(0, MOST_EVENTS).map((one) => this.#knowledge.idOf(one)),
      state: cancellation ? 'cancelled' : 'live',
      since: event && momentOf(event.since),
      startedAt: optionalText(event?.startedAt),
      isBodyRunning: event && 'unfinished' in event ? event.isBodyRunning : undefined,
      cancelled: cancellation && this.#knowledge.storyOf(cancellation),
    }
  }
}

const optionalText = (text: string | undefined): string | undefined => (text === undefined ? undefined : cut(text))

function safeText(make: () => string): string {
  try {
    return make()
  } catch {
    return '(no text: the function that makes it has thrown)'
  }
}

/** The form of a token may contain text of the program: the name of a class or of a function. */
function formOf(node: TokenNode): ReturnType<Described['form']> {
  try {
    return (node as Described).form()
  } catch {
    return { call: 'token' }
  }
}

function isListenedTo({ extras }: TokenNode): boolean {
  return extras !== undefined && (!isIdle(extras) || extras.signal !== undefined)
}

function* withAncestors(node: TokenNode): Generator<TokenNode> {
  const nodes = new Set([node])
  for (const at of nodes) {
    if (nodes.size > LONGEST_PATH_UP) return
    if (at === node || !formOf(at).through) yield at
    each(at.sources, (source) => nodes.add(source))
  }
}

/** The nearest ancestors that are shown. */
function shownSources(node: TokenNode, isShown: (one: TokenNode) => boolean): TokenNode[] {
  const shown: TokenNode[] = []
  const nodes = new Set<TokenNode>()
  each(node.sources, (source) => nodes.add(source))
  for (const at of nodes) {
    if (nodes.size > LONGEST_PATH_UP) break
    if (isShown(at)) shown.push(at)
    else each(at.sources, (source) => nodes.add(source))
  }
  return shown
}

/** The recorded cancellation of a node, or of an ancestor that has cancelled it: a node without listeners finds out when it is polled. */
function recordOf(node: TokenNode): Cancellation | undefined {
  const nodes = new Set([node])
  for (const at of nodes) {
    if (at.outcome) return at.outcome
    if (!at.opaque && nodes.size < LONGEST_PATH_UP) each(at.sources, (source) => nodes.add(source))
  }
  return undefined
}

/** Converts a moment of the library's clock to the wall clock. */
const momentOf = (at: number): number => wallClock() - (now() - at)

/** Returns the first line of a stack that is a place in the program. */
function placeIn(error: { readonly stack?: unknown } | undefined): string | undefined {
  const stack = error?.stack
  if (typeof stack !== 'string') return undefined
  const line = stack.split('\n').find((one) => /:\d+(:\d+)?\)?$/.test(one) && /^\s+at |@/.test(one))
  return line === undefined ? undefined : cut(line.trim().replace(/^at /, ''))
}
