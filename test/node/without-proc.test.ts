import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import process from 'node:process'
import { it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const pathOf = (file: string) => fileURLToPath(new URL(file, import.meta.url))
const skip = process.platform !== 'linux' && 'elsewhere the tests of trees ask ps anyway'

it('trees are ended by what ps says where there is no /proc', { skip }, async () => {
  const { NODE_TEST_CONTEXT: _context, NODE_OPTIONS: _options, ...env } = process.env
  const args = ['--import', pathOf('without-proc.child.js'), '--test-reporter=tap', pathOf('processes/trees.test.js')]
  const { stdout } = await promisify(execFile)(process.execPath, args, { env, timeout: 120_000 }).catch(
    (error: unknown) => assert.fail((error as { stdout?: string }).stdout ?? String(error)),
  )
  assert.match(stdout, /^# fail 0$/m)
  assert.match(stdout, /^# skipped 3$/m)
})
