/** 3.19: when the time limit has passed, every promise settles, even if nothing else keeps the process alive. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { run } from './run.js'

test('19. a promise under a time limit settles when that has passed, though nothing else keeps the process alive', async () => {
  const { lines, errors, code } = await run('limits.child.js')
  assert.equal(lines.at(-1), 'all', `${errors}${lines.join('\n')}`)
  assert.equal(code, 0, errors)
  assert.equal(lines.length, 8)
  for (const line of lines.slice(0, -1)) assert.match(line, /: its time is up$/)
})
