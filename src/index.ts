/**
 * calloff: one object that answers one question, "should I go on?". Its error says where the cancellation started, and
 * why.
 *
 * @module
 */

// The token and its kinds
export {
  CancellationToken,
  DefaultToken,
  type ForeignSignal,
  type TokenOrSignal,
  type Registration,
  type ResultOf,
  SimpleToken,
  TimeoutToken,
  type TimeoutTokenOptions,
  type TokenOptions,
  type Task,
} from './core/token.js'
export { ConditionToken, type ConditionTokenOptions } from './core/tokens/condition.js'
export { CANCELLED, NEVER } from './core/tokens/constants.js'
export { CounterToken, type CounterTokenOptions } from './core/tokens/counter.js'

export type { TokenView } from './core/view.js'

// Combined tokens, and tokens of other systems
export { allOf, someOf } from './core/tokens/some-of.js'
export { anyOf, type EditorToken, type TokenLike, from } from './core/tokens/from.js'

// Options of waits, races and retries, and the function that `promise` calls
export type { Executor } from './core/callbacks.js'
export type { RaceOptions } from './core/race.js'
export { RetryBudgetError, type RetryOptions } from './core/retry.js'
export type { PendingListener, SettledOptions, SettledReport } from './core/settled.js'
export type { UntilCancelledOptions } from './core/until-cancelled.js'
export type { WaitOptions } from './core/wait.js'

// Calls of which the latest counts
export { latest, type Latest, type LatestOptions } from './core/latest.js'

// Scopes, and the token of the async context
export { NoAmbientError } from './core/context.js'
export { ScopeClosedError, type ScopeTask } from './core/scope/scope-state.js'
export type { TaskOptions, Scope, StartOptions, StartTask } from './core/scope/handle.js'
export { Limit } from './core/scope/limit.js'
export type { MapOptions, MapTask } from './core/scope/map.js'
export type { StreamOptions } from './core/scope/stream.js'
export { openScope, type OpenScope, type OpenScopeOptions, scope, type ScopeOptions } from './core/scope/scope.js'
export type { CompeteOptions } from './core/scope/combinators.js'
export type { StuckReport, UnfinishedTask } from './core/scope/unfinished.js'

// Observers
export { trace } from './core/observers.js'
export type { CancelEvent, LateErrorEvent, Observer, ScopeEvent, TaskEvent, TaskOutcome } from './core/observers.js'
export type { LateOperation } from './core/observation.js'

// Errors
export {
  CancellationError,
  type CancellationDetails,
  type CancellationKind,
  type CancellationLike,
  type CancellationRecord,
  ConditionCancellationError,
  CounterCancellationError,
  type ErrorRecord,
  ImpossibleCancelError,
  isCancellation,
  TimeoutCancellationError,
} from './core/errors.js'

// Tokens and errors as data, for logs
export { inspect, type ParentReport, type ScopeReport, type TokenReport } from './core/inspect.js'
export { serializeCancellation, type SerializeOptions } from './core/log-record.js'

// Deadlines that travel in headers
export {
  type DeadlineHeaders,
  fromHeaders,
  type HeaderOptions,
  type HeaderSource,
  InvalidDeadlineError,
  toHeaders,
} from './core/deadline-headers.js'
