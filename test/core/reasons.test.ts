/** Reasons on their way: what comes back from what was not written by us. What was, the tests of threads and hubs send. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import fc from 'fast-check'
import type * as reasonsModule from '../../dist/core/reasons.js'
import { runs } from '../property/runs.js'

const file = new URL('../../../dist/core/reasons.js', import.meta.url)
const { decodeReason, encodeLine, encodeReason, readable, reasonOf, traceIn, valueOfReason, withTrace } = (await import(
  file.href
)) as typeof reasonsModule

test('text that is no reason of ours is none, and no error', () => {
  for (const text of ['', 'stop', '{', '{"$":5}', '{"$":["bigint","x"]}', '['.repeat(100_000)]) {
    assert.deepEqual(decodeReason(text, 'a test'), { reason: undefined, saying: undefined }, text.slice(0, 20))
  }
})

test('a form that was parsed already is not trusted either, however deep it is', () => {
  const deep: unknown = JSON.parse('['.repeat(50_000) + ']'.repeat(50_000))
  assert.equal(Array.isArray(reasonOf(deep, 'a test')), true)
  assert.equal(reasonOf({ $: ['bigint', '7'] }, 'a test'), 7n)
  for (const form of [undefined, { $: 5 }, { $: null }, { $: ['object', 1] }]) {
    assert.equal(reasonOf(form, 'a test'), undefined)
  }
})

test('a reason as a value for JSON is read back as it was, and is cut where it is too long', () => {
  for (const reason of [undefined, null, 'why', '', 0, -0, 7n, [{ a: 1, $: 2 }], new Date(5)]) {
    const sent: unknown = JSON.parse(JSON.stringify({ reason: valueOfReason(reason, 200) }))
    assert.deepEqual(reasonOf((sent as { reason: unknown }).reason, 'a test'), reason)
  }
  assert.deepEqual(valueOfReason(new RangeError('no'), 200), { $: ['error', { name: 'RangeError', message: 'no' }] })
  assert.match(String(valueOfReason('x'.repeat(300), 200)), /^x+…$/)
  assert.equal(valueOfReason('why', 1), null, 'nothing fits')
})

test('a reason as readable text is cut where it is too long', () => {
  assert.deepEqual([readable('enough', 10), readable(17, 10)], ['enough', '17'])
  assert.equal(readable('enough of this', 6).startsWith('enough'), true)
  assert.equal(readable('x'.repeat(1_000), 10).length <= 11, true)
})

test('an error says where it comes from', () => {
  const { reason: arrived } = decodeReason('{"$":["error",{"name":"RangeError","message":"no"}]}', 'another planet')
  assert.ok(arrived instanceof RangeError)
  assert.equal(arrived.stack, 'RangeError: no\n    at another planet')
})

const jsonOfForm = fc
  .letrec((tie) => {
    const value = fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      fc.constantFrom<unknown>(null, true, -1, 1e300, '', 'text', '\u0000', '\uD800', '__proto__'),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom('$', 'name', 'message', 'code', 'stack', 'cause', '__proto__'), tie('value')),
      fc
        .tuple(
          fc.constantFrom('said', 'error', 'date', 'number', 'bigint', 'object', 'undefined', 'x'),
          tie('value'),
          tie('value'),
        )
        .map((content) => ({ $: content })),
      fc
        .record(
          { name: tie('value'), message: tie('value'), code: tie('value'), stack: tie('value'), cause: tie('value') },
          { requiredKeys: [] },
        )
        .map((error) => ({ $: ['error', error] })),
    )
    return { value }
  })
  .value.map((form) => JSON.stringify(form))

/** Every error in what has arrived. */
function* errorsIn(value: unknown): Generator<Error & { code?: unknown }> {
  if (typeof value !== 'object' || value === null) return
  if (value instanceof Error) yield value
  for (const key of Reflect.ownKeys(value)) yield* errorsIn((value as Record<PropertyKey, unknown>)[key])
}

