import { describe, it } from 'node:test'
import assert from 'node:assert/strict'
import * as calloff from 'calloff'
import { rejection, thrown } from './helpers.js'

// As plain JavaScript would call it: nothing is checked by the compiler.
type Loose = (...args: unknown[]) => unknown
type LooseClass = new (...args: unknown[]) => Record<string, Loose>
const { SimpleToken, TimeoutToken, ConditionToken, CounterToken, CancellationToken, allOf, anyOf, from } =
  calloff as unknown as Record<
    'SimpleToken' | 'TimeoutToken' | 'ConditionToken' | 'CounterToken' | 'CancellationToken',
    LooseClass
  > &
    Record<'allOf' | 'anyOf' | 'from', Loose>
const until = (calloff.TimeoutToken as unknown as { until: Loose }).until.bind(calloff.TimeoutToken)
const token = new SimpleToken()
const call =
  (name: string): Loose =>
  (...args) =>
    (token[name] as Loose)(...args)

const noNumbers = ['5', '', null, true, {}, [], () => 5, 5n, new Date()]
const noBooleans = ['true', 0, 1, null, {}]
const noTokens = [5, 'kek', '', true, {}, [], () => {}, { aborted: false }, Symbol('kek')]

/** What is wrong, as it may read in a message. */
function mentions(message: string, value: unknown): boolean {
  const text = typeof value === 'symbol' ? 'Symbol' : String(value)
  return (
    message.includes(text) ||
    message.includes(JSON.stringify(value) ?? text) ||
    message.includes(typeof value) ||
    message.includes('object')
  )
}

interface Row {
  /** The argument that the message must name. */
  readonly argument: string
  readonly call: Loose
  /** Returns a promise: must reject, and not throw. */
  readonly promises?: boolean
}

async function failure({ call, promises }: Row, value: unknown): Promise<Error> {
  let error: unknown
  if (promises) {
    const promise = call(value)
    assert.ok(promise instanceof Promise)
    error = await rejection(promise)
  } else error = thrown(() => call(value))
  assert.ok(error instanceof Error)
  assert.equal(calloff.isCancellation(error), false)
  return error
}

const numbers: readonly Row[] = [
  { argument: 'ms', call: (value) => new TimeoutToken(value) },
  { argument: 'n', call: (value) => new CounterToken(value) },
  { argument: 'pollEvery', call: (value) => new ConditionToken(() => false, { pollEvery: value }) },
  { argument: 'timeout', call: (value) => call('wait')({ timeout: value }), promises: true },
  { argument: 'step', call: (value) => call('wait')({ step: value }), promises: true },
  { argument: 'timeout', call: (value) => call('waitSync')({ timeout: value }) },
  { argument: 'step', call: (value) => call('waitSync')({ step: value, timeout: 1_000 }) },
  { argument: 'timeout', call: (value) => call('race')(Promise.resolve(), { timeout: value }), promises: true },
  { argument: 'timeout', call: (value) => call('settled')({ timeout: value }), promises: true },
  {
    argument: 'grace',
    call: (value) => call('untilCancelled')(Promise.resolve(), { grace: value }),
    promises: true,
  },
  { argument: 'ms', call: (value) => call('sleep')(value), promises: true },
  { argument: 'ms', call: (value) => call('every')(value) },
  { argument: 'ms', call: (value) => call('grace')(value) },
]

