/** Test files that do what no test file should, by the name in CALLOFF_FIXTURE. What they start prints its process id. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { writeSync } from 'node:fs'
import process from 'node:process'
import { describe, it, test } from 'node:test'

/** It ignores SIGTERM, holds the standard output of the file, and never ends. */
const stubborn = 'trap "" TERM HUP INT; echo "pid $$"; while :; do sleep 1000; done'
/** Its parent is gone at once. */
const orphan = `(trap "" TERM HUP INT; sh -c 'echo "pid $PPID"'; while :; do sleep 1000; done) &`

/** Resolves when it has printed its process id, which is passed on. */
function start(script: string, options: { detached?: boolean; env?: NodeJS.ProcessEnv } = {}): Promise<void> {
  const child = spawn('sh', ['-c', `{ ${script}\n} | cat`], { stdio: ['ignore', 'pipe', 'inherit'], ...options })
  return new Promise((resolve) => {
    child.stdout.once('data', (text: Buffer) => {
      writeSync(1, text)
      child.unref()
      ;(child.stdout as unknown as { unref(): void }).unref()
      resolve()
    })
  })
}

const fixtures: Readonly<Record<string, () => void>> = {
  hangs() {
    test('that ends', () => {})
    test('that never ends', async () => {
      await start(stubborn)
      await new Promise(() => setInterval(() => {}, 1_000))
    })
  },
  blocks() {
    describe('a loop', () => {
      it('ends', () => {})
      it('never ends', async () => {
        await start(stubborn, { detached: true })
        for (;;);
      })
    })
  },
  'is kept alive'() {
    test('that ends', () => void setInterval(() => {}, 1_000))
  },
  fails() {
    test('that fails', async () => {
      await start(orphan)
      assert.fail('on purpose')
    })
  },
  'leaves one in a session of its own'() {
    test('that passes', () => start(stubborn, { detached: true }))
  },
  'leaves one without its environment'() {
    test('that passes', () => start(stubborn, { env: { PATH: process.env['PATH'] } }))
  },
  'leaves one whose parent has ended'() {
    test('that passes', () => start(orphan, { detached: true }))
  },
  'leaves one that is about to end'() {
    test('that passes', () => start('echo "pid $$"; sleep 0.3', { detached: true }))
  },
  passes() {
    test('that passes', () => {})
    test('that is skipped', { skip: 'a server is not installed: apt-get install a-server' }, () => {})
  },
}

fixtures[process.env['CALLOFF_FIXTURE'] ?? '']?.()
