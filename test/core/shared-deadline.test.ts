/** A thread whose clock is a little ahead sees the deadline pass first. The side that has made it must agree at once. */
import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { SimpleToken, TimeoutToken } from 'calloff'
import { share, SharedToken } from 'calloff/threads'

test('a deadline that another side has seen pass has passed here too, with one error', () => {
  let at = performance.now()
  const root = new SimpleToken()
  const clock = mock.method(performance, 'now', () => at)
  try {
    for (const ahead of [0.25, 0, -0.25]) {
      const deadline = new TimeoutToken(10, { name: 'budget' }, root)
      const token = share(deadline)
      const there = SharedToken.from(token.handle)
      const moment = at + 10
      at = moment
      assert.equal(there.cancelled, true)
      at = moment - ahead
      const { error } = token
      assert.equal(error?.kind, 'timeout')
      assert.equal(deadline.error, error)
      assert.equal(token.cancelledBy, deadline)
      at = moment
    }
  } finally {
    clock.mock.restore()
  }
})
