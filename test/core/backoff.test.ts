/** The schedule by which everything waits before it tries again. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type * as backoffModule from '../../dist/core/backoff.js'

const { waitAfter } = (await import(
  new URL('../../../dist/core/backoff.js', import.meta.url).href
)) as typeof backoffModule

describe('the waits of a back-off', () => {
  it('double from the first to the longest', () => {
    assert.deepEqual(
      [0, 1, 2, 3, 1_000, 10_000].map((failures) => waitAfter(failures, 50, 300)),
      [50, 100, 200, 300, 300, 300],
    )
  })

  it('are taken between the half and the whole by chance', () => {
    const waitsAt = (chance: number) => [0, 1, 2].map((failures) => waitAfter(failures, 50, 150, 2, chance))
    assert.deepEqual(waitsAt(0), [25, 50, 75])
    assert.deepEqual(waitsAt(1), [50, 100, 150])
  })

  it('never fall, never pass the longest, and are numbers, for any schedule', () => {
    const amount = fc.oneof(fc.double({ min: 0, max: 1e300, noNaN: true }), fc.constantFrom(0, 1, Infinity))
    fc.assert(
      fc.property(
        amount,
        amount,
        fc.constantFrom(1, 1.5, 2, 1e9, Infinity),
        fc.nat(2_000),
        (first, most, factor, n) => {
          const [before, wait] = [waitAfter(n, first, most, factor), waitAfter(n + 1, first, most, factor)]
          assert.ok(before >= 0 && before <= wait && wait <= most, `${before} and ${wait}`)
        },
      ),
    )
  })
})
