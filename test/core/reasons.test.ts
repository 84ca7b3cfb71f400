/** Reasons on their way: what comes back from what was not written by us. What was, the tests of threads and hubs send. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type * as reasonsModule from '../../dist/core/reasons.js'

const file = new URL('../../../dist/core/reasons.js', import.meta.url)
const { decodeReason } = (await import(file.href)) as typeof reasonsModule

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