describe('10. numbers', () => {
  for (const row of numbers) {
    const source = String(row.call).slice(String(row.call).indexOf('=>') + 3)
    for (const value of [-1, -0.5, -Infinity, Number.NaN]) {
      it(`${source} with ${value} is a RangeError that names ${row.argument} and the value`, async () => {
        const error = await failure(row, value)
        assert.ok(error instanceof RangeError, String(error))
        assert.match(error.message, new RegExp(`\\b${row.argument}\\b`))
        assert.ok(error.message.includes(String(value)), error.message)
      })
    }
    for (const value of noNumbers) {
      it(`${source} with ${typeof value === 'bigint' ? '5n' : JSON.stringify(value)} is a TypeError that names ${row.argument}`, async () => {
        const error = await failure(row, value)
        assert.ok(error instanceof TypeError, String(error))
        assert.match(error.message, new RegExp(`\\b${row.argument}\\b`))
        assert.ok(mentions(error.message, value), error.message)
      })
    }
  }

  it('that are missing where they are wanted are TypeErrors', async () => {
    for (const row of [
      { argument: 'ms', call: () => new TimeoutToken() },
      { argument: 'n', call: () => new CounterToken() },
      { argument: 'ms', call: () => call('sleep')(), promises: true },
      { argument: 'ms', call: () => call('every')() },
      { argument: 'ms', call: () => call('grace')() },
    ]) {
      const error = await failure(row, undefined)
      assert.ok(error instanceof TypeError)
      assert.match(error.message, new RegExp(`\\b${row.argument}\\b`))
    }
  })

  it('that are undefined count as absent where they are options', async () => {
    assert.ok(new ConditionToken(() => false, { pollEvery: undefined }))
    const dead = new calloff.SimpleToken().cancel()
    const nothing = { timeout: undefined, step: undefined } as unknown as undefined
    assert.equal(await dead.wait(nothing), dead.error)
    assert.equal(dead.waitSync(nothing), dead.error)
    assert.equal(await new calloff.SimpleToken().race(async () => 1, nothing), 1)
  })

  for (const value of [0.5, 1.5, Infinity, 1e-9]) {
    it(`a counter refuses ${value} with a RangeError`, () => {
      const error = thrown(() => new CounterToken(value))
      assert.ok(error instanceof RangeError)
      assert.match(error.message, /\bn\b/)
      assert.ok(error.message.includes(String(value)))
    })
  }

  it('a step longer than the timeout is a RangeError', async () => {
    for (const options of [
      { step: 2, timeout: 1 },
      { step: Infinity, timeout: 1_000 },
      { step: 1, timeout: 0 },
    ]) {
      const error = await rejection(new calloff.SimpleToken().wait(options))
      assert.ok(error instanceof RangeError)
      assert.match(error.message, /step/)
      assert.match(error.message, /timeout/)
      assert.ok(thrown(() => new calloff.SimpleToken().waitSync(options)) instanceof RangeError)
      assert.ok((await rejection(new calloff.SimpleToken().cancel().wait(options))) instanceof RangeError)
    }
  })

  it('of a date must be one', () => {
    const error = thrown(() => until(new Date(Number.NaN)))
    assert.ok(error instanceof RangeError)
    assert.match(error.message, /date/)
    assert.ok(thrown(() => until(Number.NaN)) instanceof RangeError)
    for (const value of ['tomorrow', null, undefined, {}, true]) {
      const wrong = thrown(() => until(value))
      assert.ok(wrong instanceof TypeError)
      assert.match(wrong.message, /date/)
    }
  })
})

const others: readonly (readonly [string, readonly unknown[], Row])[] = [
  ['a function', [5, 'kek', null, undefined, {}, true], { argument: 'fn', call: (value) => new ConditionToken(value) }],
  ['a function', [5, 'kek', null, undefined, {}], { argument: 'listener', call: (value) => call('onCancel')(value) }],
  [
    'a function',
    [5, 'kek', null, undefined, {}],
    { argument: 'listener', call: (value) => (calloff.NEVER.onCancel as Loose)(value) },
  ],
  [
    'a function',
    [5, null, {}],
    { argument: 'before', call: (value) => new ConditionToken(() => true, { before: value }) },
  ],
  [
    'a function',
    [5, null, {}],
    { argument: 'after', call: (value) => new ConditionToken(() => true, { after: value }) },
  ],
  ['a boolean', noBooleans, { argument: 'cancelled', call: (value) => new SimpleToken({ cancelled: value }) }],
  ['a boolean', noBooleans, { argument: 'direct', call: (value) => new CounterToken(5, { direct: value }) }],
  ['a boolean', noBooleans, { argument: 'direct', call: (value) => call('isCancelled')({ direct: value }) }],
  [
    'a boolean',
    noBooleans,
    { argument: 'caching', call: (value) => new ConditionToken(() => true, { caching: value }) },
  ],
  [
    'a boolean',
    noBooleans,
    { argument: 'default', call: (value) => new ConditionToken(() => true, { default: value }) },
  ],
  [
    'a boolean',
    noBooleans,
    { argument: 'suppressExceptions', call: (value) => new ConditionToken(() => true, { suppressExceptions: value }) },
  ],
  ['a string', [5, null, {}, true], { argument: 'name', call: (value) => new SimpleToken({ name: value }) }],
  ['a token', noTokens, { argument: 'nested', call: (value) => new SimpleToken(undefined, value) }],
  ['a token', [...noTokens, null], { argument: 'nested', call: (value) => new TimeoutToken(5, {}, value) }],
  [
    'options or a token',
    [5, 'kek', '', null, () => {}],
    { argument: 'options', call: (value) => new SimpleToken(value) },
  ],
  ['options or a token', [5, 'kek', '', null], { argument: 'options', call: (value) => new TimeoutToken(5, value) }],
  ['options or a token', [5, 'kek', null], { argument: 'options', call: (value) => new CounterToken(5, value) }],
  [
    'options or a token',
    [5, 'kek', null],
    { argument: 'options', call: (value) => new ConditionToken(() => true, value) },
  ],
  ['options', [5, 'kek', null], { argument: 'options', call: (value) => call('wait')(value), promises: true }],
  ['options', [5, 'kek', null], { argument: 'options', call: (value) => call('waitSync')(value) }],
  ['options', [5, 'kek', null], { argument: 'options', call: (value) => call('isCancelled')(value) }],
  [
    'options',
    [5, 'kek', null],
    { argument: 'options', call: (value) => call('race')(Promise.resolve(), value), promises: true },
  ],
  [
    'work',
    [5, 'kek', null, undefined, {}, true],
    { argument: 'task', call: (value) => call('race')(value), promises: true },
  ],
  ['work', [5, 'kek', null, {}], { argument: 'task', call: (value) => call('race')([() => 1, value]), promises: true }],
  [
    'something iterable',
    [5, null, undefined, {}, () => {}],
    { argument: 'source', call: (value) => call('iterate')(value) },
  ],
]

