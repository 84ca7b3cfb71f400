/** Any name makes a key, and no two names the same one. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { natsKeys } from '../inside.js'

const { holderKey, leaseKey, markKey, parseKey, pathOf } = natsKeys

const name = fc.string({ unit: 'binary', minLength: 1, maxLength: 64 })
const runId = fc.oneof(fc.constant(''), name)
const topic = fc.record({ name, runId }, { noNullPrototype: true })

describe('keys of a NATS bucket', () => {
  it('give back what they were made of, and have only the characters that keys may have', () => {
    fc.assert(
      fc.property(topic, fc.nat(), (one, id) => {
        const path = pathOf(one)
        for (const [kind, key] of [
          ['mark', markKey(path)],
          ['lease', leaseKey(path)],
          ['holder', holderKey(path, '0a', id)],
        ] as const) {
          assert.match(key, /^[-/=.\w]+$/)
          const holder = kind === 'holder' ? { session: '0a', id } : {}
          assert.deepEqual(parseKey(key), { kind, path, topic: one, ...holder })
        }
      }),
    )
  })

  it('have parts that are not too long for a subject', () => {
    const longest = { name: 'ü'.repeat(128), runId: '.'.repeat(256) }
    assert.ok(holderKey(pathOf(longest), 'f'.repeat(32), 2 ** 32 - 1).length < 2_048)
  })

  it('of others are none of ours', () => {
    for (const key of [
      '',
      'sweep',
      'mark',
      'mark.a',
      'mark.=ZZ.=',
      'mark.a.b.c',
      'holder.a.b.c',
      'holder.a.b.c.d',
      'x.a.b',
    ]) {
      assert.equal(parseKey(key), undefined, key)
    }
  })
})
