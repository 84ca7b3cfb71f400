/** A signal of ours is to Node, to its modules and to undici what one of its own is. */
import assert from 'node:assert/strict'
import events from 'node:events'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { aborted, inspect, isDeepStrictEqual } from 'node:util'
import { type CancellationToken, ConditionToken, from, NEVER, SimpleToken, TimeoutToken } from 'calloff'

const makes: readonly (readonly [string, () => CancellationToken])[] = [
  ['a token', () => new SimpleToken()],
  ['a derived token', () => new SimpleToken(new SimpleToken())],
  ['a deadline below a token', () => new TimeoutToken(3_600_000, new SimpleToken())],
  ['a condition', () => new ConditionToken(() => false)],
  ['a foreign signal', () => from(new AbortController().signal)],
]
const all: readonly (readonly [string, () => AbortSignal, () => AbortSignal])[] = [
  ...makes.map(
    ([name, make]) => [name, () => make().signal, () => AbortSignal.any([new AbortController().signal])] as const,
  ),
  ['NEVER', () => NEVER.signal, () => new AbortController().signal],
  ['a cancelled token', () => new SimpleToken().cancel().signal, () => AbortSignal.abort()],
  [
    'a token below a cancelled one',
    () => new SimpleToken(new SimpleToken().cancel()).signal,
    () => AbortSignal.abort(),
  ],
]

for (const [name, make, native] of all) {
  describe(`the signal of ${name}`, () => {
    it('looks like one of the platform', () => {
      const [signal, plain] = [make(), native()]
      assert.ok(signal instanceof AbortSignal)
      assert.ok(signal instanceof EventTarget)
      assert.equal(Object.getPrototypeOf(signal), AbortSignal.prototype)
      assert.equal(Object.prototype.toString.call(signal), '[object AbortSignal]')
      assert.deepEqual(Object.keys(signal), Object.keys(plain))
      assert.deepEqual(Object.getOwnPropertyNames(signal), Object.getOwnPropertyNames(plain))
      assert.equal(inspect(signal), inspect(plain))
      // What can be seen of it under symbols, too. Node 20 and 22 make the last when they first compose something of a signal.
      const seen = (one: AbortSignal) =>
        Object.getOwnPropertySymbols(one)
          .filter((symbol) => Object.getOwnPropertyDescriptor(one, symbol)?.enumerable)
          .map((symbol) => symbol.description ?? '')
      const usual = new Set([...seen(plain), ...seen(new AbortController().signal), 'kDependantSignals'])
      assert.deepEqual(
        seen(signal).filter((symbol) => !usual.has(symbol)),
        [],
      )
      assert.equal(isDeepStrictEqual(signal, signal), true)
    })

    it('is cloned, or refused, as one of the platform is', () => {
      const nameOf = (value: unknown) => {
        try {
          return Object.prototype.toString.call(structuredClone(value))
        } catch (error) {
          return (error as Error).name
        }
      }
      assert.equal(nameOf(make()), nameOf(native()))
    })

    it('can be asked and told how many listeners it may have', () => {
      const signal = make()
      assert.equal(typeof events.getMaxListeners(signal), 'number')
      const most = events.getMaxListeners(signal)
      assert.ok(most === 0 || most === Infinity, `${most} listeners make a warning`)
      events.setMaxListeners(7, signal)
      assert.equal(events.getMaxListeners(signal), 7)
    })

    it('is taken by fetch’s Request', () => {
      const signal = make()
      const request = new Request('http://localhost/', { signal })
      assert.equal(request.signal.aborted, signal.aborted)
      assert.equal(request.clone().signal.aborted, signal.aborted)
    })

    it('can be listened to by events.addAbortListener, and its listeners counted', () => {
      const signal = make()
      const before = events.getEventListeners(signal, 'abort').length
      const registration = events.addAbortListener(signal, () => {})
      assert.equal(events.getEventListeners(signal, 'abort').length, before + (signal.aborted ? 0 : 1))
      registration[Symbol.dispose]()
      assert.equal(events.getEventListeners(signal, 'abort').length, before)
    })
  })
}

describe('the modules of Node end with the token’s error', () => {
  for (const [name, make] of makes) {
    it(`that is ${name}`, async () => {
      const token = make()
      const { signal } = token
      const ends: readonly Promise<unknown>[] = [
        delay(3_600_000, undefined, { signal, ref: false }),
        events.once(new EventTarget(), 'never', { signal }),
        events.once(new events.EventEmitter(), 'never', { signal }),
        events.on(new events.EventEmitter(), 'never', { signal }).next(),
        pipeline(
          new Readable({ read() {} }),
          async function* drain(source) {
            for await (const chunk of source) yield chunk
          },
          { signal },
        ),
        new ReadableStream().pipeTo(new WritableStream(), { signal }),
      ]
      const done = Promise.allSettled(ends)
      const told = aborted(signal, token)
      token.cancel('why')
      for (const end of await done) {
        assert.equal(end.status, 'rejected')
        const { reason } = end
        assert.ok(reason === token.error || (reason as Error).cause === token.error, String(reason))
      }
      await told
    })
  }
})
