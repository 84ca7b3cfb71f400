/** Tokens and scopes as data: what `console.log` draws, and what only the library knows. */
import { wrongType } from './arguments.js'
import { now } from './clock.js'
import { callOf, type Described, shownSources } from './describe.js'
import type { CancellationRecord } from './errors.js'
import { foreignOf } from './foreign.js'
import { type Cancellation, errorOf, visit } from './graph.js'
import { serializeCancellation } from './log-record.js'
import { attempt, partOf } from './reasons.js'
import { Handle, type Scope } from './scope/handle.js'
import type { ScopeState } from './scope/scope-state.js'
import { describeTask, type UnfinishedTask } from './scope/unfinished.js'
import { type CancellationToken, isToken, toToken } from './token.js'
import type { TokenView } from './view.js'

/** A parent of an inspected token. It is reported as it was last recorded. */
export interface ParentReport {
  /** The kind of token: the call that makes it, such as `TimeoutToken`, `allOf` or `grace`. */
  readonly call: string
  /** The call with its own arguments and without the parents: `TimeoutToken(5000, { name: 'query' })`. */
  readonly text: string
  readonly name: string | undefined
  readonly state: 'live' | 'cancelled'
  /** Who cancelled it, how and why, as `serializeCancellation` has it. Undefined for a live token. */
  readonly cancellation: CancellationRecord | undefined
  /** Whether the cancellation started at this token. False for a live token. */
  readonly isOrigin: boolean
  /** Milliseconds until its own deadline. Undefined for a token without one, `Infinity` after `disarm()`. */
  readonly timeLeft: number | undefined
  /** How many polls its own counter has left. A shared token has the number of each counter that it carries. */
  readonly pollsLeft: readonly number[]
  /** The number of listeners, and of sleeps, races and loops, that are told of its cancellation. */
  readonly listeners: number
  /** The number of calls of `wait` that are pending. */
  readonly waits: number
  /** The number of tokens that derive from it directly and have a listener or a wait, of their own or further down. */
  readonly derived: number
  readonly parents: readonly ParentReport[]
  /** How many of its parents the report leaves out, because it would be too deep or too long. */
  readonly moreParents: number
}

/** A token as data. */
export interface TokenReport extends ParentReport {
  /** `token.remaining`: milliseconds until the earliest deadline of the token and of its ancestors. */
  readonly remaining: number
}

/** A scope as data. */
export interface ScopeReport {
  readonly name: string | undefined
  /** The report of the scope's own token. */
  readonly token: TokenReport
  /** Whether the body, or the block of an open scope, has not ended. Undefined for a scope of another copy of the package. */
  readonly isBodyRunning: boolean | undefined
  /** Whether the scope has ended: its body, and all tasks. Undefined for a scope of another copy of the package. */
  readonly isDone: boolean | undefined
  /** How many tasks may run at once. Undefined for a scope of another copy of the package. */
  readonly concurrency: number | undefined
  /** Milliseconds since it was started. Undefined if there was no observer (`trace`) at that moment. */
  readonly age: number | undefined
  /** Where it was started, as a line of a stack. Undefined if `age` is, and for a scope with `trace: false`. */
  readonly startedAt: string | undefined
  /** The tasks that have not settled, in the order in which they were passed to the scope. */
  readonly tasks: readonly UnfinishedTask[]
  /** How many more unfinished tasks there are, which the report leaves out. */
  readonly moreTasks: number
}

/** The most tokens of a report, and the greatest depth of them. */
const MOST_TOKENS = 100
const DEEPEST = 20
const MOST_TASKS = 100

/**
 * Returns a token as data: its kind, name and state, the time and the polls that are left, its cancellation, the number
 * of listeners, and the same for its parents. JSON can express it; there, `Infinity` is `null`.
 *
 * It is a read: it calls no condition, and uses up no counter. A deadline that has passed counts, as for `token.error`.
 * The parents are reported as they were last recorded. A report has at most 100 tokens and 20 levels of
 * parents. It does not have the age of a token, which is not recorded.
 *
 * Errors: throws `TypeError` for a value that is neither a token, nor a view, nor a scope.
 *
 * @example
 * ```ts
 * import { inspect, SimpleToken, TimeoutToken } from 'calloff'
 *
 * const server = new SimpleToken({ name: 'server' })
 * const query = new TimeoutToken(5_000, { name: 'query' }, server)
 * query.onCancel(() => {})
 * const { call, state, listeners, parents } = inspect(query)
 * console.log(call, state, listeners, parents[0]?.name) // → TimeoutToken live 1 server
 * ```
 */
