/** What the tests of behaviour share. Nothing here belongs to one runtime. */
import assert from 'node:assert/strict'
import type { CancellationToken } from 'calloff'

/** In a browser, and not in one of its workers. */
export const isPage = 'document' in globalThis

/** What `run` throws; fails if it throws nothing. */
export function thrown(run: () => unknown): unknown {
  try {
    run()
  } catch (error) {
    return error
  }
  return assert.fail('it should have thrown')
}

/** What the promise rejects with; fails if it resolves. */
export async function rejection(promise: PromiseLike<unknown>): Promise<unknown> {
  let value: unknown
  try {
    value = await promise
  } catch (error) {
    return error
  }
  return assert.fail(`it should have been rejected, and resolved with ${String(value)}`)
}

/** Lets the event loop turn: whatever is due, jobs and timers of 0 ms, has run after that. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, 1)
  })
}

/** A promise with its handles outside. */
export function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: unknown) => void } {
  let resolve!: (value: T) => void
  let reject!: (error: unknown) => void
  const promise = new Promise<T>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}

/** What is known of a promise without waiting for it, beyond letting jobs run. */
export async function stateOf(promise: PromiseLike<unknown>): Promise<'pending' | 'resolved' | 'rejected'> {
  let state: 'pending' | 'resolved' | 'rejected' = 'pending'
  promise.then(
    () => (state = 'resolved'),
    () => (state = 'rejected'),
  )
  await turn()
  return state
}

type Handler = (...args: unknown[]) => void
interface ProcessLike {
  listeners(event: string): Handler[]
  removeAllListeners(event: string): void
  on(event: string, handler: Handler): void
}

/** The errors that surface as uncaught ones while `run` runs and in the turns after it, in order. */
export async function uncaught(run: () => unknown): Promise<unknown[]> {
  const errors: unknown[] = []
  // Deno and browsers tell of them by an event.
  if ('Deno' in globalThis || !('process' in globalThis)) {
    const onError = (event: Event) => {
      event.preventDefault()
      errors.push((event as ErrorEvent).error)
    }
    globalThis.addEventListener('error', onError)
    try {
      await run()
      await turn()
      await turn()
    } finally {
      globalThis.removeEventListener('error', onError)
    }
    return errors
  }
  if ('Bun' in globalThis) {
    // Its test runner leaves no handle on uncaught errors, so they are caught where they are reported.
    const { reportError } = globalThis
    globalThis.reportError = (error) => void errors.push(error)
    try {
      await run()
      await turn()
    } finally {
      globalThis.reportError = reportError
    }
    return errors
  }
  const { process } = globalThis as unknown as { process: ProcessLike }
  const before = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  process.on('uncaughtException', (error) => errors.push(error))
  try {
    await run()
    await turn()
    await turn()
  } finally {
    process.removeAllListeners('uncaughtException')
    for (const handler of before) process.on('uncaughtException', handler)
  }
  return errors
}

/** A VS Code token with its source. */
export class EditorSource {
  isCancellationRequested = false
  readonly listeners = new Set<() => unknown>()

  onCancellationRequested(listener: () => unknown): { dispose(): void } {
    this.listeners.add(listener)
    return { dispose: () => void this.listeners.delete(listener) }
  }

  cancel(): void {
    this.isCancellationRequested = true
    for (const listener of this.listeners) listener()
  }
}

/** A signal of some polyfill: the right shape, no `AbortSignal`; it knows its listeners. */
export class OtherSignal {
  aborted = false
  reason: unknown = undefined
  readonly listeners = new Set<() => void>()
  /** How many listeners it has ever had. */
  added = 0

  addEventListener(_type: 'abort', listener: () => void): void {
    this.added++
    this.listeners.add(listener)
  }

  removeEventListener(_type: 'abort', listener: () => void): void {
    this.listeners.delete(listener)
  }

  /** Without the event: as seen by somebody who only looks. */
  abortSilently(reason: unknown): void {
    this.aborted = true
    this.reason = reason
  }

  abort(reason: unknown): void {
    this.abortSilently(reason)
    for (const listener of this.listeners) listener()
  }
}

/** Every way to poll a token directly: true if it went on. */
export const directPolls: readonly (readonly [string, (token: CancellationToken) => boolean | Promise<boolean>])[] = [
  ['cancelled', (token) => !token.cancelled],
  ['isCancelled()', (token) => !token.isCancelled()],
  ['isCancelled({ direct: true })', (token) => !token.isCancelled({ direct: true })],
  ['keepOn()', (token) => token.keepOn()],
  [
    'check()',
    (token) => {
      try {
        token.check()
        return true
      } catch (error) {
        assert.equal(error, token.error)
        return false
      }
    },
  ],
  ['a turn of for…of', (token) => token.turns()[Symbol.iterator]().next().done !== true],
  [
    'checkpoint()',
    (token) =>
      token.checkpoint().then(
        () => true,
        (error: unknown) => {
          assert.equal(error, token.error)
          return false
        },
      ),
  ],
  [
    'a turn of for await…of',
    async (token) => {
      const turn = await token.turns()[Symbol.asyncIterator]().next()
      return turn.done !== true
    },
  ],
]

const inspect = Symbol.for('nodejs.util.inspect.custom')

/** What `console.log` draws. */
export function drawn(token: CancellationToken): string {
  const draw = (token as unknown as Record<symbol, () => unknown>)[inspect]
  assert.ok(draw, 'it should say how it is drawn')
  return String(draw.call(token))
}

/** Every way to look at a token. */
export const looks: readonly (readonly [string, (token: CancellationToken) => unknown])[] = [
  ['error', (token) => token.error],
  ['reason', (token) => token.reason],
  ['cancelledBy', (token) => token.cancelledBy],
  ['remaining', (token) => token.remaining],
  ['String(token)', (token) => String(token)],
  ['a template', (token) => `${token}`],
  ['the inspector', (token) => drawn(token)],
  ['signal', (token) => token.signal],
]

/** A program that is blocked: time passes, and no timer of that time has run. Put right again at the end of the block. */
export function blocking(): Disposable & { block(ms: number): void } {
  const own = Object.getOwnPropertyDescriptor(performance, 'now')
  const { now } = performance
  let ahead = 0
  Object.defineProperty(performance, 'now', { configurable: true, value: () => now.call(performance) + ahead })
  return {
    block(ms) {
      ahead += ms
    },
    [Symbol.dispose]() {
      if (own) Object.defineProperty(performance, 'now', own)
      else delete (performance as { now?: unknown }).now
    },
  }
}
