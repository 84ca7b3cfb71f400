/** What a scope can tell of what it has started: name, age, and the place in the program. */
import { now } from '../clock.js'
import type { CancellationError } from '../errors.js'

/** A task of a scope that has not settled. */
export interface UnfinishedTask {
  /** The name it was given, else that of its function; of an item of `map`, with its index. */
  readonly name: string | undefined
  /** Whether it has been started, or waits for others because of `concurrency`. */
  readonly state: 'running' | 'waiting'
  /** Milliseconds since it was handed to the scope. */
  readonly age: number
  /** Where that was, as a line of a stack: `load (file:///app/load.js:12:5)`. Undefined with `trace: false`. */
  readonly startedAt: string | undefined
}

/** A scope was cancelled and has not come to its end in time. */
export interface StuckReport {
  /** The name of the scope. */
  readonly scope: string | undefined
  /** Who cancelled it, and why. */
  readonly error: CancellationError
  /** Milliseconds since then. */
  readonly stuckAfter: number
  /** Whether the body itself, or the block of an open scope, has not come to its end. */
  readonly isBodyRunning: boolean
  /** The tasks that have not settled, in the order they were handed to the scope. */
  readonly unfinished: readonly UnfinishedTask[]
}

/** How many frames: this file's own, that of the method of the scope, and the caller's, which is the one that counts. */
const FRAMES = 3

/**
 * Where the caller of the caller stands. The engines take a snapshot of the stack, and make text of it when it is read; a
 * short one costs about 1 µs (0.1 on Bun), a usual one twice to four times that.
 */
export function placeOfCaller(): Error {
  const before: unknown = Reflect.get(Error, 'stackTraceLimit')
  // Not by assignment, which throws where somebody has frozen the intrinsics.
  Reflect.set(Error, 'stackTraceLimit', FRAMES)
  const place = new Error()
  Reflect.set(Error, 'stackTraceLimit', before)
  return place
}

/** The line of the stack that counts, whatever the engine: V8 puts a head above, and `at` before each. */
function lineOf(place: Error | undefined): string | undefined {
  const stack: unknown = place?.stack // of a type of its own, where somebody prepares stacks
  if (typeof stack !== 'string') return undefined
  const lines = stack.split('\n').filter((line) => /:\d+(:\d+)?\)?$/.test(line))
  return lines[FRAMES - 1]?.trim().replace(/^at /, '')
}

/** What is known of a task from the moment it is handed over. */
export interface Known {
  readonly name: string | undefined
  readonly index: number | undefined
  readonly began: number
  readonly place: Error | undefined
  readonly isWaiting: boolean
}

export function describeTask({ name, index, began, place, isWaiting }: Known): UnfinishedTask {
  return {
    name: index === undefined ? name : `${name ?? 'map'}[${index}]`,
    state: isWaiting ? 'waiting' : 'running',
    age: now() - began,
    startedAt: lineOf(place),
  }
}

/** How many tasks a warning names. */
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

/** What happens to a report that nobody asked for: a warning of the process, where there is one. */
export function warn(report: StuckReport): void {
  const { process } = globalThis as { process?: { emitWarning?(text: string, type: string, code: string): void } }
  /* c8 ignore next -- a browser has no process */
  if (process?.emitWarning) process.emitWarning(textOf(report), 'StuckScopeWarning', 'CALLOFF_STUCK_SCOPE')
  // eslint-disable-next-line no-console
  else console.warn(textOf(report))
}
