import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  CANCELLED,
  CounterToken,
  DefaultToken,
  fromHeaders,
  type HeaderOptions,
  type HeaderSource,
  InvalidDeadlineError,
  NEVER,
  SimpleToken,
  TimeoutToken,
  toHeaders,
} from 'calloff'
import { manualClock } from 'calloff/testing'

/** Runs it while no time passes. */
function atOnce<T>(run: () => T): T {
  const clock = manualClock()
  try {
    return run()
  } finally {
    clock.uninstall()
  }
}

const both = (grpc: string, ms: string): object => ({ 'grpc-timeout': grpc, 'x-request-timeout-ms': ms })

describe('toHeaders', () => {
  it('says what remains, in the finest unit that eight digits are enough for, and never more', () => {
    for (const [ms, grpc, whole] of [
      [0, '0n', '0'],
      [0.000_000_5, '0n', '0'],
      [0.5, '500000n', '0'],
      [99.999_999, '99999999n', '99'],
      [100, '100000u', '100'],
      [1_500.25, '1500250u', '1500'],
      [99_999.999, '99999999u', '99999'],
      [100_000, '100000m', '100000'],
      [99_999_999, '99999999m', '99999999'],
      [100_000_000, '100000S', '100000000'],
      [99_999_999_999, '99999999S', '99999999999'],
      [100_000_000_000, '1666666M', '100000000000'],
      [6e12, '1666666H', '6000000000000'],
      [1e15, '99999999H', '1000000000000000'],
      [1e30, '99999999H', '9007199254740991'],
    ] as const) {
      const headers = atOnce(() => toHeaders(new TimeoutToken(ms)))
      assert.deepEqual(headers, both(grpc, whole), String(ms))
    }
  })

  it('gets less as time goes by, and is 0 when it has passed', () => {
    using clock = manualClock()
    const token = new SimpleToken(new TimeoutToken(60_000), new TimeoutToken(2_000))
    clock.tick(500)
    assert.deepEqual(toHeaders(token), both('1500000u', '1500'))
    clock.tick(2_000)
    assert.deepEqual(toHeaders(token), both('0n', '0'))
  })

  it('is 0 for a token that was cancelled for another reason, and nothing for one without a deadline', () => {
    assert.deepEqual(toHeaders(CANCELLED), both('0n', '0'))
    assert.deepEqual(toHeaders(AbortSignal.abort()), both('0n', '0'))
    assert.deepEqual(toHeaders(NEVER), {})
    assert.deepEqual(toHeaders(new TimeoutToken(Infinity)), {})
    const counter = new CounterToken(1, { direct: false })
    assert.deepEqual(toHeaders(counter), {})
    assert.equal(counter.counter, 1)
  })

  it('goes into Headers, and what is no token is a TypeError', () => {
    const headers = atOnce(() => new Headers({ ...toHeaders(new TimeoutToken(250)) }))
    assert.equal(headers.get('grpc-timeout'), '250000u')
    assert.throws(() => toHeaders({} as never), { name: 'TypeError', message: /^token must be a token, got/ })
    assert.throws(() => toHeaders(undefined as never), { name: 'TypeError', message: /^token must be a token/ })
  })
})

/** The milliseconds that headers give, Infinity for a DefaultToken. */
function given(headers: HeaderSource, options?: HeaderOptions): number {
  return atOnce(() => {
    const token = fromHeaders(headers, options)
    assert.ok(token instanceof TimeoutToken || token instanceof DefaultToken)
    return token.remaining
  })
}

/** What is thrown for a header that cannot be read. */
function refusalOf(name: string, value: string): unknown {
  try {
    return fromHeaders([[name, value]], { invalid: 'refuse' })
  } catch (error) {
    return error
  }
}

