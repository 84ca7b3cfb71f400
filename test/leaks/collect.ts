/**
 * Forced garbage collection, and what it leaves: on Node with `--expose-gc`, on Bun, on Deno with `--v8-flags=--expose-gc`,
 * in Chromium with `--js-flags=--expose-gc`.
 *
 * A `WeakRef` keeps its target until the job that made or read it ends, and finalizers run in jobs of their own. So
 * everything here yields to the event loop between two collections, and what is to be garbage has to be made in a function
 * that has returned by then.
 */
import assert from 'node:assert/strict'
import { SimpleToken } from 'calloff'

interface Host {
  readonly gc?: (options?: { type: 'major'; execution: 'async' }) => unknown
  readonly process?: { readonly versions: { readonly node: string }; memoryUsage(): { readonly heapUsed: number } }
  readonly setImmediate?: (callback: () => void) => unknown
  readonly Bun?: { gc(force: boolean): void; readonly version: string }
  readonly Deno?: { readonly version: { readonly deno: string } }
  /** Given to the page by what drives the browser. */
  readonly calloffHeap?: () => Promise<number>
}

const host = globalThis as unknown as Host

export const isBun = host.Bun !== undefined
export const isDeno = host.Deno !== undefined
export const isBrowser = host.process === undefined
export const isNode = !isBun && !isDeno && !isBrowser

const [major = 0, minor = 0] = host.process?.versions.node.split('.').map(Number) ?? []
/** The running Node, [0, 0] on the others, of which Bun and Deno also claim to be one. */
export const node: readonly [major: number, minor: number] = isNode ? [major, minor] : [0, 0]

/** Lets the event loop turn: timers, immediates, finalizers. */
export async function turn(): Promise<void> {
  await pause(0)
  const { setImmediate } = host
  if (setImmediate === undefined) return
  await new Promise<void>((resolve) => {
    setImmediate(resolve)
  })
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms)
  })
}

async function collectOnce(): Promise<void> {
  if (host.Bun !== undefined) host.Bun.gc(true)
  else if (host.gc === undefined) throw new Error('run with --expose-gc (Deno: --v8-flags=--expose-gc)')
  // In a page a collection from within a call has to guess what is native and on the stack; from the event loop it knows.
  else if (isBrowser) await host.gc({ type: 'major', execution: 'async' })
  else host.gc()
}

/** Collects what can be collected; what hangs on a finalizer too. */
export async function collect(rounds = 4): Promise<void> {
  for (let i = 0; i < rounds; i++) {
    await turn()
    await collectOnce()
  }
  await turn()
}

interface JavaScriptCore {
  heapStats(): { readonly heapSize: number; readonly extraMemorySize: number }
}

/** Bytes in use after a collection. */
async function heap(): Promise<number> {
  await collect(2)
  if (host.calloffHeap !== undefined) return host.calloffHeap()
  if (!isBun) return process.memoryUsage().heapUsed
  const name = 'bun:jsc' // no module for the others, so not to be seen by their loaders
  const { heapSize } = ((await import(name)) as JavaScriptCore).heapStats()
  return heapSize
}

/** Bytes that each operation leaves. Where it gives a promise, a batch of them is started and then awaited. */
export async function growth(count: number, operation: (index: number) => unknown, batch = 5_000): Promise<number> {
  await repeat(Math.min(count, 5_000), operation, batch) // compiled, and the tables have their size
  const before = await heap()
  await repeat(count, operation, batch)
  return ((await heap()) - before) / count
}

/** Fails unless each operation leaves less than `most` bytes. */
export async function leaves(
  most: number,
  count: number,
  operation: (index: number) => unknown,
  batch?: number,
): Promise<void> {
  // A leak leaves its bytes every time; what the compiler or the collector keeps for itself it keeps once.
  let least = Infinity
  for (let attempt = 0; attempt < 3 && !(least < most); attempt++) {
    least = Math.min(least, await growth(count, operation, batch))
  }
  assert.ok(least < most, `each left ${least.toFixed(1)} bytes, at most ${most} are allowed`)
}

async function repeat(count: number, operation: (index: number) => unknown, batch: number): Promise<void> {
  for (let done = 0; done < count;) {
    await some(done, (done = Math.min(count, done + batch)), operation)
    await turn()
    // Weak references are cleared by full collections only, and what sweeps them here and there is amortised.
    await collectOnce()
  }
}

/** A function of its own, so that nothing of a batch stays in the frame of the loop. */
async function some(from: number, to: number, operation: (index: number) => unknown): Promise<void> {
  let pending: unknown[] | undefined
  for (let i = from; i < to; i++) {
    const result = operation(i)
    if (result instanceof Promise) (pending ??= []).push(result)
  }
  if (pending !== undefined) await Promise.all(pending)
}

/** How many of the objects that `make` gives, and that nobody here keeps, outlive `then` and collections. */
export async function survivors(count: number, make: (index: number) => object, then?: () => unknown): Promise<number> {
  const references = Array.from({ length: count }, (_, i) => reference(make, i))
  await then?.()
  let left = count
  // What is leaked outlives any number of them; the compiler's thread holds an object for as long as it works on code with it.
  for (let attempt = 0; attempt < 8 && left > strays; attempt++) {
    await collect(2)
    left = references.filter((one) => one.deref() !== undefined).length
  }
  return left
}

const reference = (make: (index: number) => object, index: number) => new WeakRef(make(index))

/** Bun's collector is conservative: what looks like an address on the stack keeps an object or two in forty. */
export const strays = isBun ? 5 : 0

/** Bytes that an operation may leave: the noise of the measurement. */
export const FLAT = 24

/**
 * The same where it makes a signal. Node 22's own `AbortSignal.any` leaves 183 bytes on a source that lives on, which nobody
 * can reach; Node 20's 66 are what our guard saves; elsewhere something that is left is a thousand or more.
 */
export const FLAT_SIGNAL = node[0] === 22 ? 200 : node[0] === 20 ? 40 : 80

/**
 * Node forgets an abort there whose controller is collected before a composite is first read (nodejs/node#65995), so
 * composites without listeners hold their controllers, and the last 1,024 that were aborted are kept, with their errors' tokens.
 */
export const forgets = (node[0] === 24 && node[1] >= 16) || (node[0] === 26 && node[1] >= 1 && node[1] < 9)

/** Where the last aborted controllers are kept, other ones take their place. */
export function cancelOthers(): void {
  for (let i = 0; i < 1_024; i++) {
    const token = new SimpleToken()
    token.onCancel(() => token.signal)
    assert.equal(token.signal.aborted, false)
    token.cancel()
  }
}

/** Waits until it holds, for at most so long. */
export async function until(holds: () => boolean, ms = 120_000): Promise<void> {
  for (const end = performance.now() + ms; !holds() && performance.now() < end;) {
    await pause(5)
  }
}
