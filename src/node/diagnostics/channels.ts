/**
 * Publishes on `node:diagnostics_channel` what observers are told. docs/reference/observability.md is the contract.
 *
 * Invariants
 * DC1. There is an observer exactly while one of its channels has a subscriber or a store. So a channel without them costs nothing.
 * DC2. Every change of the subscribers goes through the methods of the channel object, even if `diagnostics_channel.subscribe` or a
 *      `TracingChannel` makes it. So these methods are replaced (`watch`): Node, Bun and Deno have no event for such a change.
 * DC3. The channels are kept in memory. Node itself keeps a channel without subscribers weakly, and would make another one.
 */
import { type Channel, channel, tracingChannel } from 'node:diagnostics_channel'
import { type Observer, type ScopeEvent, type TaskEvent, type TaskOutcome, trace } from '../../core/observers.js'

interface TraceMessage {
  /** How it has ended. Absent before the end. */
  outcome?: TaskOutcome
  /** What it has thrown, if it has failed. Absent before the end, and after a success or a cancellation. */
  error?: unknown
}

/** What the channels of `calloff:scope` publish: the same object from the start of a scope to its end. */
export interface ScopeMessage extends TraceMessage {
  readonly scope: ScopeEvent
}

/** What the channels of `calloff:task` publish: the same object from the start of a task to its end. */
export interface TaskMessage extends TraceMessage {
  readonly task: TaskEvent
}

const METHODS = ['subscribe', 'unsubscribe', 'bindStore', 'unbindStore'] as const

/** Calls `changed` after each change of the subscribers and the stores of a channel. */
function watch(one: Channel, changed: () => void): void {
  for (const name of METHODS) {
    // Another copy of the package may watch it, too.
    const before: unknown = Object.getOwnPropertyDescriptor(one, name)?.value
    Object.defineProperty(one, name, {
      configurable: true,
      writable: true,
      value: function (this: Channel, ...given: unknown[]) {
        // A channel has another prototype while it has subscribers.
        const method = before ?? Reflect.get(Object.getPrototypeOf(this) as object, name)
        const result: unknown = Reflect.apply(method as (...all: unknown[]) => unknown, this, given)
        changed()
        return result
      },
    })
  }
}

/** See DC3. Exported, because an export lives as long as the module, while an engine may collect other variables. */
export const kept: Channel[] = []

/** Has an observer exactly while one of the channels has a subscriber or a store (DC1). */
function observeFor(channels: readonly Channel[], observer: Observer): void {
  let tracing: Disposable | undefined
  const changed = () => {
    if (channels.some(({ hasSubscribers }) => hasSubscribers)) tracing ??= trace(observer)
    else {
      tracing?.[Symbol.dispose]()
      tracing = undefined
    }
  }
  for (const one of channels) {
    kept.push(one)
    watch(one, changed)
  }
  changed()
}

/** Publishes the course of each scope, or of each task, as `tracePromise` of Node publishes that of a call. */
function publishTrace<E extends ScopeEvent | TaskEvent>(
  name: string,
  messageOf: (event: E) => TraceMessage,
  observe: (start: (event: E) => void, end: (event: E, outcome: TaskOutcome) => void) => Observer,
): void {
  const { start, end, asyncStart, asyncEnd, error } = tracingChannel<unknown, object>(name)
  const messages = new WeakMap<ScopeEvent | TaskEvent, TraceMessage>()
  const started = (event: E) => void messages.set(event, messageOf(event))
  const ended = (event: E, outcome: TaskOutcome) => {
    const message = messages.get(event)
    if (!message) return // it started before the channel had a subscriber
    message.outcome = outcome
    if (outcome.state === 'failed') {
      message.error = outcome.error
      error.publish(message)
    }
    asyncStart.publish(message)
    asyncEnd.publish(message)
  }
  observeFor([start, end, asyncStart, asyncEnd, error], {
    ...observe(started, ended),
    around(event, run) {
      const message = messages.get(event)
      if (!message) return run()
      start.runStores(message, run)
      end.publish(message)
    },
  })
}

const cancels = channel('calloff:cancel')
const lateErrors = channel('calloff:late-error')
const stuck = channel('calloff:stuck')

observeFor([cancels], {
  deadlines: true,
  cancel(event) {
    // An error that is made now has the stack of the code that has cancelled, however late a subscriber reads it.
    void event.error
    cancels.publish(event)
  },
})
observeFor([lateErrors], { lateError: (event) => lateErrors.publish(event) })
observeFor([stuck], { stuck: (report) => stuck.publish(report) })
publishTrace<ScopeEvent>(
  'calloff:scope',
  (scope): ScopeMessage => ({ scope }),
  (scopeStart, scopeEnd) => ({ scopeStart, scopeEnd }),
)
publishTrace<TaskEvent>(
  'calloff:task',
  (task): TaskMessage => ({ task }),
  (taskStart, taskEnd) => ({ taskStart, taskEnd }),
)
