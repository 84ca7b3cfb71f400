/**
 * The state of a scope: it runs the tasks, lets them wait, and keeps the failures. `scope.ts` has the public
 * functions.
 *
 * Invariants
 * SC1. `tasks` has the tasks that have neither settled nor been dropped. The scope is done when `tasks` is empty and
 *     nothing holds the scope. The body holds it until the body has ended. Each call of the scope holds it until the
 *     promise of that call has settled.
 * SC2. A task waits only while `limit` tasks are running. A task that leaves lets the next one in.
 * SC3. While a task waits, the scope listens to its token. A cancellation drops all waiting tasks before it returns.
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
import { type CancellationToken, SimpleToken } from '../token.js'

/** A task of a scope: a function that is started with a token of its own. */
export type ScopeTask<T> = (token: CancellationToken) => T | PromiseLike<T>

export function nothing(): void {}

/** A task was passed to a scope that has ended. */
export class ScopeClosedError extends Error {
  /** For tests that hold across copies of the package. */
  readonly code = 'ERR_SCOPE_CLOSED'
  override readonly name = 'ScopeClosedError'
}

/** A task that was passed to the scope. */
export class SubmittedTask<T = unknown> {
  readonly began: number = now()
  isWaiting = false
  /** For a task that had to wait: calls a function in the async context of the call that passed the task. */
  within: ((what: () => void) => void) | undefined = undefined

  constructor(
    /** The parent of its token. */
    readonly parent: CancellationToken,
    readonly task: ScopeTask<T>,
    readonly name: string | undefined,
    readonly index: number | undefined,
    readonly place: Error | undefined,
    readonly resolve: (value: T) => void,
    /** Called when it has failed or was cancelled. The token tells which of the two. */
    readonly reject: (error: unknown, token: CancellationToken) => void,
  ) {}
}

/** The state of a scope. */
export class ScopeState {
  readonly tasks = new Set<SubmittedTask>()
  /** In the order of time. A failure that wraps an earlier one stands for both. */
  readonly failures = new Set<unknown>()
  running = 0
  /** See SC1. */
  holds = 1
  isBodyRunning = true
  isDone = false
  /** The waiting tasks, from `head` on. Some of them may have been dropped. */
  queue: SubmittedTask[] = []
  head = 0
  isAdmitting = false
  watch: Subscriber | undefined

  constructor(
    readonly token: CancellationToken,
    readonly limit: number,
    readonly ambient: Ambient | undefined,
    readonly onDone: () => void,
  ) {}
}

/**
 * Starts a task, or lets it wait for its turn. Where its parent token is cancelled, or a condition throws, it does
 * neither: the task is rejected (SC6).
 */
export function submit<T>(state: ScopeState, submitted: SubmittedTask<T>): void {
  let dead: Cancellation | undefined
  try {
    dead = discover(submitted.parent, INDIRECT)
  } catch (error) {
    return submitted.reject(error, submitted.parent)
  }
  if (dead) return submitted.reject(errorOf(dead), submitted.parent)
  state.tasks.add(submitted as SubmittedTask)
  if (state.running < state.limit) begin(state, submitted)
  else enqueue(state, submitted as SubmittedTask)
}

function begin<T>(state: ScopeState, submitted: SubmittedTask<T>): void {
  const { ambient } = state
  const token = new SimpleToken(submitted.parent)
  const refuse = (error: unknown) => {
    submitted.reject(error, token)
    leave(state, submitted as SubmittedTask)
  }
  let result: T | PromiseLike<T> | undefined
  const start = () => {
    result = ambient ? ambient.run(token, () => submitted.task(token)) : submitted.task(token)
  }
  state.running++
  try {
    if (submitted.within) submitted.within(start)
    else start()
  } catch (error) {
    return refuse(error)
  }
  const fulfil = (value: T) => {
    submitted.resolve(value)
    leave(state, submitted as SubmittedTask)
  }
  void assimilate(result as T | PromiseLike<T>, fulfil, refuse)
}

function leave(state: ScopeState, submitted: SubmittedTask): void {
  state.tasks.delete(submitted)
  state.running--
  admit(state)
  finish(state)
}

function enqueue(state: ScopeState, submitted: SubmittedTask): void {
  submitted.isWaiting = true
  // The task that leaves will start this one, but this one must run in its own async context.
  submitted.within = bind?.((what: () => void) => what())
  state.queue.push(submitted)
  state.watch ??= subscribe(state.token, () => dropWaiting(state))
}

/**
 * Starts as many waiting tasks as may run (SC2). It is not reentrant: a task that ends while it is being started leaves
 * the next start to the loop.
 */
function admit(state: ScopeState): void {
  if (state.isAdmitting || !state.queue.length) return
  state.isAdmitting = true
  while (state.running < state.limit && state.head < state.queue.length) {
    const submitted = state.queue[state.head++] as SubmittedTask
    // A deadline may have passed that no poll has noticed. This read has the waiting tasks dropped then (SC3).
    if (submitted.isWaiting) discover(submitted.parent, READ)
    if (!submitted.isWaiting) continue
    submitted.isWaiting = false
    begin(state, submitted)
  }
  state.isAdmitting = false
  if (state.head === state.queue.length) {
    state.queue = []
    state.head = 0
    state.watch?.stop()
    state.watch = undefined
  } else if (state.head > 1_000 && state.head * 2 > state.queue.length) {
    state.queue = state.queue.slice(state.head)
    state.head = 0
  }
}

/** Drops the waiting tasks whose parent token is cancelled. */
export function dropWaiting(state: ScopeState): void {
  for (const submitted of state.queue) {
    const dead = submitted.isWaiting && discover(submitted.parent, READ)
    if (!dead) continue
    submitted.isWaiting = false
    state.tasks.delete(submitted)
    submitted.reject(errorOf(dead), submitted.parent)
  }
  admit(state)
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
