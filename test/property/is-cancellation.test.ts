import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CANCELLED, isCancellation, NEVER, SimpleToken } from 'calloff'
import fc from 'fast-check'
import { runs } from './runs.js'

const fail = (): never => {
  throw new Error('a getter that throws')
}

const keys = [
  'name',
  'code',
  'cause',
  'errors',
  'isCanceled',
  'constructor',
  'errno',
  'codeName',
  'details',
  'originalError',
  'stack',
  'message',
  'length',
  '0',
  'token',
  'kind',
] as const
const names = [
  'AbortError',
  'TimeoutError',
  'Canceled',
  'CanceledError',
  'CancelledFailure',
  'Error',
  'ABORT_ERR',
  'ERR_CANCELED',
  '57014',
  1,
  -32_800,
]

/** Something that may look like an error in any of the ways that are looked at. */
const shape = fc.record(
  {
    base: fc.constantFrom(
      'object',
      'error',
      'dom',
      'aggregate',
      'function',
      'null',
      'array',
      'ours',
      'revoked',
      'proxy',
      'throwing proxy',
    ),
    fields: fc.array(
      fc.record({
        key: fc.constantFrom(...keys),
        value: fc.oneof(
          fc.constantFrom<unknown>(...names, Symbol('s'), 1n, true),
          fc.anything({ withBigInt: true, withSparseArray: true, withNullPrototype: true, withTypedArray: true }),
        ),
        how: fc.constantFrom('plain', 'plain', 'plain', 'getter', 'link', 'links'),
        link: fc.nat(9),
      }),
      { maxLength: 5 },
    ),
  },
  { requiredKeys: ['base', 'fields'] },
)

type Shape = typeof shape extends fc.Arbitrary<infer T> ? T : never

function base(kind: string): object {
  switch (kind) {
    case 'error':
      return new Error('failed')
    case 'dom':
      return new DOMException('stopped', 'AbortError')
    case 'aggregate':
      return new AggregateError([new DOMException('stopped', 'AbortError')])
    case 'function':
      return () => {}
    case 'null':
      return Object.create(null) as object
    case 'array':
      return []
    case 'ours':
      return Object.create(new SimpleToken().cancel().error as object) as object
    case 'revoked': {
      const { proxy, revoke } = Proxy.revocable({}, {})
      revoke()
      return proxy
    }
    case 'throwing proxy':
      return new Proxy(
        {},
        { get: fail, has: fail, getPrototypeOf: fail, ownKeys: fail, getOwnPropertyDescriptor: fail },
      )
    case 'proxy':
      return new Proxy({}, {})
    default:
      return {}
  }
}

/** Builds them all, with links among them: cycles, too. */
function build(shapes: readonly Shape[]): unknown[] {
  const made = shapes.map((one) => base(one.base))
  shapes.forEach(({ fields }, i) => {
    for (const { key, value, how, link } of fields) {
      const target = made[link % made.length]
      const descriptor: PropertyDescriptor =
        how === 'getter'
          ? { get: fail }
          : { value: how === 'link' ? target : how === 'links' ? [target, ...made.slice(i)] : value }
      try {
        Object.defineProperty(made[i], key, { ...descriptor, configurable: true })
      } catch {
        // a proxy that has none of it
      }
    }
  })
  return made
}

test('isCancellation never throws, whatever it is given, with and without a token', () => {
  const dead = new SimpleToken().cancel('enough')
  fc.assert(
    fc.property(
      fc.array(shape, { minLength: 1, maxLength: 5 }),
      fc.anything({ withBigInt: true, withMap: true, withSet: true }),
      (shapes, anything) => {
        for (const value of [...build(shapes), anything]) {
          assert.equal(typeof isCancellation(value), 'boolean')
          assert.equal(typeof isCancellation(value, dead), 'boolean')
          assert.equal(isCancellation(value, NEVER), false, 'a token that is alive has called nothing off')
        }
      },
    ),
    runs(3_000),
  )
})

test('what is a cancellation without a token is one of a token that is cancelled, unless it is another token’s', () => {
  const dead = new SimpleToken().cancel('enough')
  const readable = shape.filter(({ fields }) => fields.every(({ how }) => how !== 'getter'))
  const strangers = readable.filter(({ base }) => base !== 'ours')
  fc.assert(
    fc.property(fc.array(strangers, { minLength: 1, maxLength: 5 }), (shapes) => {
      for (const value of build(shapes)) {
        if (isCancellation(value)) assert.equal(isCancellation(value, dead), true)
      }
    }),
    runs(3_000),
  )
})

test('a clone of an error of ours is found through any chain of causes, for its own token only', () => {
  const one = new SimpleToken({ name: 'one' }).cancel()
  const other = new SimpleToken({ name: 'other' }).cancel()
  fc.assert(
    fc.property(fc.array(fc.constantFrom('cause', 'aggregate', 'clone'), { maxLength: 8 }), (wraps) => {
      let error: unknown = structuredClone(one.error)
      for (const wrap of wraps) {
        if (wrap === 'cause') error = new Error('failed', { cause: error })
        else if (wrap === 'aggregate') error = new AggregateError([error, one.error])
        else if (!(error instanceof AggregateError)) error = structuredClone(one.error) // what is inside one does not cross
      }
      assert.equal(isCancellation(error), true)
      assert.equal(isCancellation(error, one), true)
      assert.equal(isCancellation(error, other), false)
    }),
    runs(200),
  )
})

test('an error of ours is found through any chain of causes, for its own token only', () => {
  const one = new SimpleToken().cancel()
  const other = new SimpleToken().cancel()
  fc.assert(
    fc.property(fc.array(fc.constantFrom('cause', 'aggregate'), { maxLength: 8 }), (wraps) => {
      let error: unknown = one.error
      for (const wrap of wraps)
        error = wrap === 'cause' ? new Error('failed', { cause: error }) : new AggregateError([error, one.error])
      assert.equal(isCancellation(error), true)
      assert.equal(isCancellation(error, one), true)
      assert.equal(isCancellation(error, other), false)
      assert.equal(isCancellation(error, CANCELLED), false)
    }),
    runs(200),
  )
})

test('an AggregateError is a cancellation only if all of it is', () => {
  const part = fc.constantFrom<unknown>(
    new Error('disk full'),
    new DOMException('', 'AbortError'),
    CANCELLED.error,
    'text',
    undefined,
  )
  fc.assert(
    fc.property(fc.array(part, { maxLength: 5 }), (parts) => {
      const all = parts.length > 0 && parts.every((one) => isCancellation(one))
      assert.equal(isCancellation(new AggregateError(parts)), all)
    }),
    runs(300),
  )
})
