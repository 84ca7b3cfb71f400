/** What holds for every kind of token. */
import { describe, it } from 'node:test'
import assert from 'node:assert/strict'
import {
  CancellationError,
  type CancellationToken,
  DefaultToken,
  isCancellation,
  NEVER,
  SimpleToken,
  TimeoutToken,
} from 'calloff'
import { directPolls, looks, rejection, stateOf, thrown } from './helpers.js'
import { deadKinds, endingKinds, kinds, nestingKinds } from './kinds.js'

/** Every view of a token must tell this. */
async function assertOver(token: CancellationToken, error: CancellationError): Promise<void> {
  assert.equal(token.cancelled, true)
  assert.equal(token.isCancelled(), true)
  assert.equal(token.isCancelled({ direct: false }), true)
  assert.equal(token.keepOn(), false)
  assert.equal(
    thrown(() => token.check()),
    error,
  )
  assert.equal(token.error, error)
  assert.equal(token.cancelledBy, error.token)
  assert.equal(token.remaining, 0)
  assert.equal(token.signal.aborted, true)
  assert.equal(token.signal.reason, error)
  let told: unknown
  assert.equal(token.onCancel((it) => (told = it)).stop(), false)
  assert.equal(told, error)
  assert.equal(await token.wait(), error)
  assert.equal(await token.wait({ timeout: 0 }), error)
  assert.equal(token.waitSync(), error)
  assert.equal(await rejection(token.sleep(0)), error)
  assert.equal(await rejection(token.checkpoint()), error)
  assert.equal(await rejection(token.race(async () => 'started')), error)
  assert.deepEqual([...token.turns()], [])
  for await (const turn of token.turns()) assert.fail(`turn ${turn} of a dead token`)
  for await (const tick of token.every(0)) assert.fail(`tick ${tick} of a dead token`)
  assert.equal(await rejection(token.iterate([1])[Symbol.asyncIterator]().next()), error)
  assert.equal(isCancellation(error, token), true)
}

for (const { name, make } of kinds) {
  describe(`any token: ${name}`, () => {
    it('is live when made, by every view', () => {
      const token = make()
      assert.equal(token.cancelled, false)
      assert.equal(token.isCancelled(), false)
      assert.equal(token.isCancelled({ direct: false }), false)
      assert.equal(token.keepOn(), true)
      assert.equal(token.check(), undefined)
      assert.equal(token.error, undefined)
      assert.equal(token.cancelledBy, undefined)
      assert.equal(token.reason, undefined)
      assert.ok(token.remaining > 0)
      assert.equal(token.signal.aborted, false)
      assert.deepEqual(token.turns()[Symbol.iterator]().next(), { done: false, value: 0 })
    })

    it('can be cancelled, before and after it is', () => {
      const token = make()
      assert.equal(token.canBeCancelled, true)
      assert.equal(new Proxy(token, {}).canBeCancelled, true)
      assert.equal(token.view.canBeCancelled, true)
      assert.equal(token.cancel().canBeCancelled, true)
    })

    it('is not iterable: its turns are', async () => {
      const token = make()
      for (const symbol of [Symbol.iterator, Symbol.asyncIterator]) assert.equal(symbol in token, false)
      const turns = token.turns()
      for (let loop = 0; loop < 2; loop++) {
        const counted: number[] = []
        for (const turn of turns) if (counted.push(turn) === 3) break
        for await (const turn of turns) if (counted.push(turn) === 6) break
        assert.deepEqual(counted, [0, 1, 2, 0, 1, 2])
      }
    })

    it('timeoutFor gives what clients take', () => {
      const token = make()
      const live = token.timeoutFor()
      assert.ok(live === undefined || (Number.isInteger(live) && live >= 1 && live <= 2 ** 31 - 1), String(live))
      assert.equal(live === undefined, token.remaining === Infinity)
      assert.equal(token.timeoutFor({ max: 5 }), 5)
      assert.equal(token.timeoutFor({ max: 5.9 }), 5)
      assert.equal(token.timeoutFor({ max: undefined }) === undefined, live === undefined)
      if (live === undefined) assert.equal(token.plus(new TimeoutToken(2 ** 40)).timeoutFor(), 2 ** 31 - 1)
      for (const max of [0, 0.5, -1, Number.NaN]) assert.throws(() => token.timeoutFor({ max }), RangeError)
      token.cancel()
      assert.equal(token.timeoutFor(), 1)
      assert.equal(token.timeoutFor({ max: 5 }), 1)
    })

    it('reads as cancelled in every way', async () => {
      const token = make()
      assert.equal(token.cancel('why'), token)
      const error = token.error
      assert.ok(error instanceof CancellationError)
      assert.equal(error.constructor, CancellationError)
      assert.equal(error.kind, 'manual')
      assert.equal(error.token, token)
      assert.equal(error.cause, 'why')
      assert.equal(token.reason, 'why')
      await assertOver(token, error)
    })

    it('keeps the first reason and the one error', () => {
      const token = make().cancel('first')
      const error = token.error
      token.cancel('second').cancel()
      token[Symbol.dispose]()
      assert.equal(token.reason, 'first')
      assert.equal(token.error, error)
      assert.equal(token.error?.kind, 'manual')
    })

    it('reaches listeners, waits, races, sleeps and signals', async () => {
      const token = make()
      const told: unknown[] = []
      token.onCancel((error) => told.push(error))
      token.signal.addEventListener('abort', () => told.push(token.signal.reason))
      const waiting = token.wait()
      const racing = rejection(token.race(new Promise(() => {})))
      const sleeping = rejection(token.sleep(1_000_000))
      const iterating = rejection(token.iterate(endless())[Symbol.asyncIterator]().next())
      const ticking = token.every(1_000_000)[Symbol.asyncIterator]().next()
      assert.equal(await stateOf(waiting), 'pending')
      token.cancel()
      assert.deepEqual(told.length, 2)
      for (const error of [...told, await waiting, await racing, await sleeping, await iterating]) {
        assert.equal(error, token.error)
      }
      assert.equal((await ticking).done, true)
    })

    it('does not call a listener that was stopped in time', () => {
      const token = make()
      let calls = 0
      const registration = token.onCancel(() => calls++)
      assert.equal(registration.stop(), true)
      assert.equal(registration.stop(), false)
      token.cancel()
      assert.equal(calls, 0)
    })

    it('can be disposed of, also twice: that is a cancel of kind dispose', async () => {
      const token = make()
      const below = new SimpleToken(token)
      let told: CancellationError | undefined
      token.onCancel((error) => (told = error))
      token[Symbol.dispose]()
      token[Symbol.dispose]()
      assert.equal(told?.kind, 'dispose')
      assert.equal(told?.token, token)
      assert.equal(below.error, told)
      await assertOver(token, told)
    })

    it('refuses to be cloned', () => {
      assert.throws(() => structuredClone(make()))
    })

    it('has a text that looking does not change', () => {
      const token = make()
      const text = String(token)
      for (const [, look] of looks) look(token)
      assert.equal(String(token), text)
      assert.match(text, /^[A-Za-z.]+\(.*\)$/)
    })

    it('does not end because a token below it does', () => {
      const token = make()
      const below = [new SimpleToken(token), token.plus(new SimpleToken()), token.grace(10)]
      for (const one of below) one.cancel()
      for (const one of below) assert.equal(one.cancelled, true)
      assert.equal(token.cancelled, false)
    })

    for (const [poll, keepsOn] of directPolls) {
      it(`answers ${poll} before and after`, async () => {
        const token = make()
        assert.equal(await keepsOn(token), true)
        token.cancel()
        assert.equal(await keepsOn(token), false)
      })
    }
  })
}

