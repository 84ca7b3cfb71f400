/** 3.21: a promise that rejects with the cancellation of its own token is handled from birth; a failure is not. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { run } from './run.js'

describe('21. a promise that is awaited late', () => {
  test('ends no process when its own token was cancelled, or its own limit has passed; a failure is unhandled', async () => {
    const { lines, errors, code } = await run('late.child.js')
    assert.equal(code, 0, errors)
    const cases = new Map<string, string[]>()
    let said: string[] = []
    for (const line of lines) {
      if (line.startsWith(' ')) said.push(line.trim())
      else cases.set(line, (said = []))
    }
    assert.ok(cases.size > 30, lines.join('\n'))
    for (const [name, what] of cases) {
      if (name.startsWith('failed')) {
        assert.equal(what.length, 2, `${name}: ${what.join(', ')}`)
        assert.match(what[0] as string, /^unhandled: /, name)
        assert.match(what[1] as string, /^failed|^cancelled/, name)
      } else assert.deepEqual(what, ['cancelled'], name)
    }
  })
})
