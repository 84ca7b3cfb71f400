import { describe, it } from 'node:test'
import assert from 'node:assert/strict'
import {
  allOf,
  CancellationError,
  type CancellationToken,
  ConditionCancellationError,
  ConditionToken,
  CounterCancellationError,
  CounterToken,
  DefaultToken,
  from,
  ImpossibleCancelError,
  isCancellation,
  SimpleToken,
  TimeoutCancellationError,
  TimeoutToken,
} from 'calloff'
import { EditorSource, rejection, thrown } from './helpers.js'
import { endingKinds } from './kinds.js'

describe('12. the error of a cancellation', () => {
  const over = (token: CancellationToken) => (assert.equal(token.cancelled, true), token)
  const disposed = () => {
    const token = new SimpleToken({ name: 'job' })
    token[Symbol.dispose]()
    return token
  }
  const rows: readonly (readonly [string, () => CancellationToken, typeof CancellationError, string, string])[] = [
    ['by hand', () => new SimpleToken({ name: 'job' }).cancel(), CancellationError, 'manual', 'AbortError'],
    [
      'born cancelled',
      () => new SimpleToken({ name: 'job', cancelled: true }),
      CancellationError,
      'manual',
      'AbortError',
    ],
    ['a deadline', () => new TimeoutToken(0, { name: 'job' }), TimeoutCancellationError, 'timeout', 'TimeoutError'],
    [
      'a condition',
      () => new ConditionToken(() => true, { name: 'job' }),
      ConditionCancellationError,
      'condition',
      'AbortError',
    ],
    ['a counter', () => new CounterToken(0, { name: 'job' }), CounterCancellationError, 'counter', 'AbortError'],
    ['dispose', disposed, CancellationError, 'dispose', 'AbortError'],
    [
      'a deadline, by hand',
      () => new TimeoutToken(9, { name: 'job' }).cancel(),
      CancellationError,
      'manual',
      'AbortError',
    ],
  ]
  for (const [name, make, errorClass, kind, errorName] of rows) {
    it(`${name}: class, kind, name, code and token tell what happened, the message names the token`, () => {
      const token = over(make())
      for (const error of [token.error, thrown(() => new SimpleToken(token).check())] as CancellationError[]) {
        assert.equal(error.constructor, errorClass)
        assert.ok(error instanceof CancellationError)
        assert.ok(error instanceof Error)
        assert.equal(error.kind, kind)
        assert.equal(error.name, errorName)
        assert.equal(error.code, 'ABORT_ERR')
        assert.equal(error.token, token)
        assert.equal(error.cause, undefined)
        assert.match(error.message, /job/)
        assert.ok(String(error).startsWith(`${errorName}: `))
        assert.equal(typeof error.stack, 'string')
      }
    })
  }

  for (const { name, make, error } of endingKinds) {
    it(`of ${name} is of the class that its token’s class names`, () => {
      const source = make()
      const token = over(new SimpleToken(source))
      assert.equal((source.constructor as typeof CancellationToken).error, error)
      assert.ok(token.error instanceof error)
    })
  }

  it('of a DefaultToken is a mistake in the program, no cancellation', () => {
    assert.equal(SimpleToken.error, CancellationError)
    assert.equal(DefaultToken.error, ImpossibleCancelError)
    const error = thrown(() => (new DefaultToken() as CancellationToken).cancel())
    assert.ok(error instanceof ImpossibleCancelError)
    assert.ok(error instanceof CancellationError)
    assert.equal(isCancellation(error), false)
  })

  it('has the reason as its cause, whatever it is', () => {
    const object = { user: 5 }
    for (const reason of ['why', '', 0, false, null, object, new Error('inner'), Symbol('why'), 5n, () => 5]) {
      const token = new SimpleToken().cancel(reason)
      assert.equal(token.reason, reason)
      assert.equal(token.error?.cause, reason)
      assert.equal(new SimpleToken(token).reason, reason)
    }
    assert.equal(new SimpleToken().cancel().error?.cause, undefined)
  })

  it('survives hostile reasons', () => {
    const hostile = new Proxy(
      {},
      {
        get() {
          throw new Error('do not touch')
        },
      },
    )
    const token = new SimpleToken().cancel(hostile)
    assert.equal(token.reason, hostile)
    assert.equal(typeof token.error?.message, 'string')
    assert.equal(token.signal.reason, token.error)
  })
})

describe('12. one error object for one cancellation', () => {
  it('through every view, every derived token, and through signals and back', async () => {
    const source = new SimpleToken()
    const tokens = [
      source,
      new SimpleToken(source),
      source.plus(new SimpleToken()),
      new TimeoutToken(100_000, source),
      allOf(source),
      source.grace(0),
      from(source.signal),
      new SimpleToken(source.signal),
      from(AbortSignal.any([new SimpleToken(source).signal])),
      from(from(new SimpleToken(source.signal).signal).signal),
    ]
    const told: unknown[] = []
    for (const token of tokens) token.onCancel((error) => told.push(error))
    const waiting = tokens.map((token) => token.wait())
    const racing = tokens.map((token) => rejection(token.race(new Promise(() => {}))))
    source.cancel('why')
    const { error } = source
    const errors = [...told, ...(await Promise.all(waiting)), ...(await Promise.all(racing))]
    assert.equal(errors.length, 3 * tokens.length)
    for (const one of errors) assert.equal(one, error)
    for (const token of tokens) {
      assert.equal(token.error, error)
      assert.equal(token.signal.reason, error)
      assert.equal(
        thrown(() => token.check()),
        error,
      )
      assert.equal(
        thrown(() => token.signal.throwIfAborted()),
        error,
      )
      assert.equal(token.cancelledBy, source)
      assert.equal(token.reason, 'why')
      assert.equal(from(token.signal).error, error)
      assert.equal(from(token.signal).cancelledBy, source)
    }
  })

  it('so that a signal’s reason is always an Error', () => {
    for (const reason of [undefined, null, 'text', 5, {}]) {
      assert.ok(new SimpleToken().cancel(reason).signal.reason instanceof Error)
      assert.ok(from(AbortSignal.abort(reason)).signal.reason instanceof Error)
    }
  })
})

describe('12. a foreign signal’s abort', () => {
  it('has kind signal and its reason as cause', () => {
    for (const reason of ['text', 5, null, { user: 5 }, new Error('inner'), new DOMException('', 'AbortError')]) {
      const token = from(AbortSignal.abort(reason))
      assert.equal(token.error?.kind, 'signal')
      assert.equal(token.error?.name, 'AbortError')
      assert.equal(token.error?.cause, reason)
      assert.equal(token.reason, reason)
    }
    const token = from(AbortSignal.abort())
    assert.ok(token.reason instanceof DOMException)
    assert.equal(token.error?.constructor, CancellationError)
  })

  it('has kind timeout where its reason is the platform’s TimeoutError', async () => {
    for (const signal of [AbortSignal.abort(new DOMException('too slow', 'TimeoutError')), AbortSignal.timeout(1)]) {
      const limit = setTimeout(() => {}, 120_000)
      const error = await from(signal).wait()
      clearTimeout(limit)
      assert.equal(error.kind, 'timeout')
      assert.equal(error.name, 'TimeoutError')
      assert.ok(error instanceof TimeoutCancellationError)
      assert.equal(error.cause, signal.reason)
    }
  })

  it('of a VS Code token has kind signal and no reason', () => {
    const source = new EditorSource()
    const token = from(source)
    source.cancel()
    assert.equal(token.error?.kind, 'signal')
    assert.equal(token.reason, undefined)
  })
})
