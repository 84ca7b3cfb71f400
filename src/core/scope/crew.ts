/**
 * The engine of a scope: who tasks, who waits, who has failed. `scope.ts` is the handle that people hold.
 *
 * Invariants
 * SC1. `jobs` are those that have neither settled nor been dropped. The crew is done when there are none and nothing holds
 *     it: the body does until it has ended, and each call of the scope does until the promise of that call has settled.
 * SC2. A job waits only while as many as may are running; who leaves lets the next one in.
 * SC3. While one waits, the crew listens to its token, and a cancellation drops all that wait before it returns.
 * SC4. The first failure cancels the token (kind `'sibling'`); every failure is kept, in the order of time, each once.
 * SC5. A job settles its promise before it leaves; so a scope ends after all it has started.
 * SC6. What is counted up is counted down, whatever foreign code throws: `hire` throws nothing, a job that cannot be started
 *     has failed.
 */
import { assimilate } from '../assimilate.js'
import { now } from '../clock.js'
import { type Ambient, bind } from '../context.js'
import { isCancellation, isOurs } from '../errors.js'
import { type Cancellation, discover, end, errorOf, INDIRECT, LOOK, type Subscriber, subscribe } from '../graph.js'
import { type CancellationToken, SimpleToken } from '../token.js'

/** Something a scope starts, with a token of its own. */
export type ScopeTask<T> = (token: CancellationToken) => T | PromiseLike<T>

export function nothing(): void {}

/** Something was to be started by a scope that is over. */
export class ScopeClosedError extends Error {
  /** For tests that hold across copies of the package. */
  readonly code = 'ERR_SCOPE_CLOSED'
  override readonly name = 'ScopeClosedError'
}

/** One task, from the moment it is handed over. */
export class Job<T = unknown> {
  readonly began: number = now()
  isWaiting = false
  /** Calls in the async context that the job was handed over in; of one that has waited. */
  within: ((what: () => void) => void) | undefined = undefined

  constructor(
    /** Its token stands below this one. */
    readonly parent: CancellationToken,
    readonly task: ScopeTask<T>,
    readonly name: string | undefined,
    readonly index: number | undefined,
    readonly place: Error | undefined,
    readonly resolve: (value: T) => void,
    /** It has failed, or been cancelled, which the token tells. */
    readonly reject: (error: unknown, token: CancellationToken) => void,
  ) {}
}

/** What a scope holds. */
export class Crew {
  readonly jobs = new Set<Job>()
  /** In order of time; a failure that has an earlier one as its cause stands for both. */
  readonly failures = new Set<unknown>()
  running = 0
  /** See SC1. */
  holds = 1
  isBodyRunning = true
  isDone = false
  /** Those that wait, from `head` on; among them some that were dropped. */
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

/** Starts a job, or has it wait for its turn; under a token that is over, or whose condition throws, it is neither (SC6). */
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
  // It will be started by whoever leaves, but not in his async context.
  job.within = bind?.((what: () => void) => what())
  crew.queue.push(job)
  crew.watch ??= subscribe(crew.token, () => dropWaiting(crew))
}

/** Lets in those that wait, as many as may (SC2). Jobs that end within the call do not call it deeper and deeper. */
function admit(crew: Crew): void {
  if (crew.isAdmitting || !crew.queue.length) return
  crew.isAdmitting = true
  while (crew.running < crew.limit && crew.head < crew.queue.length) {
    const job = crew.queue[crew.head++] as Job
    // A deadline may have passed that nobody has noticed: a look has those who wait dropped (SC3).
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

/** Drops those that wait below a token that is over. */
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

/** Keeps the crew together until it is let go as often as it was held (SC1). */
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

/** What ended with the cancellation of its own token has not failed; everything else has, and counts (SC4). */
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

/** What it wraps: causes, and the errors of an AggregateError; not what a cancellation tells as its reason. */
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
    // A getter or a proxy that throws: what was found so far must do.
  }
  return all
}

/** The one failure, or all of them in one error. */
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
