/** Observers on an engine that cannot choose where a stack begins, as Firefox was for long. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TimeoutToken, trace } from 'calloff'
import { manualClock } from 'calloff/testing'

test('an observer hears where a deadline was made without Error.captureStackTrace', () => {
  using clock = manualClock()
  const capture = Object.getOwnPropertyDescriptor(Error, 'captureStackTrace') as PropertyDescriptor
  let madeAt: string | undefined
  using _ = trace({ deadlines: true, cancel: (event) => void (madeAt = event.madeAt) })
  Reflect.deleteProperty(Error, 'captureStackTrace')
  try {
    const token = new TimeoutToken(10)
    clock.tick(10)
    assert.equal(token.cancelled, true)
  } finally {
    Object.defineProperty(Error, 'captureStackTrace', capture)
  }
  assert.match(madeAt ?? '', /observers\.test/)
})
