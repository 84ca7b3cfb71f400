/** Errors as plain objects for logs. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  CancellationError,
  type CancellationToken,
  CounterToken,
  from,
  NEVER,
  openScope,
  serializeCancellation,
  SimpleToken,
  TimeoutToken,
} from 'calloff'
import { rejection, thrown } from './helpers.js'
import { deadKinds, kinds } from './kinds.js'

/** What arrives of a record that a logger has written as JSON. */
const written = (error: unknown, token?: CancellationToken): Record<string, unknown> =>
  JSON.parse(JSON.stringify(serializeCancellation(error, { token, stack: false }))) as Record<string, unknown>

const throwing = () => {
  throw new Error('a getter of the program')
}
const circle: Record<string, unknown> = { name: 'circle' }
circle['itself'] = circle
const causes = new Error('first')
causes.cause = new Error('second', { cause: causes })
const { proxy: revoked, revoke } = Proxy.revocable({}, {})
revoke()
const deep: Record<string, unknown> = {}
for (let at = deep, i = 0; i < 100_000; i++) at = at['in'] = {}

/** Reasons that break a serializer which takes them as they are, and what the record has instead. */
const reasons: readonly (readonly [name: string, reason: unknown, written: unknown])[] = [
  ['a text', 'user pressed stop', 'user pressed stop'],
  ['null', null, null],
  ['a number', 499, 499],
  ['NaN', NaN, 'NaN'],
  ['a big integer', 12n, '12'],
  ['a symbol', Symbol('stop'), 'Symbol(stop)'],
  ['a function', throwing, 'throwing'],
  ['a date', new Date(0), '1970-01-01T00:00:00.000Z'],
  ['a date that is none', new Date(NaN), null],
  ['an object', { code: 5, list: [1, undefined, 2n] }, { code: 5, list: [1, null, '2'] }],
  ['a circle', circle, { name: 'circle', itself: '[circular]' }],
  [
    'a getter that throws',
    {
      code: 5,
      get broken() {
        return throwing()
      },
    },
    { code: 5 },
  ],
  ['a revoked proxy', revoked, 'an object that cannot be read'],
  ['a toJSON that throws', { toJSON: throwing }, 'an object that cannot be read'],
  ['a toJSON', new URL('http://calloff.test/'), 'http://calloff.test/'],
  [
    'a toJSON that returns its object',
    {
      toJSON() {
        return this
      },
    },
    '[circular]',
  ],
  ['a map', new Map([[1, 2]]), '[object Map]'],
  ['memory', new Uint8Array(1_000_000), '[object Uint8Array]'],
  [
    'memory with a toJSON, as that of Node',
    new (class extends Uint8Array {
      toJSON = throwing
    })(1),
    '[object Uint8Array]',
  ],
  ['objects within objects', { a: { b: { c: { d: { e: { f: 1 } } } } } }, { a: { b: { c: { d: { e: '…' } } } } }],
  ['a token', new TimeoutToken(5_000), 'TimeoutToken(5000)'],
  ['a key that is a trap', JSON.parse('{ "__proto__": 5 }'), JSON.parse('{ "__proto__": 5 }')],
  [
    'an error with a cause',
    new TypeError('outer', { cause: new Error('inner') }),
    {
      type: 'TypeError',
      name: 'TypeError',
      message: 'outer',
      cause: { type: 'Error', name: 'Error', message: 'inner' },
    },
  ],
  [
    'errors that cause each other',
    causes,
    {
      type: 'Error',
      name: 'Error',
      message: 'first',
      cause: { type: 'Error', name: 'Error', message: 'second', cause: '[circular]' },
    },
  ],
]