test('whatever has arrived can be printed, logged and thrown', () => {
  fc.assert(
    fc.property(jsonOfForm, (text) => {
      const { reason, saying } = decodeReason(text, 'a test')
      assert.ok(saying === undefined || saying.text === undefined || typeof saying.text === 'string')
      inspect(reason, { depth: null })
      JSON.stringify(reason, (_key, one: unknown) => (typeof one === 'bigint' ? `${one}` : one))
      for (const error of errorsIn(reason)) {
        assert.equal(typeof error.name, 'string')
        assert.equal(typeof error.message, 'string')
        assert.equal(typeof error.stack, 'string')
        assert.ok(['undefined', 'string', 'number'].includes(typeof error.code))
        assert.equal(typeof `${error}`, 'string')
      }
    }),
    runs(2_000),
  )
})

const sizeOf = (text: string) => text.length

test('what is too long is cut, to the last character that fits', () => {
  const cut = (reason: unknown, limit: number) => {
    const text = encodeReason(reason, undefined, true, limit, sizeOf)
    assert.ok(text === undefined || text.length <= limit, text)
    return text && decodeReason(text, 'a test').reason
  }
  const failed = Object.assign(new Error('x'.repeat(200)), { code: 28 })
  for (let limit = 0; limit < 100; limit++) {
    cut(failed, limit)
    cut({ of: ['many', 'parts', { and: 12n }] }, limit)
    cut('text', limit)
  }
  const arrived = cut(failed, 120) as Error & { code: unknown }
  assert.match(arrived.message, /^x+…$/)
  assert.equal(arrived.code, 28)
  assert.equal(cut({ of: ['many'] }, 0), undefined)
})

test('a line that does not fit at all is none', () => {
  assert.equal(encodeLine('a line', 100, sizeOf), '"a line"')
  assert.equal(encodeLine('a line', 7, sizeOf), '"a li…"')
  assert.equal(encodeLine('a line', 2, sizeOf), undefined)
})

const TRACE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
const sizeInCharacters = (text: string) => text.length

test('a reason with a trace arrives as it does without, and the trace arrives too', () => {
  const reasons = fc.oneof(
    fc.string(),
    fc.integer(),
    fc.jsonValue(),
    fc.string().map((text) => new RangeError(text)),
  )
  fc.assert(
    fc.property(reasons, fc.option(fc.string(), { nil: undefined }), (reason, said) => {
      const text = encodeReason(reason, said, false, 10_000, sizeInCharacters) ?? ''
      const traced = withTrace(text, TRACE, 20_000, sizeInCharacters)
      assert.equal(traceIn(traced), TRACE)
      assert.deepEqual(decodeReason(traced, 'a test'), decodeReason(text, 'a test'))
    }),
    runs(1_000),
  )
  const none = withTrace('', TRACE, 1_000, sizeInCharacters)
  assert.equal(traceIn(none), TRACE)
  assert.deepEqual(decodeReason(none, 'a test'), { reason: undefined, saying: undefined })
})

test('a trace is left out where it does not fit, and where it is none', () => {
  assert.equal(withTrace('"stop"', TRACE, 80, sizeInCharacters), '"stop"')
  for (const trace of ['', 'x', TRACE.toUpperCase(), `${TRACE}-more`, TRACE.replace('00', 'ff'), `${TRACE}\n`]) {
    assert.equal(withTrace('"stop"', trace, 1_000, sizeInCharacters), '"stop"', trace)
  }
})

test('what is no trace in a reason from elsewhere is none, and no error', () => {
  const zeros = [TRACE.replace(/-\w{32}/, `-${'0'.repeat(32)}`), TRACE.replace(/-\w{16}-/, `-${'0'.repeat(16)}-`)]
  for (const trace of ['', 7, null, [TRACE], { TRACE }, 'x'.repeat(100_000), ...zeros]) {
    assert.equal(traceIn(JSON.stringify({ $: ['said', 'stop', 'stop', trace] })), undefined)
  }
  for (const text of ['', '{', '"stop"', 'null', '{"$":7}', '{"$":null}', `{"$":["error",1,2,"${TRACE}"]}`]) {
    assert.equal(traceIn(text), undefined, text)
  }
})
