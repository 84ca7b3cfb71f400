/** The embedded server and its clients keep their promises on every runtime that is installed. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { runtimes, start } from '../node/programs.js'

describe(
  'the conformance suite passes',
  { skip: process.platform === 'win32' && 'Windows has no Unix sockets' },
  () => {
    for (const runtime of runtimes) {
      it(`on ${runtime.name}`, { skip: runtime.skip }, async () => {
        const folder = mkdtempSync(join(tmpdir(), 'calloff-hub-'))
        const { code, lines, errors } = await start(runtime, '../remote/conformance.child.js', folder).ended
        assert.deepEqual({ code, lines, errors }, { code: 0, lines: ['27 cases', '27 cases'], errors: '' })
        rmSync(folder, { recursive: true })
      })
    }
  },
)
