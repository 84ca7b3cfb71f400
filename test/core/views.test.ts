/** What Node tells of a view of a token: other platforms have messages and comparisons of their own. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SimpleToken } from 'calloff'

describe('a view of a token', () => {
  it('that is cloned says what can be sent instead', () => {
    const { view } = new SimpleToken()
    assert.throws(() => structuredClone(view), { name: 'DataCloneError', message: /share\(\)/ })
  })

  it('is not deeply equal to that of another token', () => {
    const { view } = new SimpleToken()
    assert.deepEqual(view, view)
    assert.notDeepEqual(view, new SimpleToken().view)
  })
})
