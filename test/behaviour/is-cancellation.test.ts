import { describe, it } from 'node:test'
import assert from 'node:assert/strict'
import { ConditionToken, CounterToken, from, isCancellation, NEVER, SimpleToken, TimeoutToken } from 'calloff'
import { share, SharedToken } from 'calloff/threads'
import { rejection } from './helpers.js'
import { deadKinds, kinds } from './kinds.js'

const named = (name: string, more: object = {}) => Object.assign(new Error('message'), { name }, more)
class APIUserAbortError extends Error {}
class RequestAbortedError extends Error {}

// happy-dom's is an Error of that name, with nothing else of the platform's.
const happyDom = (() => {
  class DOMException extends Error {}
  return (name: string) => Object.assign(new DOMException('signal timed out'), { name })
})()

// The classes of redis-errors, which ioredis and node-redis 3 throw.
class RedisError extends Error {
  override get name() {
    return this.constructor.name
  }
}
const AbortError = class AbortError extends RedisError {}

// p-retry's: an error that is not to be tried again.
const notToBeRetried = (error: Error) =>
  Object.assign(new Error(error.message), { name: 'AbortError', originalError: error })

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
  ['Elasticsearch', named('RequestAbortedError')],
  ['a class that gives its errors no name', new RequestAbortedError('Request aborted')],
  ['Effect 3', named('InterruptedException')],
  ['happy-dom’s AbortError', happyDom('AbortError')],
  ['happy-dom’s TimeoutError', happyDom('TimeoutError')],
  ['a cancellation that p-retry is not to retry', notToBeRetried(new DOMException('', 'AbortError'))],
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
  ['ioredis, of a lost connection', new AbortError('Command aborted due to connection close')],
  ['ioredis, of a CROSSSLOT mistake', new AbortError('Possible CROSSSLOT error')],
  ['ioredis, of retries that are used up', new (class MaxRetriesPerRequestError extends AbortError {})('20 retries')],
  ['a failure that p-retry is not to retry', notToBeRetried(new Error('bad credentials'))],
  ['a process that exits with 1', named('Error', { code: 1, killed: false, signal: null, cmd: 'false' })],
  ['gRPC’s ABORTED', named('Error', { code: 10, details: 'try again', metadata: {} })],
  ['gRPC’s UNAVAILABLE', named('ConnectError', { code: 14, details: [], metadata: {} })],
  ['PostgreSQL’s admin_shutdown', named('PostgresError', { code: '57P01', severity: 'FATAL' })],
  ['MySQL’s ER_DUP_ENTRY', named('Error', { code: 'ER_DUP_ENTRY', errno: 1062 })],
  ['JSON-RPC’s method not found', named('Error', { code: -32601 })],
  ['MongoDB’s duplicate key', named('MongoServerError', { code: 11000, codeName: 'DuplicateKey' })],
  ['a cancel that is impossible', rejectionOf(() => NEVER.cancel())],
  ['a mere Error with a message like ours', new Error('token was cancelled: user pressed stop')],
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

function rejectionOf(call: () => unknown): unknown {
  try {
    return call()
  } catch (error) {
    return error
  }
}