describe('the record of a cancellation', () => {
  for (const { name, make } of kinds) {
    test(`of ${name} says who, how and why`, () => {
      const token = make()
      token.cancel({ ticket: 7 })
      const record = written(token.error, token)
      const { message } = token.error as CancellationError
      assert.equal(record['name'], 'AbortError')
      assert.equal(record['type'], 'AbortError')
      assert.equal(record['code'], 'ABORT_ERR')
      assert.equal(record['message'], message)
      assert.equal(record['kind'], 'manual')
      assert.deepEqual(record['reason'], { ticket: 7 })
      assert.equal(typeof record['cancelledBy'], 'string')
      assert.deepEqual(record['path'], [record['cancelledBy']])
      assert.match(record['at'] as string, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
      assert.ok((record['ago'] as number) >= 0)
      assert.equal('stack' in record, false)
    })
  }

  for (const { name, make } of deadKinds) {
    test(`of ${name} has the kind of its error, with its token and without`, () => {
      const token = make()
      const isCancelled = token.cancelled // a condition is asked
      assert.equal(isCancelled, true)
      for (const record of [written(token.error, token), written(token.error)]) {
        assert.equal(record['kind'], token.kind)
        assert.equal(record['message'], token.error?.message)
      }
    })
  }

  for (const [name, reason, expected] of reasons) {
    test(`has ${name} as a reason that JSON can express`, () => {
      const token = new SimpleToken().cancel(reason)
      assert.deepEqual(written(token.error)['reason'], expected)
      assert.equal(typeof JSON.stringify(token.error), 'string')
    })
  }

  test('of a reason that is very deep, very long or very wide is short', () => {
    const wide = Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`key ${i}`, i]))
    const reason = ['x'.repeat(1_000_000), deep, wide, Array.from({ length: 100_000 }), [10n ** 100_000n]]
    for (const one of [reason, ...reason]) {
      const error = new SimpleToken().cancel(one).error
      assert.ok(JSON.stringify(serializeCancellation(error)).length < 30_000)
    }
    const { reason: list } = written(new SimpleToken().cancel(Array.from({ length: 1_000 })).error)
    assert.match((list as string[]).at(-1) as string, /^… \d+ more$/)
    const { reason: properties } = written(new SimpleToken().cancel(wide).error)
    assert.match((properties as Record<string, string>)['…'] as string, /^\d+ more$/)
    const wrapped = new Error('query failed', { cause: new SimpleToken().cancel(wide).error })
    const { kind, cause, message } = written(wrapped)
    assert.deepEqual([kind, cause, message], ['manual', '…', 'query failed'])
  })

  test('has the path from the start to the given token', () => {
    const server = new SimpleToken({ name: 'server' })
    const limit = new TimeoutToken(60_000, server)
    const query = new SimpleToken({ name: 'query' }, limit)
    server.cancel()
    assert.deepEqual(written(query.error, query)['path'], ['server', 'TimeoutToken(60000)', 'query'])
    assert.equal('path' in written(query.error), false)
    assert.deepEqual(written(query.error, new SimpleToken().cancel())['path'], undefined)
  })

  test('shortens a path of many tokens', () => {
    const top = new SimpleToken({ name: 'top' })
    let token: CancellationToken = top
    for (let i = 0; i < 1_000_000; i++) token = new SimpleToken(token)
    top.cancel()
    const path = written(token.error, token)['path'] as string[]
    assert.equal(path.length, 21)
    assert.equal(path[0], 'top')
    assert.equal(path[10], '… 999981 more')
  })

  test('tells the moment of the cancellation itself', () => {
    const token = new TimeoutToken(0, { name: 'limit' })
    const before = Date.now()
    const record = serializeCancellation(token.error)
    assert.ok(record.kind)
    assert.ok(Math.abs(Date.parse((record as { at: string }).at) - before) < 60_000)
  })

  test('of a signal with a text as its reason is found by the token, since fetch throws that text', () => {
    const token = from(AbortSignal.abort('too late'))
    assert.deepEqual(written('too late'), { type: 'string', message: 'too late' })
    const record = written('too late', token)
    assert.deepEqual([record['kind'], record['reason'], record['name']], ['signal', 'too late', 'AbortError'])
  })

  test('has the reason once', () => {
    const token = new SimpleToken({ name: 'upload' }).cancel('stop')
    assert.deepEqual(Object.keys(serializeCancellation(token.error, { token })), [
      'type',
      'name',
      'message',
      'code',
      'kind',
      'cancelledBy',
      'path',
      'reason',
      'at',
      'ago',
      'stack',
    ])
  })

  test('that names a token which was cancelled by another one does not have the moment of that', () => {
    const token = new SimpleToken().cancel()
    assert.equal('at' in written(new CancellationError('late', { token, kind: 'timeout' })), false)
  })

  test('has the stack, and can do without', () => {
    const error = new SimpleToken().cancel().error as CancellationError
    assert.equal(serializeCancellation(error).stack, error.stack)
    assert.equal('stack' in serializeCancellation(error, { stack: false }), false)
  })
})

