/** What a scope reports of its tasks: the name, the age, and the place in the program. */
import { now } from '../clock.js'
import type { CancellationError } from '../errors.js'
import type { CancellationToken } from '../token.js'

/** A task of a scope that has not settled. */
export interface UnfinishedTask {
  /** The given name, else the name of the function. Of an item of `map`, with its index. */
  readonly name: string | undefined
  /** Whether it was started, or waits for other tasks because of `concurrency`. */
  readonly state: 'running' | 'waiting'
  /** Milliseconds since it was passed to the scope. */
  readonly age: number
  /**
   * Where it was passed to the scope, as a line of a stack: `load (file:///app/load.js:12:5)`. Undefined with `trace: false`.
   */
  readonly startedAt: string | undefined
}

/** The report of a scope that was cancelled and has not ended in time. */
export interface StuckReport {
  /** The name of the scope. */
  readonly scope: string | undefined
  /** The scope's own token. */
  readonly token: CancellationToken
  /** The error of the cancellation. It says where the cancellation started, and why. */
  readonly error: CancellationError
  /** Milliseconds since the cancellation. */
  readonly stuckAfter: number
  /** Whether the body, or the block of an open scope, has not ended. */
  readonly isBodyRunning: boolean
  /** The tasks that have not settled, in the order in which they were passed to the scope. */
  readonly unfinished: readonly UnfinishedTask[]
}

/**
 * How many frames are kept: that of this file, that of the method of the scope, and the caller's. The caller's is the
 * one to show.
 */
const FRAMES = 3

/**
 * Returns an error whose stack shows where the caller of the caller is. JavaScript engines take a snapshot of the stack,
 * and make text of it when it is read. A short snapshot takes about 1 µs (0.1 µs on Bun), one of the usual length two
 * to four times as long.
 */
export function placeOfCaller(): Error {
  const before: unknown = Reflect.get(Error, 'stackTraceLimit')
  // Not by assignment, which throws where a program has frozen the intrinsics.
  Reflect.set(Error, 'stackTraceLimit', FRAMES)
  const place = new Error()
  Reflect.set(Error, 'stackTraceLimit', before)
  return place
}

/**
 * Returns the caller's line of the stack, on every JavaScript engine. V8 begins a stack with the message, and each line with `at`.
 */
export function lineOf(place: Error | undefined): string | undefined {
  const stack: unknown = place?.stack // it has another type where a program prepares stacks
  if (typeof stack !== 'string') return undefined
  const lines = stack.split('\n').filter((line) => /:\d+(:\d+)?\)?$/.test(line))
  return lines[FRAMES - 1]?.trim().replace(/^at /, '')
}

/** What is known of a task when it is passed to the scope, and whether it waits. */
export interface Known {
  readonly given: {
    readonly name: string | undefined
    readonly index?: number | undefined
    readonly place: Error | undefined
  }
  readonly began: number
  readonly isWaiting: boolean
}

export function nameOf({ given: { name, index } }: Known): string | undefined {
  return index === undefined ? name : `${name ?? 'map'}[${index}]`
}

export function describeTask(task: Known): UnfinishedTask {
  const { given, began, isWaiting } = task
  return {
    name: nameOf(task),
    state: isWaiting ? 'waiting' : 'running',
    age: now() - began,
    startedAt: lineOf(given.place),
  }
}

/** The most tasks that a warning names. */
const MOST = 10

function textOf({ scope, error, stuckAfter, isBodyRunning, unfinished }: StuckReport): string {
  const tasks = unfinished
    .slice(0, MOST)
    .map(
      ({ name, age, startedAt }) => `${name ?? 'a task'} (${Math.round(age)} ms old, started at ${startedAt ?? '?'})`,
    )
  if (isBodyRunning) tasks.unshift('its body')
  if (unfinished.length > MOST) tasks.push(`${unfinished.length - MOST} more`)
  const whose = scope === undefined ? 'a scope' : `scope ${JSON.stringify(scope)}`
  return `${whose} has not stopped ${stuckAfter} ms after it was cancelled (${error.message}): ${tasks.join('; ')}`
}

declare const console: { warn(text: string): void }

/** Reports where no `onStuck` was given: by a warning of the process, where there is a process. */
export function warn(report: StuckReport): void {
  emitWarning(textOf(report), 'StuckScopeWarning', 'CALLOFF_STUCK_SCOPE')
}

/** Warns by a warning of the process, where there is a process, and on the console elsewhere. */
export function emitWarning(text: string, type: string, code: string): void {
  const { process } = globalThis as { process?: { emitWarning?(text: string, type: string, code: string): void } }
  /* c8 ignore next -- a browser has no process */
  if (process?.emitWarning) process.emitWarning(text, type, code)
  // eslint-disable-next-line no-console
  else console.warn(text)
}
