/** Reasons on their way: what comes back from what was not written by us. What was, the tests of threads and hubs send. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type * as reasonsModule from '../../dist/core/reasons.js'

const file = new URL('../../../dist/core/reasons.js', import.meta.url)
const { decodeReason, encodeLine, encodeReason } = (await import(file.href)) as typeof reasonsModule

test('text that is no reason of ours is none, and no error', () => {
  for (const text of ['', 'stop', '{', '{"$":5}', '{"$":["bigint","x"]}', '['.repeat(100_000)]) {
    assert.deepEqual(decodeReason(text, 'a test'), { reason: undefined, saying: undefined }, text.slice(0, 20))
  }
})

test('an error says where it comes from', () => {
  const { reason: arrived } = decodeReason('{"$":["error",{"name":"RangeError","message":"no"}]}', 'another planet')
  assert.ok(arrived instanceof RangeError)
  assert.equal(arrived.stack, 'RangeError: no\n    at another planet')
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
