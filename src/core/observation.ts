/**
 * What the library reports to observers, and the one variable that says whether there are any.
 *
 * Without an observer, each place that could report checks this variable and does nothing else. Polling a token, deriving
 * one, and adding a listener to a token that has one never reach such a place. `observers.ts` has the public function.
 */
import type { Cancellation, TokenNode } from './graph.js'
import type { ScopeState, SubmittedTask } from './scope/scope-state.js'
import type { StuckReport } from './scope/unfinished.js'
import type { ScopeEvent, TaskEvent, TaskOutcome } from './observers.js'

/** The functions of the library that drop a failure of a task that comes after they have settled. */
export type LateOperation = 'any' | 'iterate' | 'latest' | 'race' | 'retry'

/** Where the library reports. No method throws. */
export interface Reports {
  /** A new cancellation is recorded: a node has it as its outcome. {@link reached} follows. */
  recorded(node: TokenNode, cancellation: Cancellation): void
  /** All nodes that the new cancellations reach are settled. No listener was called yet. */
  reached(nodes: readonly TokenNode[]): void
  /** A node has got its first listener, signal or name. */
  noticed(node: TokenNode): void
  deadlineMade(node: TokenNode): void
  /** `tokens` are those that were passed to the code that failed. Their cancellations are not failures. */
  failedLate(error: unknown, operation: LateOperation, node: TokenNode, tokens?: readonly TokenNode[]): void
  stuck(report: StuckReport): void
  scopeStarted(state: ScopeState, place: Error | undefined): ScopeEvent
  scopeEnded(event: ScopeEvent, outcome: { readonly error: unknown } | undefined, isFailure: boolean): void
  taskStarted(task: SubmittedTask, token: TokenNode): TaskEvent
  taskEnded(event: TaskEvent, outcome: TaskOutcome): void
  /** Runs the synchronous part of a task or a body. Throws what it throws. */
  within(event: ScopeEvent | TaskEvent, run: () => void): void
}

/** Undefined while there is no observer. */
export let reports: Reports | undefined

export function reportTo(next: Reports | undefined): void {
  reports = next
}