describe('fromHeaders', () => {
  it('reads every unit', () => {
    for (const [text, ms] of [
      ['1H', 3_600_000],
      ['2M', 120_000],
      ['3S', 3_000],
      ['4m', 4],
      ['5000u', 5],
      ['6000000n', 6],
      ['99999999S', 99_999_999_000],
      ['0m', 0],
      [' 7S\t', 7_000],
    ] as const) {
      assert.equal(given({ 'grpc-timeout': text }), ms, text)
    }
    assert.equal(given({ 'x-request-timeout-ms': '1500' }), 1_500)
    assert.equal(given({ 'x-request-timeout-ms': '0' }), 0)
  })

  it("takes Headers, what Node's requests have, and pairs, whatever the case of the names", () => {
    assert.equal(given(new Headers({ 'Grpc-Timeout': '2S' })), 2_000)
    assert.equal(given(new Map([['grpc-timeout', '2S']])), 2_000)
    assert.equal(given({ host: 'x', 'Grpc-Timeout': '2S' }), 2_000)
    assert.equal(given({ __proto__: null, 'grpc-timeout': '2S' } as never), 2_000)
    assert.equal(given([['GRPC-TIMEOUT', '2S']]), 2_000)
    assert.equal(given(new Set([['accept', 'x'] as const, ['x-request-timeout-ms', '2000'] as const])), 2_000)
  })

  it('of several the shortest holds', () => {
    assert.equal(given({ 'grpc-timeout': '2S', 'x-request-timeout-ms': '1500' }), 1_500)
    assert.equal(given({ 'grpc-timeout': '1S', 'x-request-timeout-ms': '1500' }), 1_000)
    assert.equal(given({ 'grpc-timeout': ['3S', '2S'] }), 2_000)
    assert.equal(given({ 'grpc-timeout': '3S, 2S' }), 2_000)
    const headers = new Headers([
      ['grpc-timeout', '3S'],
      ['grpc-timeout', '2S'],
    ])
    assert.equal(given(headers), 2_000)
  })

  it('without one: the default, else for ever', () => {
    assert.equal(given({}), Infinity)
    assert.equal(given(new Headers()), Infinity)
    assert.equal(given({ 'grpc-timeout': undefined }), Infinity)
    assert.equal(given({}, { default: 5_000 }), 5_000)
    assert.equal(given({ 'grpc-timeout': '1H' }, { default: 5_000 }), 3_600_000)
    assert.ok(fromHeaders([]) instanceof DefaultToken)
  })

  it('max is the most that a server gets', () => {
    assert.equal(given({ 'grpc-timeout': '1H' }, { max: 30_000 }), 30_000)
    assert.equal(given({ 'grpc-timeout': '1S' }, { max: 30_000 }), 1_000)
    assert.equal(given({}, { max: 30_000 }), 30_000)
    assert.equal(given({}, { max: 30_000, default: 60_000 }), 30_000)
    assert.equal(given({}, { max: 0 }), 0)
    assert.equal(given({ 'grpc-timeout': '1S' }, { max: Infinity }), 1_000)
  })

  const bad: readonly (readonly [string, string])[] = [
    ['grpc-timeout', ''],
    ['grpc-timeout', '5'],
    ['grpc-timeout', 'S'],
    ['grpc-timeout', '5s'],
    ['grpc-timeout', '5 S'],
    ['grpc-timeout', '-5S'],
    ['grpc-timeout', '1.5S'],
    ['grpc-timeout', '123456789m'],
    ['grpc-timeout', '٣S'],
    ['x-request-timeout-ms', ''],
    ['x-request-timeout-ms', '-1'],
    ['x-request-timeout-ms', '1.5'],
    ['x-request-timeout-ms', '1e3'],
    ['x-request-timeout-ms', '0x10'],
    ['x-request-timeout-ms', 'Infinity'],
    ['x-request-timeout-ms', '5S'],
    ['x-request-timeout-ms', '12345678901234567'],
  ]

  it('what cannot be read counts as absent', () => {
    for (const [name, value] of bad) {
      assert.equal(given([[name, value]]), Infinity, value)
      assert.equal(given([[name, value]], { default: 5_000, invalid: 'ignore' }), 5_000, value)
    }
    assert.equal(given({ 'grpc-timeout': 'soon', 'x-request-timeout-ms': '1500' }), 1_500)
    assert.equal(given({ 'grpc-timeout': 'soon, 2S' }), 2_000)
  })

  it('or is refused, with an error that says what it was', () => {
    for (const [name, value] of bad) {
      const error = refusalOf(name, value)
      assert.ok(error instanceof InvalidDeadlineError && error instanceof RangeError)
      assert.deepEqual(
        [error.name, error.code, error.header, error.value],
        ['InvalidDeadlineError', 'ERR_INVALID_DEADLINE', name, value],
      )
      const { message } = error
      assert.ok(message.startsWith(`${name} must be `) && message.endsWith(`got ${JSON.stringify(value)}`), message)
    }
    const good = { 'grpc-timeout': '2S', 'x-request-timeout-ms': '1500' }
    assert.equal(given(good, { invalid: 'refuse' }), 1_500)
    assert.throws(() => fromHeaders({ ...good, 'grpc-timeout': '2S, soon' }, { invalid: 'refuse' }), { value: 'soon' })
  })

  it('a long value is cut in the message', () => {
    const value = '9'.repeat(10_000)
    const error = refusalOf('grpc-timeout', value)
    assert.ok(error instanceof InvalidDeadlineError && error.message.length < 200)
    assert.equal(error.value, value)
  })

  it('the token has the name that is given, and begins now', () => {
    using clock = manualClock()
    const token = fromHeaders({ 'grpc-timeout': '1S' }, { name: 'request' })
    assert.equal(String(token), "TimeoutToken(1000, { name: 'request' })")
    clock.tick(999)
    assert.equal(token.cancelled, false)
    clock.tick(1)
    assert.equal(token.error?.message, 'token "request" ran out of time after 1000 ms')
  })

  it('what travels is never longer than what remained', () => {
    using clock = manualClock()
    const token = new TimeoutToken(12_345.678_9)
    clock.tick(0.123)
    const there = fromHeaders(toHeaders(token))
    assert.ok(there.remaining <= token.remaining)
    assert.ok(there.remaining > token.remaining - 1)
  })

  it('bad arguments are TypeErrors and RangeErrors that name them', () => {
    const wrong = fromHeaders as (...args: unknown[]) => unknown
    assert.throws(() => wrong(), { name: 'TypeError', message: /^headers must be/ })
    assert.throws(() => wrong(null), { name: 'TypeError', message: /^headers must be .*, got null/ })
    assert.throws(() => wrong('grpc-timeout: 1S'), { name: 'TypeError', message: /^headers must be/ })
    assert.throws(() => wrong(['grpc-timeout', '1S']), { name: 'TypeError', message: /^headers must be pairs/ })
    assert.throws(() => wrong([[5, '1S']]), { name: 'TypeError', message: /^headers must be pairs/ })
    assert.throws(() => wrong({ 'grpc-timeout': 5 }), {
      name: 'TypeError',
      message: /^headers\["grpc-timeout"\] must be a string, got 5/,
    })
    assert.throws(() => wrong({}, { max: -1 }), { name: 'RangeError', message: /^max must not be negative/ })
    assert.throws(() => wrong({}, { default: NaN }), { name: 'RangeError', message: /^default must not be/ })
    assert.throws(() => wrong({}, { max: '5' }), { name: 'TypeError', message: /^max must be a number/ })
    assert.throws(() => wrong({}, { name: 5 }), { name: 'TypeError', message: /^name must be a string/ })
    assert.throws(() => wrong({}, { invalid: 'throw' }), {
      name: 'TypeError',
      message: /^invalid must be 'ignore' or 'refuse'/,
    })
    assert.throws(() => wrong({}, 5), { name: 'TypeError', message: /^options must be/ })
  })
})
