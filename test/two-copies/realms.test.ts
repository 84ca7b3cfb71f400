/** Errors and signals of another realm: what a node:vm context, a jsdom window or an Electron frame hands over. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createContext, runInContext } from 'node:vm'
import { from, isCancellation, SimpleToken, TimeoutToken } from 'calloff'

const realm = createContext({ SimpleToken, AbortController, DOMException })
const evaluate = (code: string): unknown => runInContext(`(${code})`, realm) as unknown

test('the realm is another one', () => {
  assert.equal(evaluate('new Error()') instanceof Error, false)
  assert.equal(evaluate('{}') instanceof Object, false)
})

test('errors of another realm are told by what they are', () => {
  const is = (code: string): boolean => isCancellation(evaluate(code))
  assert.equal(is("Object.assign(new Error('aborted'), { name: 'AbortError' })"), true)
  assert.equal(is("Object.assign(new Error('aborted'), { code: 'ABORT_ERR' })"), true)
  assert.equal(is("new DOMException('aborted', 'AbortError')"), true)
  assert.equal(is("new DOMException('late', 'TimeoutError')"), true)
  assert.equal(is("new Error('wrapped', { cause: new DOMException('aborted', 'AbortError') })"), true)
  assert.equal(is("Object.assign(new Error('socket'), { name: 'TimeoutError' })"), false)
  assert.equal(is("new Error('disk full')"), false)
  assert.equal(is('Object.create(null)'), false)
})

test('an AggregateError of another realm is one if all of it is', () => {
  const is = (code: string): boolean => isCancellation(evaluate(code))
  const aborted = "new DOMException('aborted', 'AbortError')"
  assert.equal(is(`new AggregateError([${aborted}, ${aborted}])`), true)
  assert.equal(is(`new AggregateError([${aborted}, new Error('disk full')])`), false)
  assert.equal(is('new AggregateError([])'), false)
})

test('a wrapper of another realm around our error belongs to its token alone', () => {
  const token = new SimpleToken().cancel('enough')
  const wrap = evaluate("(cause) => new Error('wrapped', { cause })") as (cause: unknown) => unknown
  assert.equal(isCancellation(wrap(token.error)), true)
  assert.equal(isCancellation(wrap(token.error), token), true)
  assert.equal(isCancellation(wrap(token.error), new SimpleToken().cancel()), false)
})

test('a reason of another realm is kept as it is, and known when it is a timeout', () => {
  const reason = evaluate("new Error('theirs')")
  const token = new SimpleToken().cancel(reason)
  assert.equal(token.error?.cause, reason)
  assert.match(token.error?.message ?? '', /theirs/)
  const controller = new AbortController()
  controller.abort(evaluate("new DOMException('late', 'TimeoutError')"))
  assert.equal(from(controller.signal).error?.kind, 'timeout')
  const foreign = new AbortController()
  // Such an object is an instance of nobody's Object here.
  const late = evaluate("Object.assign(new Error('late'), { name: 'TimeoutError' })")
  foreign.abort(late)
  assert.equal(from(foreign.signal).error?.kind, 'signal', 'a mere Error of that name is no timeout of the platform')
  assert.equal(from(foreign.signal).error?.cause, late)
})

/** A signal class that shares nothing with ours, as a polyfill, another realm or jsdom has it. */
const POLYFILL = `class {
  aborted = false
  reason = undefined
  listeners = new Set()
  addEventListener(type, listener) { if (type === 'abort') this.listeners.add(listener) }
  removeEventListener(type, listener) { this.listeners.delete(listener) }
  abort(reason) { this.aborted = true; this.reason = reason; for (const listener of [...this.listeners]) listener({ type: 'abort' }) }
}`

interface Polyfill {
  readonly aborted: boolean
  readonly listeners: Set<unknown>
  abort(reason: unknown): void
  addEventListener(type: 'abort', listener: () => void): void
  removeEventListener(type: 'abort', listener: () => void): void
}

const polyfill = (): Polyfill => new (evaluate(POLYFILL) as new () => Polyfill)()

test('a signal of another realm is nested, listened to, polled and let go', async () => {
  const signal = polyfill()
  const token = new SimpleToken(signal, new TimeoutToken(600_000))
  assert.deepEqual([token.cancelled, signal.listeners.size], [false, 0])
  const registrations = [token.onCancel(() => {}), from(signal).onCancel(() => {})]
  assert.equal(signal.listeners.size, 1)
  for (const registration of registrations) registration.stop()
  assert.equal(signal.listeners.size, 0)
  const wait = token.wait()
  signal.abort('gone')
  const error = await wait
  assert.deepEqual([error.kind, error.cause, signal.listeners.size], ['signal', 'gone', 0])
  assert.equal(token.signal.reason, error)
  assert.equal(from(signal).error, error)
})

test('a controller of another realm is known by its shape', () => {
  const controller = evaluate('new (class { signal = new AbortController().signal; abort() {} })()')
  const { signal } = controller as AbortController
  const token = from(controller as AbortController)
  assert.equal(token.cancelled, false)
  assert.equal(from(signal).cancelled, false)
})

test('code of another realm uses our tokens and signals', async () => {
  const token = new SimpleToken()
  realm.token = token
  assert.equal(evaluate('token.cancelled'), false)
  const heard = evaluate(
    "new Promise((resolve) => token.signal.addEventListener('abort', () => resolve(token.signal.reason)))",
  )
  const raced = evaluate('token.race((own) => own.wait())') as Promise<unknown>
  const refused = assert.rejects(raced, (error) => error === token.error)
  evaluate("token.cancel('from over there')")
  assert.equal(await heard, token.error)
  await refused
  assert.equal(token.reason, 'from over there')
})

test('promises, iterables and options of another realm are as good as ours', async () => {
  const token = new SimpleToken()
  assert.equal(await token.race(evaluate("Promise.resolve('theirs')") as Promise<string>), 'theirs')
  const items: unknown[] = []
  for await (const item of token.iterate(evaluate('[1, 2, 3]') as number[])) items.push(item)
  assert.deepEqual(items, [1, 2, 3])
  assert.equal(await token.race(evaluate("[Promise.resolve('first')]") as Promise<string>[]), 'first')
  const named = new SimpleToken(evaluate("({ name: 'theirs' })") as { name: string })
  assert.equal(named.name, 'theirs')
  await assert.rejects(token.wait(evaluate('({ timeout: 0 })') as { timeout: number }), { kind: 'timeout' })
})
