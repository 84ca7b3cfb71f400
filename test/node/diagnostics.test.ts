import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { runtimes, start } from './programs.js'

describe('a subscriber that throws', () => {
  for (const runtime of runtimes) {
    it(
      `harms no cancel and no task, and its error is uncaught, on ${runtime.name}`,
      { skip: runtime.skip },
      async () => {
        const { lines, errors, code } = await start(runtime, 'diagnostics.child.js').ended
        assert.equal(errors, '')
        assert.deepEqual(lines.slice(0, 2), ['the listener is called', 'cancelled: true'])
        const rest = new Set(lines.slice(2))
        for (const line of [
          'the next subscriber is called',
          'the task has run',
          'uncaught: the subscriber of cancel',
          'uncaught: the subscriber of start',
        ]) {
          assert.ok(rest.has(line), line)
        }
        assert.equal(code, 0)
      },
    )
  }
})