describe('the record of an error that wraps a cancellation', () => {
  const token = new SimpleToken({ name: 'request' }).cancel('client left')
  const wrappers: Readonly<Record<string, unknown>> = {
    'as its cause': new Error('query failed', { cause: token.error }),
    'as its originalError': Object.assign(new Error('query failed'), { name: 'AbortError', cause: token.error }),
    twice: new Error('query failed', { cause: new Error('socket', { cause: token.error }) }),
    'among its errors': new AggregateError([token.error, token.error], 'query failed'),
  }
  for (const [how, error] of Object.entries(wrappers)) {
    test(`${how} has the kind, and its own message`, () => {
      const record = written(error)
      assert.deepEqual(
        [record['message'], record['kind'], record['cancelledBy'], record['reason']],
        ['query failed', 'manual', 'request', 'client left'],
      )
    })
  }

  test('of which one is a failure has no kind', () => {
    const record = written(new AggregateError([token.error, new Error('disk full')]))
    assert.equal(record['kind'], undefined)
    const errors = record['errors'] as Record<string, unknown>[]
    assert.deepEqual([errors[0]?.['kind'], errors[1]?.['message']], ['manual', 'disk full'])
  })

  test('that a client has made after its own fashion is found by the token', () => {
    const canceled = Object.assign(new Error('canceling statement due to user request'), { code: '57014' })
    assert.equal(written(canceled)['kind'], undefined)
    const record = written(canceled, token)
    assert.deepEqual([record['kind'], record['code'], record['path']], ['manual', '57014', ['request']])
  })

  test('of the platform has a kind where it is a timeout', () => {
    assert.equal(written(new DOMException('late', 'TimeoutError'))['kind'], 'timeout')
    assert.equal(written(new DOMException('stopped', 'AbortError'))['kind'], undefined)
  })
})

describe('the record of a failure', () => {
  test('is what a plain serializer returns', () => {
    const error = Object.assign(new RangeError('disk full', { cause: 'quota' }), { code: 'ENOSPC', path: '/tmp' })
    assert.deepEqual(serializeCancellation(error), {
      type: 'RangeError',
      name: 'RangeError',
      message: 'disk full',
      code: 'ENOSPC',
      stack: error.stack,
      cause: 'quota',
      path: '/tmp',
    })
  })

  test('has no kind, whatever properties the error has', () => {
    const error = Object.assign(new Error('Cast to ObjectId failed'), { kind: 'ObjectId', reason: 'x', type: 'cast' })
    const record = written(error)
    assert.deepEqual([record['kind'], record['reason'], record['type']], [undefined, 'x', 'Error'])
  })

  test('that is no cancellation, although it looks like one, has no kind', () => {
    assert.equal(serializeCancellation(thrown(() => NEVER.cancel())).kind, undefined)
    assert.equal(written(new Error('disk full'), new SimpleToken().cancel())['kind'], undefined)
  })

  const values: readonly (readonly [unknown, Record<string, unknown>])[] = [
    ['stop', { type: 'string', message: 'stop' }],
    [undefined, { type: 'undefined', message: 'undefined' }],
    [null, { type: 'null', message: 'null' }],
    [7n, { type: 'bigint', message: '7' }],
    [Symbol('x'), { type: 'symbol', message: 'Symbol(x)' }],
    [{ status: 500 }, { type: 'Object', status: 500 }],
    [Object.create(null), {}],
    [revoked, { type: 'object', message: 'an error that has no text' }],
  ]
  for (const [index, [value, expected]] of values.entries()) {
    test(`of a value that is no error has its text: ${index}`, () => assert.deepEqual(written(value), expected))
  }

  test('leaves out what cannot be read', () => {
    const error = new Error('x')
    void error.stack // V8 makes its text of the message
    Object.defineProperties(error, {
      message: { get: throwing },
      stack: { get: throwing },
      code: { get: throwing },
      cause: { get: throwing },
      extra: { get: throwing, enumerable: true },
    })
    assert.deepEqual(written(error), { type: 'Error', name: 'Error' })
  })
})

