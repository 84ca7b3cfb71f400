import { describe, it } from 'node:test'
import assert from 'node:assert/strict'
import { ConditionToken, CounterToken, isCancellation, SimpleToken, TimeoutToken } from 'calloff'
import { rejection } from './helpers.js'

const named = (name: string, more: object = {}) => Object.assign(new Error('message'), { name }, more)
class APIUserAbortError extends Error {}

const cancellations: readonly (readonly [string, unknown])[] = [
  ['one of ours', new SimpleToken().cancel().error],
  ['a timeout of ours', new TimeoutToken(0).error],
  ['a DOMException named AbortError', new DOMException('', 'AbortError')],
  ['a DOMException named TimeoutError', new DOMException('', 'TimeoutError')],
  ['an aborted signal’s reason', AbortSignal.abort().reason],
  ['Node’s AbortError', named('AbortError', { code: 'ABORT_ERR' })],
  ['Node’s code alone', named('Error', { code: 'ABORT_ERR' })],
  ['got, execa, piscina, smithy', named('AbortError')],
  ['got by its code', named('Error', { code: 'ERR_ABORTED' })],
  ['axios', named('CanceledError', { code: 'ERR_CANCELED' })],
  ['undici', named('Error', { code: 'UND_ERR_ABORTED' })],
  ['VS Code', named('Canceled')],
  ['TanStack', named('CancelledError')],
  ['Temporal', named('CancelledFailure')],
  ['p-cancelable', named('CancelError')],
  ['a CancellationError of somebody else', named('CancellationError')],
  ['openai', new APIUserAbortError('Request was aborted.')],
  ['execa by its flag', named('ExecaError', { isCanceled: true })],
  ['a wrapper', new Error('wrapped', { cause: new SimpleToken().cancel().error })],
  ['a wrapper of a wrapper', new Error('x', { cause: new Error('y', { cause: new DOMException('', 'AbortError') }) })],
  ['all of several', new AggregateError([new SimpleToken().cancel().error, new DOMException('', 'AbortError')])],
  ['a plain object of the shape', { name: 'AbortError' }],
]

const failures: readonly (readonly [string, unknown])[] = [
  ['an Error', new Error('disk full')],
  ['a TypeError', new TypeError('no')],
  ['a mere Error named TimeoutError', named('TimeoutError')],
  ['a socket’s timeout', named('Error', { code: 'ETIMEDOUT' })],
  ['a DOMException of another name', new DOMException('', 'DataCloneError')],
  ['some of several', new AggregateError([new SimpleToken().cancel().error, new Error('disk full')])],
  ['none of several', new AggregateError([])],
  ['undefined', undefined],
  ['null', null],
  ['a string', 'AbortError'],
  ['a number', 20],
  ['an object', {}],
  ['a function', () => {}],
  ['a token', new SimpleToken().cancel()],
]

describe('12. isCancellation', () => {
  for (const [name, error] of cancellations) {
    it(`recognises ${name}`, () => {
      assert.equal(isCancellation(error), true)
      assert.equal(isCancellation(new Error('wrapped', { cause: error })), true)
    })
  }
  for (const [name, error] of failures) {
    it(`does not take ${name} for one, with no token, a live or a dead one`, () => {
      assert.equal(isCancellation(error), false)
      assert.equal(isCancellation(error, new SimpleToken()), false)
      assert.equal(isCancellation(error, new SimpleToken().cancel()), false)
      assert.equal(isCancellation(new Error('wrapped', { cause: error })), false)
    })
  }

  it('finds its way through causes that go in a circle', () => {
    const [a, b] = [new Error('a'), new Error('b')]
    a.cause = b
    b.cause = a
    assert.equal(isCancellation(a), false)
    const several = new AggregateError([a])
    a.cause = several
    assert.equal(isCancellation(several), false)
  })

  it('throws nothing, whatever it is given', () => {
    const hostile = {
      get() {
        throw new Error('do not touch')
      },
    }
    const revoked = Proxy.revocable({}, {})
    revoked.revoke()
    const throwing = Object.defineProperty(new Error('x'), 'cause', hostile)
    for (const value of [new Proxy({}, hostile), revoked.proxy, throwing, Object.create(null), Symbol('x'), 5n]) {
      assert.equal(isCancellation(value), false)
      assert.equal(isCancellation(value, new SimpleToken().cancel()), false)
    }
  })

  it('with a token answers for that token alone, by the identity of the error', () => {
    const [mine, other] = [new SimpleToken().cancel('mine'), new SimpleToken().cancel('other')]
    const wrapped = new Error('x', { cause: new Error('y', { cause: mine.error }) })
    for (const error of [mine.error, wrapped]) {
      assert.equal(isCancellation(error, mine), true)
      assert.equal(isCancellation(error, new SimpleToken(mine)), true)
      assert.equal(isCancellation(error, other), false)
      assert.equal(isCancellation(error, new SimpleToken()), false)
    }
    const both = new AggregateError([mine.error, other.error])
    assert.equal(isCancellation(both), true)
    assert.equal(isCancellation(both, mine), false)
    assert.equal(isCancellation(new AggregateError([mine.error, wrapped]), mine), true)
  })

  it('with a token takes the shape of libraries that drop the reason, if the token is cancelled', () => {
    const token = new SimpleToken()
    const dropped = named('CanceledError', { code: 'ERR_CANCELED' })
    assert.equal(isCancellation(dropped, token), false)
    token.cancel()
    assert.equal(isCancellation(dropped, token), true)
    assert.equal(isCancellation(named('AbortError', { cause: token.error }), token), true)
    assert.equal(isCancellation(named('AbortError', { cause: new SimpleToken().cancel().error }), token), false)
  })

  it('with a token looks, and never polls', () => {
    let asked = 0
    const token = new ConditionToken(() => ++asked > 0)
    const counter = new CounterToken(1, { direct: false })
    isCancellation(new DOMException('', 'AbortError'), token)
    isCancellation(new DOMException('', 'AbortError'), counter)
    assert.deepEqual([asked, counter.counter], [0, 1])
  })

  it('of an error thrown out of the platform for a token’s signal is true', async () => {
    const token = new SimpleToken()
    const body = new ReadableStream({}).pipeTo(new WritableStream(), { signal: token.signal })
    token.cancel('stop')
    assert.equal(isCancellation(await rejection(body), token), true)
  })
})