describe('10. what is no token, function or signal where one is wanted', () => {
  for (const [wanted, values, row] of others) {
    const source = String(row.call).slice(String(row.call).indexOf('=>') + 3)
    it(`${source} wants ${wanted}, else it is a TypeError that names ${row.argument} and the value`, async () => {
      for (const value of values) {
        const error = await failure(row, value)
        assert.ok(error instanceof TypeError, String(error))
        assert.match(error.message, new RegExp(`\\b${row.argument}\\b`))
        assert.ok(mentions(error.message, value), error.message)
      }
    })
  }

  for (const [name, combine] of [
    ['plus', call('plus')],
    ['anyOf', anyOf],
    ['allOf', allOf],
    ['from', from],
  ] as const) {
    it(`${name} wants tokens or signals`, () => {
      for (const value of name === 'from' ? noTokens : [...noTokens, null]) {
        assert.ok(thrown(() => combine(value)) instanceof TypeError, typeof value)
        if (name !== 'from') assert.ok(thrown(() => combine(new SimpleToken(), value)) instanceof TypeError)
      }
    })
  }

  it('a race of nothing is a RangeError', async () => {
    const error = await rejection(new calloff.SimpleToken().race([]))
    assert.ok(error instanceof RangeError)
    assert.match(error.message, /task/)
    assert.ok((await rejection(new calloff.SimpleToken().cancel().race([]))) instanceof RangeError)
  })

  it('undefined counts as absent among options and nested tokens', () => {
    const named = new SimpleToken({ name: undefined, cancelled: undefined }) as unknown as calloff.SimpleToken
    assert.equal(named.name, undefined)
    assert.equal(named.cancelled, false)
    for (const [token, text] of [
      [new SimpleToken(undefined, undefined), 'SimpleToken()'],
      [new CounterToken(5, undefined, new SimpleToken()), 'CounterToken(5, SimpleToken())'],
      [new TimeoutToken(5, {}, undefined, new SimpleToken()), 'TimeoutToken(5, SimpleToken())'],
    ] as const) {
      assert.equal(token['toString']?.(), text)
    }
    assert.equal(new calloff.SimpleToken().isCancelled(undefined), false)
    assert.equal(new calloff.CounterToken(5, { direct: undefined }).keepOn(), true)
  })

  it('the base class cannot be made', () => {
    assert.ok(thrown(() => new CancellationToken()) instanceof TypeError)
    assert.ok(thrown(() => new CancellationToken({ name: 'x' })) instanceof TypeError)
    assert.ok(thrown(() => new CancellationToken(undefined, [])) instanceof TypeError)
  })

  it('tokens have no way to come back to life', () => {
    const dead = new calloff.SimpleToken().cancel() as unknown as { cancelled: boolean }
    assert.throws(() => {
      dead.cancelled = false
    }, TypeError)
    assert.equal(dead.cancelled, true)
  })
})