async function* endless(): AsyncGenerator<never> {
  await new Promise(() => {})
}

describe('any token below any other', () => {
  for (const outer of nestingKinds) {
    for (const inner of kinds) {
      it(`${outer.name} ends with ${inner.name}, by the same error, and not the other way round`, async () => {
        const source = inner.make()
        const token = outer.make(source)
        assert.equal(token.cancelled, false)
        source.cancel('above')
        await assertOver(token, source.error as CancellationError)
        assert.equal(token.cancelledBy, source)
        assert.equal(token.reason, 'above')

        const other = inner.make()
        outer.make(other).cancel()
        assert.equal(other.cancelled, false)
        assert.equal(other.error, undefined)
      })
    }
    for (const dead of deadKinds) {
      it(`${outer.name} below ${dead.name} is cancelled from its first poll`, async () => {
        const source = dead.make()
        const token = outer.make(source)
        assert.equal(token.cancelled, true)
        assert.equal(token.error?.constructor, dead.error)
        await assertOver(token, source.error as CancellationError)
      })
    }
  }
})

for (const { name, make, kind, error, seenByLook } of endingKinds) {
  describe(`a token that ends by itself: ${name}`, () => {
    for (const [poll, keepsOn] of directPolls) {
      it(`is cancelled at ${poll}, by its own rule`, async () => {
        const token = make()
        assert.equal(await keepsOn(token), false)
        assert.equal(token.error?.kind, kind)
        assert.equal(token.error?.constructor, error)
        assert.equal(token.error?.token, token)
        assert.equal((token.constructor as typeof CancellationToken).error, error)
        assert.equal(token.reason, undefined)
        await assertOver(token, token.error)
      })
    }

    it(seenByLook ? 'is seen to be over by a look' : 'is not seen to be over by a look', () => {
      assert.equal(make().error !== undefined, seenByLook)
      assert.equal(make().signal.aborted, seenByLook)
    })

    it('is cancelled when a child is polled, and gives the error its class names', () => {
      const token = make()
      const below = new SimpleToken(new SimpleToken(token))
      assert.equal(below.cancelled, true)
      assert.equal(below.cancelledBy, token)
      assert.equal(below.error, token.error)
      assert.ok(below.error instanceof error)
    })
  })
}

describe('any token: DefaultToken', () => {
  for (const [name, token] of [
    ['new DefaultToken()', new DefaultToken()],
    ['NEVER', NEVER],
  ] as const) {
    it(`${name} is live by every view, after every poll and read`, async () => {
      for (const [, keepsOn] of directPolls) assert.equal(await keepsOn(token), true)
      for (const [, look] of looks) look(token)
      assert.equal(token.isCancelled({ direct: false }), false)
      assert.equal(token.canBeCancelled, false)
      assert.equal(new Proxy(token, {}).canBeCancelled, false)
      assert.equal(token.view.canBeCancelled, false)
      assert.equal(token.error, undefined)
      assert.equal(token.cancelledBy, undefined)
      assert.equal(token.reason, undefined)
      assert.equal(token.remaining, Infinity)
      assert.equal(token.signal.aborted, false)
      assert.equal(await token.race(Promise.resolve('won')), 'won')
      await token.sleep(0)
      assert.throws(() => structuredClone(token))
    })
  }
})
