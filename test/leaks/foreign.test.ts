/** However many tokens derive from one foreign signal, it carries one listener of ours, and only while somebody listens. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { allOf, anyOf, from, type Registration, SimpleToken, TimeoutToken } from 'calloff'
import { collect, FLAT, FLAT_SIGNAL, isNode, leaves, strays, survivors } from './collect.js'

const MANY = 10_000
const nothing = (): void => {}

/** A controller whose signal counts its listeners. */
function counted(): { controller: AbortController; listeners: () => number; most: () => number } {
  const controller = new AbortController()
  const { signal } = controller
  const listening = new Set<unknown>()
  let most = 0
  const { addEventListener, removeEventListener } = signal
  signal.addEventListener = (type: string, listener: EventListenerOrEventListenerObject, options?: unknown) => {
    listening.add(listener)
    most = Math.max(most, listening.size)
    addEventListener.call(signal, type, listener, options as AddEventListenerOptions)
  }
  signal.removeEventListener = (type: string, listener: EventListenerOrEventListenerObject) => {
    listening.delete(listener)
    removeEventListener.call(signal, type, listener)
  }
  return { controller, listeners: () => listening.size, most: () => most }
}

test('ten thousand tokens with a listener each put one listener on the signal, and take it away again', () => {
  const { controller, listeners, most } = counted()
  const { signal } = controller
  const registrations: Registration[] = []
  for (let i = 0; i < MANY; i++) {
    const token = [
      () => from(signal),
      () => new SimpleToken(signal),
      () => anyOf(signal, new SimpleToken()),
      () => allOf(signal),
    ][i % 4]
    registrations.push(token?.().onCancel(nothing) as Registration)
  }
  assert.equal(listeners(), 1)
  while (registrations.length > 1) assert.equal(registrations.pop()?.stop(), true)
  assert.equal(listeners(), 1)
  registrations.pop()?.stop()
  assert.deepEqual([listeners(), most()], [0, 1])
})

test('the runtime counts one listener and none, too', { skip: !isNode && 'only Node can be asked' }, async () => {
  const { getEventListeners } = (await import('node:events')).default
  const { signal } = new AbortController()
  const registrations = Array.from({ length: MANY }, () => new SimpleToken(signal).onCancel(nothing))
  assert.equal(getEventListeners(signal, 'abort').length, 1)
  for (const registration of registrations) registration.stop()
  assert.equal(getEventListeners(signal, 'abort').length, 0)
})

test('a signal has no listener while tokens are only derived from it, polled and read', () => {
  const { controller, most } = counted()
  for (let i = 0; i < MANY; i++) {
    const token = from(controller.signal).plus(new TimeoutToken(60_000))
    assert.equal(token.cancelled || token.error !== undefined || String(token) === '', false)
  }
  assert.equal(most(), 0)
})

test('a thousand signals of derived tokens put one listener on the signal', () => {
  const { controller, listeners } = counted()
  const signals = Array.from({ length: 1_000 }, () => new SimpleToken(controller.signal).signal)
  assert.equal(listeners(), 1)
  controller.abort()
  assert.ok(signals.every(({ aborted }) => aborted))
})

test('waits, sleeps and races take their listener away when they are over', async () => {
  const { controller, listeners, most } = counted()
  const token = from(controller.signal)
  await Promise.all([
    token.sleep(1),
    token.race(Promise.resolve()),
    token.wait({ timeout: 1 }).catch(nothing),
    token.race(async (own) => own.cancelled),
  ])
  assert.deepEqual([listeners(), most()], [0, 1])
})

test('an abort takes the listener away and reaches all ten thousand, once', () => {
  const { controller, listeners } = counted()
  let calls = 0
  for (let i = 0; i < MANY; i++) new SimpleToken(controller.signal).onCancel(() => calls++)
  controller.abort('gone')
  assert.deepEqual([calls, listeners()], [MANY, 0])
})

test('tokens that are cancelled by themselves take the listener away', () => {
  const { controller, listeners } = counted()
  const tokens = Array.from({ length: 100 }, () => new SimpleToken(controller.signal))
  for (const token of tokens) token.onCancel(nothing)
  assert.equal(listeners(), 1)
  for (const token of tokens) token.cancel()
  assert.equal(listeners(), 0)
})

test('a foreign signal that lives long keeps nothing of the tokens derived from it', async () => {
  const { signal } = new AbortController()
  await leaves(FLAT, 10_000, () => from(signal).plus(new SimpleToken()).onCancel(nothing).stop())
  await leaves(FLAT_SIGNAL, 20_000, () => new SimpleToken(signal).signal.aborted)
})

test('a parent that lives long keeps nothing of the foreign signals nested beside it', async () => {
  const parent = new SimpleToken()
  await leaves(FLAT, 10_000, () => {
    new SimpleToken(parent, new AbortController().signal).onCancel(nothing).stop()
  })
  await leaves(FLAT_SIGNAL, 20_000, () => new SimpleToken(parent, new AbortController().signal).signal.aborted)
})

test('a foreign signal is not kept by the tokens that were made of it', async () => {
  const left = await survivors(100, (i) => {
    const { signal } = new AbortController()
    const token = from(signal)
    if (i % 2 === 0) token.onCancel(nothing)
    else token.signal.addEventListener('abort', nothing)
    return signal
  })
  assert.ok(left <= strays, `${left} were kept`)
})

test('a listener below a foreign signal is heard after everything else was collected', async () => {
  const controller = new AbortController()
  let heard = 0
  const listen = (): void => {
    for (let i = 0; i < 40; i++)
      from(controller.signal)
        .plus(new SimpleToken())
        .onCancel(() => heard++)
  }
  listen()
  await collect()
  controller.abort()
  assert.equal(heard, 40)
})
