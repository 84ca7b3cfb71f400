import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { fromHeaders, TimeoutToken, toHeaders } from 'calloff'
import { manualClock } from 'calloff/testing'
import { runs } from './runs.js'

test('each header is of the form that is asked for, and never says more than what remains', () => {
  const clock = manualClock()
  // By size, not by bits: most doubles are absurdly small or large.
  const milliseconds = fc
    .tuple(fc.double({ min: 1, max: 10, noNaN: true }), fc.integer({ min: -7, max: 18 }))
    .map(([digits, size]) => digits * 10 ** size)
  fc.assert(
    fc.property(milliseconds, (ms) => {
      const token = new TimeoutToken(ms)
      const headers = toHeaders(token)
      assert.match(headers['grpc-timeout'] ?? '', /^\d{1,8}[HMSmun]$/)
      assert.match(headers['x-request-timeout-ms'] ?? '', /^\d{1,16}$/)
      for (const [name, value] of Object.entries(headers)) {
        const { remaining } = fromHeaders([[name, value]], { invalid: 'refuse' })
        assert.ok(remaining <= token.remaining, `${name}: ${value} is more than ${token.remaining}`)
      }
      // Of the finer one not much is lost, up to where eight digits of hours end.
      if (ms < 1e14) assert.ok(fromHeaders(headers).remaining >= Math.min(ms * 0.999 - 1, ms - 1e-5))
    }),
    runs(2_000),
  )
  clock.uninstall()
})