/** With these a server may answer for reasons of its own: they are cancellations only of a token that is cancelled. */
const answers: readonly (readonly [string, unknown])[] = [
  ['Connect’s Canceled', named('ConnectError', { code: 1, details: [], metadata: new Map() })],
  ['Connect’s DeadlineExceeded', named('ConnectError', { code: 4, details: [], metadata: new Map() })],
  ['grpc-js’s CANCELLED', named('Error', { code: 1, details: 'Cancelled on client', metadata: {} })],
  ['grpc-js’s DEADLINE_EXCEEDED', named('Error', { code: 4, details: 'Deadline exceeded', metadata: {} })],
  ['nice-grpc’s CANCELLED', named('ClientError', { code: 1, details: 'Cancelled', path: '/a/b' })],
  ['grpc-web’s CANCELLED', named('RpcError', { code: 1, metadata: {} })],
  ['protobuf-ts’ CANCELLED', named('RpcError', { code: 'CANCELLED', meta: {} })],
  ['Twirp’s deadline_exceeded', named('TwirpError', { code: 'deadline_exceeded' })],
  ['PostgreSQL’s query_canceled', named('error', { code: '57014', severity: 'ERROR', routine: 'ProcessInterrupts' })],
  ['MySQL’s ER_QUERY_INTERRUPTED', named('Error', { code: 'ER_QUERY_INTERRUPTED', errno: 1317, sqlState: '70100' })],
  ['the same without its number', named('QueryFailedError', { code: 'ER_QUERY_INTERRUPTED' })],
  ['MySQL’s ER_QUERY_TIMEOUT', named('Error', { code: 'ER_QUERY_TIMEOUT', errno: 3024, sqlState: 'HY000' })],
  ['MariaDB’s max_statement_time', named('SqlError', { code: 'ER_STATEMENT_TIMEOUT', errno: 1969, sqlState: '70100' })],
  ['JSON-RPC’s RequestCancelled', named('Error', { code: -32_800 })],
  ['JSON-RPC’s ServerCancelled', named('Error', { code: -32_802 })],
  ['MCP’s RequestTimeout', named('McpError', { code: -32_001 })],
  ['MongoDB’s Interrupted', named('MongoServerError', { code: 11_601, codeName: 'Interrupted' })],
  ['MongoDB’s MaxTimeMSExpired', named('MongoServerError', { code: 50, codeName: 'MaxTimeMSExpired' })],
  ['SQLite’s SQLITE_INTERRUPT', named('SqliteError', { code: 'SQLITE_INTERRUPT' })],
  ['Oracle’s ORA-01013', named('Error', { code: 'ORA-01013', errorNum: 1013 })],
  ['SQL Server’s ECANCEL', named('RequestError', { code: 'ECANCEL' })],
  ['ECANCELED of a file', named('Error', { code: 'ECANCELED', errno: -125 })],
  ['ECANCELLED of dns', named('Error', { code: 'ECANCELLED' })],
  ['Effect 4', new Error('All fibers interrupted without error')],
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

  for (const [name, error] of answers) {
    it(`takes ${name} for one if the token is cancelled, and only then`, () => {
      const token = new SimpleToken()
      const wrapped = new Error('wrapped', { cause: error })
      assert.deepEqual([isCancellation(error), isCancellation(error, token)], [false, false])
      token.cancel()
      assert.deepEqual([isCancellation(error, token), isCancellation(wrapped, token)], [true, true])
      const own = Object.assign(error as Error, { cause: new SimpleToken().cancel().error })
      assert.equal(isCancellation(own, token), false, 'it says itself that it belongs to another token')
    })
  }

  it('takes a client’s own timeout for one if a deadline has cancelled the token, and only then', () => {
    class APIConnectionTimeoutError extends Error {}
    const errors = [named('TimeoutError'), named('HeadersTimeoutError'), new APIConnectionTimeoutError('late')]
    for (const error of errors) {
      assert.equal(isCancellation(error), false)
      assert.equal(isCancellation(error, new SimpleToken().cancel()), false)
      assert.equal(isCancellation(error, new TimeoutToken(0)), true)
      assert.equal(isCancellation(error, new SimpleToken(new TimeoutToken(0))), true)
    }
  })

  it('finds the reason of a foreign signal, whatever it is, anywhere in the chain', () => {
    for (const reason of [new Error('enough'), 'enough', 0, { stop: true }]) {
      const token = from(AbortSignal.abort(reason))
      const wrapped = new TypeError('fetch failed', { cause: new Error('x', { cause: reason }) })
      assert.equal(isCancellation(reason, token), true)
      assert.equal(isCancellation(wrapped, token), true)
      assert.equal(isCancellation(wrapped), false)
      assert.equal(
        isCancellation(wrapped, new SimpleToken().cancel(reason)),
        false,
        'what was given to cancel() is no error',
      )
    }
  })

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

  it('with a token reads, and never polls', () => {
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

describe('21. A clone of a token’s error', () => {
  const clone = (error: unknown) => structuredClone(error)

  for (const { name, make } of [
    ...kinds.map(({ name, make }) => ({ name, make: () => make().cancel('stop') })),
    ...deadKinds,
  ]) {
    it(`is known, with and without the token: ${name}`, () => {
      const token = make()
      assert.equal(token.cancelled, true)
      const copy = clone(token.error)
      assert.equal(isCancellation(copy), true)
      assert.equal(isCancellation(copy, token), true)
      assert.equal(isCancellation(copy, new SimpleToken(token)), true)
      assert.equal(isCancellation(clone(copy), token), true, 'a clone of a clone')
      assert.equal(isCancellation(new Error('wrapped', { cause: copy }), token), true)
      assert.equal(isCancellation(copy, new SimpleToken({ name: 'another' }).cancel()), false)
      assert.equal(isCancellation(copy, NEVER), false)
    })
  }

  it('is known where the token has a name with anything in it', () => {
    for (const name of ['upload', 'a "b"', 'two\nlines', 'Error: x', '', 'was cancelled']) {
      for (const token of [new SimpleToken({ name }).cancel('stop'), new TimeoutToken(0, { name })]) {
        assert.equal(isCancellation(clone(token.error)), true)
        assert.equal(isCancellation(clone(token.error), token), true)
      }
    }
  })

  it('is known with the token where the stack has no first line', () => {
    const token = new SimpleToken().cancel('stop')
    const copy = Object.assign(new Error(token.error?.message), { stack: 'frame@file.js:1:1' })
    assert.equal(isCancellation(copy), false)
    assert.equal(isCancellation(copy, token), true)
    assert.equal(isCancellation(copy, new SimpleToken({ name: 'another' }).cancel()), false)
  })

  it('is known with the token of the other side, which another thread has cancelled', () => {
    for (const there of [new SharedToken(), share(new SimpleToken({ name: 'job' })), share(new TimeoutToken(0))]) {
      const here = SharedToken.from(structuredClone(there.handle))
      there.cancel('stop')
      assert.equal(here.cancelled, true)
      assert.equal(isCancellation(clone(here.error), there), true)
      assert.equal(isCancellation(clone(there.error), here), true)
    }
  })

  it('of a failure is none', () => {
    const lost = new AbortError('Command aborted due to connection close')
    class TimeoutError extends Error {
      override get name() {
        return 'TimeoutError'
      }
    }
    for (const failure of [new Error('disk full'), lost, new TimeoutError('the token endpoint does not answer')]) {
      assert.equal(isCancellation(clone(failure)), false)
      assert.equal(isCancellation(clone(failure), new SimpleToken().cancel()), false)
      assert.equal(isCancellation(clone(failure), new TimeoutToken(0)), false)
    }
  })
})