describe('JSON of an error', () => {
  test('has what happened', () => {
    const token = new SimpleToken({ name: 'upload' }).cancel('user pressed stop')
    assert.deepEqual(JSON.parse(JSON.stringify({ error: token.error })), {
      error: {
        name: 'AbortError',
        message: 'token "upload" was cancelled: user pressed stop',
        code: 'ABORT_ERR',
        kind: 'manual',
        cancelledBy: 'upload',
        reason: 'user pressed stop',
      },
    })
    assert.deepEqual(Object.keys(token.error as CancellationError), [])
  })

  const texts: readonly (readonly [unknown, string | undefined])[] = [
    [new Error('disk full'), 'disk full'],
    [5, '5'],
    [{ code: 5 }, undefined],
    [
      {
        get message() {
          return throwing()
        },
      },
      undefined,
    ],
    [{ message: circle }, undefined],
  ]
  for (const [index, [reason, expected]] of texts.entries()) {
    test(`has the text of a reason that has one: ${index}`, () => {
      const { reason: text } = JSON.parse(JSON.stringify(new SimpleToken().cancel(reason).error)) as { reason?: string }
      assert.equal(text, expected)
    })
  }

  test('of an error that a program has made itself', () => {
    const error = new CancellationError('made by hand', { kind: 'manual' } as never)
    assert.equal((JSON.parse(JSON.stringify(error)) as { message: string }).message, 'made by hand')
    assert.equal(serializeCancellation(error).kind, 'manual')
  })
})

test('a wrong option is a TypeError that names it', () => {
  assert.throws(() => serializeCancellation(new Error('x'), { tokn: 1 } as never), /there is no option "tokn"/)
  assert.throws(() => serializeCancellation(new Error('x'), { stack: 1 } as never), /stack must be a boolean, got 1/)
  assert.throws(() => serializeCancellation(new Error('x'), { token: 5 } as never), /token must be a token/)
})

test('a record uses up no poll, and is the same at a view', () => {
  const counter = new CounterToken(1)
  assert.equal(written(new Error('x'), counter)['kind'], undefined)
  assert.equal(counter.counter, 1)
  const token = new SimpleToken({ name: 'request' }).cancel()
  assert.deepEqual(
    serializeCancellation(token.error, { token: token.view, stack: false }).message,
    serializeCancellation(token.error, { token, stack: false }).message,
  )
})

test('the record of a scope that a task has failed has the failure as its reason', async () => {
  const works = openScope()
  const failed = works.run(() => Promise.reject(new Error('disk full')))
  await rejection(failed)
  const record = written(works.token.error, works.token)
  assert.equal(record['kind'], 'sibling')
  assert.equal((record['reason'] as { message: string }).message, 'disk full')
  assert.match(String(await rejection(works.close())), /disk full/)
})
