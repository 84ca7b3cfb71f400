/**
 * The state of a scope: it runs the tasks, lets them wait, and keeps the failures. `scope.ts` has the public
 * functions.
 *
 * Invariants
 * SC1. `tasks` has the tasks that have neither settled nor been dropped. The scope is done when `tasks` is empty and
 *     nothing holds the scope. The body holds it until the body has ended. Each call of the scope holds it until the
 *     promise of that call has settled.
 * SC2. A task runs with one place of each of its gates (limit.ts), which it gives back when it leaves. It waits only while
 *     one of them has no free place.
 * SC3. While a task waits, it listens to its parent token. A cancellation drops it before `cancel` returns: it leaves the
 *     queue, and gives back the places that it has got already.
 * SC4. The first failure cancels the token (kind `'sibling'`). Every failure is kept once, in the order of time.
 * SC5. A task settles its promise before it leaves the scope. So a scope ends after all tasks that it has started.
 * SC6. Every count that goes up goes down again, whatever foreign code throws. `submit` throws nothing, and a task that
 *     cannot be started counts as failed.
 */
import { assimilate } from '../assimilate.js'
import { now } from '../clock.js'
import { type Ambient, bind } from '../context.js'
import { isCancellation, isOurs } from '../errors.js'
import { type Cancellation, discover, end, errorOf, INDIRECT, READ, type Subscriber, subscribe } from '../graph.js'
import { reports } from '../observation.js'
import type { ScopeEvent, TaskEvent, TaskOutcome } from '../observers.js'
import { type CancellationToken, SimpleToken } from '../token.js'
import { type Concurrency, type Gate, gatesOf } from './limit.js'

/** A task of a scope: a function that is started with a token of its own. */
export type ScopeTask<T> = (token: CancellationToken) => T | PromiseLike<T>

export function nothing(): void {}

/** A task was passed to a scope that has ended. */
export class ScopeClosedError extends Error {
  /** For tests that hold across copies of the package. */
  readonly code = 'ERR_SCOPE_CLOSED'
  override readonly name = 'ScopeClosedError'
}

export function closedError({ token: { name } }: ScopeState): ScopeClosedError {
  const shown = name === undefined ? '' : ` ${JSON.stringify(name)}`
  return new ScopeClosedError(`the scope${shown} is closed and starts no task`)
}

/** A task, as it is passed to the scope. */
export interface Submission<T = unknown> {
  /** The parent of its token. */
  readonly parent: CancellationToken
  /** What it needs a place of. Default: the gates of the scope. */
  readonly gates?: readonly Gate[] | undefined
  readonly task: ScopeTask<T>
  readonly name: string | undefined
  readonly index?: number | undefined
  readonly place: Error | undefined
  readonly resolve: (value: T) => void
  /** Called when it has failed or was cancelled. The token tells which of the two. */
  readonly reject: (error: unknown, token: CancellationToken) => void
}

/** A task that has not settled. */
export class SubmittedTask<T = unknown> {
  readonly began: number = now()
  readonly gates: readonly Gate[]
  /** How many of the gates it has a place of. */
  places = 0
  isWaiting = false
  /** For a task that had to wait: calls a function in the async context of the call that passed the task. */
  within: ((what: () => void) => void) | undefined = undefined
  /** While it waits: leaves the queue, and listens to its parent token. */
  quit: (() => void) | undefined = undefined
  watch: Subscriber | undefined = undefined

  constructor(
    readonly state: ScopeState,
    readonly given: Submission<T>,
  ) {
    this.gates = given.gates ?? state.gates
  }
}

/** The state of a scope. */
export class ScopeState {
  readonly tasks = new Set<SubmittedTask>()
  /** In the order of time. A failure that wraps an earlier one stands for both. */
  readonly failures = new Set<unknown>()
  /** See SC1. */
  holds = 1
  isBodyRunning = true
  isDone = false
  /** What observers get for it, if there were any when it started. */
  event: ScopeEvent | undefined = undefined
  readonly gates: readonly Gate[]

  constructor(
    readonly token: CancellationToken,
    readonly concurrency: Concurrency,
    readonly ambient: Ambient | undefined,
    readonly onDone: () => void,
  ) {
    this.gates = gatesOf(concurrency)
  }
}

/**
 * Starts a task, or lets it wait for its turn. Where its parent token is cancelled, or a condition throws, it does
 * neither: the task is rejected (SC6).
 */
export function submit<T>(state: ScopeState, given: Submission<T>): void {
  const { parent, reject } = given
  let dead: Cancellation | undefined
  try {
    dead = discover(parent, INDIRECT)
  } catch (error) {
    return reject(error, parent)
  }
  if (dead) return reject(errorOf(dead), parent)
  const submitted = new SubmittedTask<T>(state, given) as SubmittedTask
  state.tasks.add(submitted)
  proceed(submitted)
}

