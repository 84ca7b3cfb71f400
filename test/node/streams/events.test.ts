import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import process from 'node:process'
import { describe, it } from 'node:test'
import { CANCELLED, CounterToken, SimpleToken, TimeoutToken } from 'calloff'
import { type Emitter, on, once, ProcessSignalToken } from 'calloff/node'
import { manualClock } from 'calloff/testing'

/** A token of which one can tell whether somebody listens to it. */
const watched = () => new ProcessSignalToken('SIGUSR2')
const listening = () => process.listenerCount('SIGUSR2')
const skip = process.platform === 'win32' && 'Windows does not know SIGUSR2'

interface Kind {
  readonly name: string
  make(): Emitter
  emit(emitter: Emitter, event: string, value: unknown): void
  valueOf(args: unknown[]): unknown
}

const kinds: readonly Kind[] = [
  {
    name: 'an emitter of Node',
    make: () => new EventEmitter(),
    emit: (emitter, event, value) => void (emitter as EventEmitter).emit(event, value),
    valueOf: ([value]) => value,
  },
  {
    name: 'an event target of the web',
    make: () => new EventTarget(),
    emit: (emitter, event, value) =>
      void (emitter as EventTarget).dispatchEvent(Object.assign(new Event(event), { value })),
    valueOf: ([event]) => (event as { value?: unknown }).value,
  },
]

const left = (emitter: EventEmitter) => emitter.eventNames().length
const reason = (promise: Promise<unknown>) =>
  promise.then(
    () => assert.fail('it did not reject'),
    (error: unknown) => error,
  )

for (const { name, make, emit, valueOf } of kinds) {
  describe(`once, of ${name}`, { skip }, () => {
    it('gives the arguments, and leaves no listener', async () => {
      const token = watched()
      const emitter = make()
      const promise = once(emitter, 'ready', token)
      assert.equal(listening(), 1)
      emit(emitter, 'ready', 5)
      emit(emitter, 'ready', 6)
      assert.equal(valueOf(await promise), 5)
      assert.equal(listening(), 0)
      if (emitter instanceof EventEmitter) assert.equal(left(emitter), 0)
    })

    it('rejects with the very error of the token', async () => {
      const token = new SimpleToken()
      const emitter = make()
      const promise = once(emitter, 'ready', token)
      token.cancel('enough')
      if (emitter instanceof EventEmitter) assert.equal(left(emitter), 0)
      assert.equal(await reason(promise), token.error)
    })

    it('under a cancelled token does not listen', async () => {
      const emitter = make()
      assert.equal(await reason(once(emitter, 'ready', CANCELLED)), CANCELLED.error)
      if (emitter instanceof EventEmitter) assert.equal(left(emitter), 0)
    })

    it('needs no token', async () => {
      const emitter = make()
      const promise = once(emitter, 'ready')
      emit(emitter, 'ready', 5)
      assert.equal(valueOf(await promise), 5)
    })

    it('1,000 times leaves nothing on a long-lived token', async () => {
      const token = watched()
      const emitter = make()
      for (let i = 0; i < 1_000; i++) {
        const promise = once(emitter, 'ready', token)
        emit(emitter, 'ready', i)
        assert.equal(valueOf(await promise), i)
      }
      assert.equal(listening(), 0)
      if (emitter instanceof EventEmitter) assert.equal(left(emitter), 0)
    })
  })

  describe(`on, of ${name}`, { skip }, () => {
    it('gives the arguments of all, from the call on, and leaves no listener when the loop is left', async () => {
      const token = watched()
      const emitter = make()
      const events = on(emitter, 'data', token)
      assert.equal(listening(), 1)
      emit(emitter, 'data', 1)
      emit(emitter, 'data', 2)
      const seen: unknown[] = []
      for await (const args of events) {
        seen.push(valueOf(args))
        if (seen.length === 3) break
        emit(emitter, 'data', 3)
      }
      assert.deepEqual(seen, [1, 2, 3])
      assert.equal(listening(), 0)
      if (emitter instanceof EventEmitter) assert.equal(left(emitter), 0)
      assert.deepEqual(await events.next(), { done: true, value: undefined })
    })

    it('rejects at once with the very error of the token, while it waits', async () => {
      const token = new SimpleToken()
      const emitter = make()
      const events = on(emitter, 'data', token)
      const next = events.next()
      token.cancel('enough')
      if (emitter instanceof EventEmitter) assert.equal(left(emitter), 0)
      assert.equal(await reason(next), token.error)
      assert.deepEqual(await events.next(), { done: true, value: undefined })
    })

    it('also without a waiting caller: kept events are dropped', async () => {
      const token = new SimpleToken()
      const emitter = make()
      const events = on(emitter, 'data', token)
      emit(emitter, 'data', 1)
      token.cancel('enough')
      if (emitter instanceof EventEmitter) assert.equal(left(emitter), 0)
      assert.equal(await reason(events.next()), token.error)
      assert.deepEqual(await events.next(), { done: true, value: undefined })
    })

    it('under a cancelled token does not listen, and says so', async () => {
      const emitter = make()
      const events = on(emitter, 'data', CANCELLED)
      if (emitter instanceof EventEmitter) assert.equal(left(emitter), 0)
      assert.equal(await reason(events.next()), CANCELLED.error)
      assert.deepEqual(await events.next(), { done: true, value: undefined })
    })

    it('return() ends it before it has begun', async () => {
      const token = watched()
      const emitter = make()
      const events = on(emitter, 'data', token)
      await events.return?.()
      assert.equal(listening(), 0)
      if (emitter instanceof EventEmitter) assert.equal(left(emitter), 0)
      assert.deepEqual(await events.next(), { done: true, value: undefined })
    })

    it('several can wait at once', async () => {
      const emitter = make()
      const events = on(emitter, 'data', new SimpleToken())
      const both = Promise.all([events.next(), events.next()])
      emit(emitter, 'data', 1)
      emit(emitter, 'data', 2)
      assert.deepEqual(
        (await both).map(({ value }) => valueOf(value ?? [])),
        [1, 2],
      )
      await events.return?.()
    })
  })
}