export function inspect(token: TokenView): TokenReport
/**
 * Returns a scope as data: its token, and its unfinished tasks with name, state, age (ms) and the line where they were
 * started. A report has at most 100 tasks.
 *
 * @example
 * ```ts
 * import { inspect, scope } from 'calloff'
 *
 * await scope(async (s) => {
 *   void s.run((token) => token.sleep(10), { name: 'warm up' })
 *   console.log(inspect(s).tasks.map(({ name, state }) => `${name}: ${state}`)) // → [ 'warm up: running' ]
 * })
 * ```
 */
export function inspect(scope: Scope): ScopeReport
export function inspect(value: TokenView | Scope): TokenReport | ScopeReport {
  const token = attempt(() => tokenOf(value))
  if (token) return tokenReport(token, value)
  const state = attempt(() => (value instanceof Handle ? value.state : undefined))
  const report = state ? scopeReport(state) : attempt(() => foreignScopeReport(value as Scope))
  if (!report) throw wrongType('value', 'a token or a scope', value)
  return report
}

/** Returns the token that a value is, of any copy of the package. */
function tokenOf(value: unknown): CancellationToken | undefined {
  return isToken(value) || foreignOf(value)?.isToken ? toToken(value) : undefined
}

function tokenReport(token: CancellationToken, given: object): TokenReport {
  const { remaining } = token // a read: it records the cancellation that it finds
  const records = new Map<Cancellation, CancellationRecord>()
  if (token.outcome) records.set(token.outcome, recordOf(token.outcome, token))
  let tokens = 0

  // The depth is limited, so this may call itself.
  function reportOf(node: Described, depth: number): ParentReport {
    tokens++
    const form = node.form()
    const { outcome, extras } = node
    if (outcome && !records.has(outcome)) records.set(outcome, recordOf(outcome))
    let listeners = 0
    let waits = 0
    let derived = 0
    visit(extras?.listeners, ({ listener, quiet }) => {
      // Without a listener, it keeps the token awake for a signal, or the process alive for a wait.
      if (listener && quiet) waits++
      else if (listener) listeners++
    })
    visit(extras?.below, () => derived++)
    const sources = shownSources(node, form)
    const parents: ParentReport[] = []
    for (const source of depth < DEEPEST ? sources : []) {
      if (tokens < MOST_TOKENS) parents.push(reportOf(source as Described, depth + 1))
    }
    return {
      call: form.call,
      text: callOf(node, form),
      name: node.name,
      state: outcome ? 'cancelled' : 'live',
      cancellation: outcome && records.get(outcome),
      isOrigin: outcome?.origin === node,
      timeLeft: form.ms && Math.max(0, form.ms),
      pollsLeft: form.polls ?? [],
      listeners,
      waits,
      derived,
      parents,
      moreParents: sources.length - parents.length,
    }
  }

  const report = reportOf(token, 0)
  // A token of another copy has a stand-in here, without a name.
  return { ...report, name: report.name ?? (partOf(given, 'name') as string | undefined), remaining }
}

function recordOf(cancellation: Cancellation, token?: CancellationToken): CancellationRecord {
  return serializeCancellation(errorOf(cancellation), { token, stack: false }) as CancellationRecord
}

function scopeReport({ token, isBodyRunning, isDone, concurrency, event, tasks }: ScopeState): ScopeReport {
  const shown: UnfinishedTask[] = []
  for (const task of tasks) if (shown.length < MOST_TASKS) shown.push(describeTask(task))
  return {
    name: token.name,
    token: inspect(token),
    isBodyRunning,
    isDone,
    concurrency: concurrency.max,
    age: event && now() - event.since,
    startedAt: event?.startedAt,
    tasks: shown,
    moreTasks: tasks.size - shown.length,
  }
}

/** The report of a scope of another copy of the package. Throws for any other value. */
function foreignScopeReport(scope: Scope): ScopeReport {
  const tasks = scope.unfinished()
  return {
    name: scope.token.name,
    token: inspect(scope.token),
    isBodyRunning: undefined,
    isDone: undefined,
    concurrency: undefined,
    age: undefined,
    startedAt: undefined,
    tasks: tasks.slice(0, MOST_TASKS),
    moreTasks: Math.max(0, tasks.length - MOST_TASKS),
  }
}