/** Takes the places that the task still needs, and starts it. If a place is not free, the task waits. */
function proceed(submitted: SubmittedTask): void {
  const { gates } = submitted
  for (; submitted.places < gates.length; submitted.places++) {
    submitted.quit = (gates[submitted.places] as Gate).enter(() => admitted(submitted))
    if (submitted.quit) return wait(submitted)
  }
  submitted.isWaiting = false
  submitted.watch?.stop()
  begin(submitted)
}

function wait(submitted: SubmittedTask): void {
  if (submitted.isWaiting) return
  submitted.isWaiting = true
  // The task that leaves will start this one, but this one must run in its own async context.
  submitted.within = bind?.((what: () => void) => what())
  submitted.watch = subscribe(submitted.given.parent, () => drop(submitted))
}

/** It has got the place that it waited for. */
function admitted(submitted: SubmittedTask): void {
  submitted.quit = undefined
  submitted.places++
  // A deadline may have passed that no poll has noticed. And while a cancellation drops one task after the other, each
  // makes room for the next.
  if (discover(submitted.given.parent, READ)) drop(submitted)
  else proceed(submitted)
}

/** Drops a waiting task, whose parent token is cancelled. */
function drop(submitted: SubmittedTask): void {
  if (!submitted.isWaiting) return
  const { parent, reject } = submitted.given
  submitted.isWaiting = false
  submitted.quit?.()
  submitted.watch?.stop()
  reject(errorOf(discover(parent, READ) as Cancellation), parent)
  leave(submitted)
}

function begin(submitted: SubmittedTask): void {
  const { task, parent, resolve, reject } = submitted.given
  const { ambient } = submitted.state
  const token = new SimpleToken(parent)
  let event: TaskEvent | undefined
  const ended = (state: TaskOutcome['state'], error?: unknown) => {
    if (event) reports?.taskEnded(event, { state, error })
  }
  const refuse = (error: unknown) => {
    ended(isCancellation(error, token) ? 'cancelled' : 'failed', error)
    reject(error, token)
    leave(submitted)
  }
  let result: unknown
  const call = () => {
    result = ambient ? ambient.run(token, () => task(token)) : task(token)
  }
  const start = () => {
    event = reports?.taskStarted(submitted, token)
    if (event && reports) reports.within(event, call)
    else call()
  }
  try {
    if (submitted.within) submitted.within(start)
    else start()
  } catch (error) {
    return refuse(error)
  }
  const fulfil = (value: unknown) => {
    ended('succeeded')
    resolve(value)
    leave(submitted)
  }
  void assimilate(result, fulfil, refuse)
}

function leave(submitted: SubmittedTask): void {
  const { state, gates } = submitted
  state.tasks.delete(submitted)
  for (let i = submitted.places; i--;) (gates[i] as Gate).leave()
  finish(state)
}

/** Adds a hold. The scope is not done until `letGo` was called as often as `hold` (SC1). */
export function hold(state: ScopeState): void {
  state.holds++
}

export function letGo(state: ScopeState): void {
  state.holds--
  finish(state)
}

function finish(state: ScopeState): void {
  if (state.holds || state.tasks.size || state.isDone) return
  state.isDone = true
  state.onDone()
}

/**
 * Counts an error as a failure, unless it is the cancellation of the given token (SC4). Returns whether it is a
 * failure.
 */
export function failUnlessCancelled(state: ScopeState, error: unknown, token: CancellationToken): boolean {
  const failed = !isCancellation(error, token)
  if (failed) fail(state, error)
  return failed
}

export function fail(state: ScopeState, error: unknown): void {
  const { failures, token } = state
  if (failures.has(error)) return
  if (failures.size) for (const part of partsOf(error)) failures.delete(part)
  failures.add(error)
  end(token, 'sibling', error)
}

/**
 * The errors that an error wraps: its causes, and the errors of an AggregateError. The reason of a cancellation is none
 * of them.
 */
function partsOf(error: unknown): Set<unknown> {
  const all = new Set([error])
  try {
    for (const one of all) {
      if (isOurs(one)) continue
      const { cause, errors } = Object(one) as { cause?: unknown; errors?: unknown }
      if (cause !== undefined) all.add(cause)
      if (Array.isArray(errors)) for (const part of errors) all.add(part)
    }
  } catch {
    // A getter or a proxy throws: the parts that were found so far must do.
  }
  return all
}

/** Returns the one failure, or one error with all of them. There must be a failure. */
export function failureOf({ failures, token }: ScopeState): unknown {
  const [first] = failures
  if (failures.size === 1) return first
  const where = token.name === undefined ? '' : ` in scope ${JSON.stringify(token.name)}`
  return new AggregateError(failures, `${failures.size} tasks have failed${where}, first: ${messageOf(first)}`)
}

function messageOf(error: unknown): string {
  try {
    return String(error instanceof Error ? error.message : error)
  } catch {
    return 'something that has no text'
  }
}