describe('the error event of an emitter', { skip }, () => {
  const broken = new Error('broken')

  it('is what once rejects with, and leaves no listener', async () => {
    const token = watched()
    const emitter = new EventEmitter()
    const promise = once(emitter, 'ready', token)
    emitter.emit('error', broken)
    assert.equal(await reason(promise), broken)
    assert.deepEqual([listening(), left(emitter)], [0, 0])
  })

  it('is what a loop over on throws, and leaves no listener', async () => {
    const token = watched()
    const emitter = new EventEmitter()
    const events = on(emitter, 'data', token)
    const next = events.next()
    emitter.emit('error', broken)
    assert.equal(await reason(next), broken)
    assert.deepEqual([listening(), left(emitter)], [0, 0])
  })

  it('a body that throws leaves no listener', async () => {
    const token = watched()
    const emitter = new EventEmitter()
    const loop = async () => {
      for await (const _ of on(emitter, 'data', token)) throw broken
    }
    const running = loop()
    emitter.emit('data')
    assert.equal(await reason(running), broken)
    assert.deepEqual([listening(), left(emitter)], [0, 0])
  })

  it('an event that closes ends the loop', async () => {
    const token = watched()
    const emitter = new EventEmitter()
    const events = on<[number]>(emitter, 'data', token, { close: ['end'] })
    emitter.emit('data', 1)
    emitter.emit('end')
    const seen: number[] = []
    for await (const [value] of events) seen.push(value)
    assert.deepEqual(seen, [1])
    assert.deepEqual([listening(), left(emitter)], [0, 0])
  })
})

it('a deadline ends once, and a loop', async () => {
  using clock = manualClock()
  const token = new TimeoutToken(100)
  const emitter = new EventEmitter()
  const both = [once(emitter, 'ready', token), on(emitter, 'data', token).next()].map(reason)
  clock.tick(100)
  assert.deepEqual(await Promise.all(both), [token.error, token.error])
  assert.equal(left(emitter), 0)
})

it('a counter is not consumed', async () => {
  const token = new CounterToken(1)
  const emitter = new EventEmitter()
  const promise = once(emitter, 'ready', token)
  emitter.emit('ready')
  await promise
  assert.equal(token.counter, 1)
})
