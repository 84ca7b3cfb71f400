/** Runs a test file that hangs, to be interrupted meanwhile. */
import process from 'node:process'
import { runNodeFile } from '../runtimes/runner.js'

await runNodeFile(process.execPath, [], 'build/test/runner/files.child.js', {
  limit: 120_000,
  env: { CALLOFF_FIXTURE: 'hangs' },
  onText: (text) => process.stdout.write(text),
})
