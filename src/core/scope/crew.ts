/**
 * The engine of a scope: it runs the tasks, lets them wait, and keeps the failures. `scope.ts` has the public
 * functions.
 *
 * Invariants
 * SC1. `jobs` has the tasks that have neither settled nor been dropped. The crew is done when `jobs` is empty and
 *     nothing holds the crew. The body holds it until the body has ended. Each call of the scope holds it until the
 *     promise of that call has settled.
 * SC2. A task waits only while `limit` tasks are running. A task that leaves lets the next one in.
 * SC3. While a task waits, the crew listens to its token. A cancellation drops all waiting tasks before it returns.
 * SC4. The first failure cancels the token (kind `'sibling'`). Every failure is kept once, in the order of time.
 * SC5. A task settles its promise before it leaves the crew. So a scope ends after all tasks that it has started.
 * SC6. Every count that goes up goes down again, whatever foreign code throws. `hire` throws nothing, and a task that
 *     cannot be started counts as failed.
 */
import { assimilate } from '../assimilate.js'
import { now } from '../clock.js'
import { type Ambient, bind } from '../context.js'
import { isCancellation, isOurs } from '../errors.js'
import { type Cancellation, discover, end, errorOf, INDIRECT, LOOK, type Subscriber, subscribe } from '../graph.js'
import { type CancellationToken, SimpleToken } from '../token.js'

/** A task of a scope: a function that is started with a token of its own. */
export type ScopeTask<T> = (token: CancellationToken) => T | PromiseLike<T>

export function nothing(): void {}

/** A task was handed to a scope that has ended. */
export class ScopeClosedError extends Error {
  /** For tests that hold across copies of the package. */
  readonly code = 'ERR_SCOPE_CLOSED'
  override readonly name = 'ScopeClosedError'
}

/** One task of the crew, from the moment when it is handed over. */
export class Job<T = unknown> {
  readonly began: number = now()
  isWaiting = false
  /** Of a task that has waited: calls a function in the async context in which the task was handed over. */
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
export class Crew {
  readonly jobs = new Set<Job>()
  /** In the order of time. A failure that wraps an earlier one stands for both. */
  readonly failures = new Set<unknown>()
  running = 0
  /** See SC1. */
  holds = 1
  isBodyRunning = true
  isDone = false
  /** The waiting tasks, from `head` on. Some of them may have been dropped. */
  queue: Job[] = []
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
export function hire<T>(crew: Crew, job: Job<T>): void {
  let dead: Cancellation | undefined
  try {
    dead = discover(job.parent, INDIRECT)
  } catch (error) {
    return job.reject(error, job.parent)
  }
  if (dead) return job.reject(errorOf(dead), job.parent)
  crew.jobs.add(job as Job)
  if (crew.running < crew.limit) begin(crew, job)
  else enqueue(crew, job as Job)
}

function begin<T>(crew: Crew, job: Job<T>): void {
  const { ambient } = crew
  const token = new SimpleToken(job.parent)
  const refuse = (error: unknown) => {
    job.reject(error, token)
    leave(crew, job as Job)
  }
  let result: T | PromiseLike<T> | undefined
  const start = () => {
    result = ambient ? ambient.run(token, () => job.task(token)) : job.task(token)
  }
  crew.running++
  try {
    if (job.within) job.within(start)
    else start()
  } catch (error) {
    return refuse(error)
  }
  const fulfil = (value: T) => {
    job.resolve(value)
    leave(crew, job as Job)
  }
  void assimilate(result as T | PromiseLike<T>, fulfil, refuse)
}

function leave(crew: Crew, job: Job): void {
  crew.jobs.delete(job)
  crew.running--
  admit(crew)
  finish(crew)
}

function enqueue(crew: Crew, job: Job): void {
  job.isWaiting = true
  // The task that leaves will start this one, but this one must run in its own async context.
  job.within = bind?.((what: () => void) => what())
  crew.queue.push(job)
  crew.watch ??= subscribe(crew.token, () => dropWaiting(crew))
}

/**
 * Starts waiting tasks, as many as may run (SC2). A task that ends within its start does not make this function call
 * itself deeper and deeper.
 */
function admit(crew: Crew): void {
  if (crew.isAdmitting || !crew.queue.length) return
  crew.isAdmitting = true
  while (crew.running < crew.limit && crew.head < crew.queue.length) {
    const job = crew.queue[crew.head++] as Job
    // A deadline may have passed that no poll has noticed. This read has the waiting tasks dropped then (SC3).
    if (job.isWaiting) discover(job.parent, LOOK)
    if (!job.isWaiting) continue
    job.isWaiting = false
    begin(crew, job)
  }
  crew.isAdmitting = false
  if (crew.head === crew.queue.length) {
    crew.queue = []
    crew.head = 0
    crew.watch?.stop()
    crew.watch = undefined
  } else if (crew.head > 1_000 && crew.head * 2 > crew.queue.length) {
    crew.queue = crew.queue.slice(crew.head)
    crew.head = 0
  }
}

/** Drops the waiting tasks whose parent token is cancelled. */
export function dropWaiting(crew: Crew): void {
  for (const job of crew.queue) {
    const dead = job.isWaiting && discover(job.parent, LOOK)
    if (!dead) continue
    job.isWaiting = false
    crew.jobs.delete(job)
    job.reject(errorOf(dead), job.parent)
  }
  admit(crew)
  finish(crew)
}

/** Adds a hold. The crew is not done until `letGo` was called as often as `hold` (SC1). */
export function hold(crew: Crew): void {
  crew.holds++
}

export function letGo(crew: Crew): void {
  crew.holds--
  finish(crew)
}

function finish(crew: Crew): void {
  if (crew.holds || crew.jobs.size || crew.isDone) return
  crew.isDone = true
  crew.onDone()
}

/**
 * Counts an error as a failure, unless it is the cancellation of the given token (SC4). Returns whether it is a
 * failure.
 */
export function judge(crew: Crew, error: unknown, token: CancellationToken): boolean {
  const failed = !isCancellation(error, token)
  if (failed) fail(crew, error)
  return failed
}

export function fail(crew: Crew, error: unknown): void {
  const { failures, token } = crew
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
export function failureOf({ failures, token }: Crew): unknown {
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
