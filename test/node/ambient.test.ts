import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { withToken } from 'calloff/node'
import { cases } from './ambient-cases.js'
import { node, runtimes, start } from './programs.js'

describe('the ambient token', () => {
  for (const [name, run] of Object.entries(cases)) it(name, async () => void (await run()))

  it('refuses bad input by name', () => {
    assert.throws(() => withToken(5 as never, () => 1), {
      name: 'TypeError',
      message: /^foreign must be a token, .* got 5$/,
    })
    assert.throws(() => withToken(undefined, 'x' as never), {
      name: 'TypeError',
      message: 'run must be a function, got "x"',
    })
  })

  for (const runtime of runtimes.filter((one) => one !== node)) {
    it(`keeps all of that on ${runtime.name}`, { skip: runtime.skip }, async () => {
      const ended = await start(runtime, 'ambient.child.js').ended
      assert.equal(ended.errors, '')
      assert.deepEqual([ended.lines, ended.code], [[`${Object.keys(cases).length} cases`], 0])
    })
  }

  it('is refused where no context keeps it, by a typed error', async () => {
    const ended = await start(node, 'no-ambient.child.js').ended
    const message =
      "NoAmbientError ERR_NO_AMBIENT: ambient must not be true before 'calloff/node' is imported, which keeps the token"
    assert.deepEqual(ended.lines, [message, message, message, 'works without'])
    assert.deepEqual([ended.errors, ended.code], ['', 0])
  })
})
