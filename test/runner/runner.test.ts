/** The runner of the tests, on test files that hang, block, and leave processes behind. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import process from 'node:process'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { isAlive, until } from '../cli/calloff.js'
import { complaintOf, countsOf, isAmiss, missingOf, reasonsIn, runFile, runNodeFile } from '../runtimes/runner.js'
import type { Outcome } from '../runtimes/runtime.js'

const skip = process.platform === 'win32' && 'its programs are shells of POSIX'
const file = 'build/test/runner/files.child.js'

/** The limit is long enough for the file to start, where the machine is busy as well. */
const runs = (fixture: string, limit = 120_000): Promise<Outcome> =>
  runNodeFile(process.execPath, [], file, { limit, env: { CALLOFF_FIXTURE: fixture } })

function pidsIn(output: string): number[] {
  return [...output.matchAll(/^pid (\d+)$/gm)].map(([, pid]) => Number(pid))
}

/** All that it has started, of which there is something, has ended. */
function assertEnded({ output }: Pick<Outcome, 'output'>): void {
  const pids = pidsIn(output)
  assert.notEqual(pids.length, 0, output)
  assert.deepEqual(pids.filter(isAlive), [])
}

describe('a test file', { skip, concurrency: 4 }, () => {
  it('that passes is counted', async () => {
    const outcome = await runs('passes')
    assert.equal(outcome.problem, undefined)
    assert.deepEqual(countsOf(outcome), { passed: 1, failed: 0, skipped: 1 })
    assert.equal(isAmiss(outcome), false)
  })

  it('that hangs is ended with what it started, and its running test named', async () => {
    const outcome = await runs('hangs', 10_000)
    assert.match(outcome.problem ?? '', /did not end within 10 s.*\nwhile this was running: that never ends$/)
    assert.deepEqual(countsOf(outcome), { passed: 1, failed: 1, skipped: 0 })
    assertEnded(outcome)
  })

  it('whose thread is blocked, as well', async () => {
    const outcome = await runs('blocks', 10_000)
    assert.match(outcome.problem ?? '', /while this was running: a loop > never ends$/)
    assertEnded(outcome)
  })

  it('that something keeps alive is ended, and that said', async () => {
    const outcome = await runs('is kept alive', 10_000)
    assert.match(outcome.problem ?? '', /no test was running: something outside of them kept it alive$/)
  })

  it('that fails ends with what it started, although that holds its output', async () => {
    const outcome = await runs('fails')
    assert.match(complaintOf(file, outcome), /FAILED .*files\.child\.js[^]*that fails[^]*on purpose/)
    assertEnded(outcome)
  })

  for (const fixture of [
    'leaves one in a session of its own',
    'leaves one without its environment',
    'leaves one whose parent has ended',
  ]) {
    it(`that passes and ${fixture} has failed`, async () => {
      const outcome = await runs(fixture)
      assert.deepEqual(
        outcome.cases.map(({ state }) => state),
        ['passed'],
      )
      assert.match(outcome.problem ?? '', /^left processes behind, which were ended:\n[^]*^ {2}\d+ sh -c/m)
      assert.equal(countsOf(outcome).failed, 1)
      assertEnded(outcome)
    })
  }

  it('may leave one that ends by itself', async () => {
    const outcome = await runs('leaves one that is about to end')
    assert.equal(outcome.problem, undefined)
    assertEnded(outcome)
  })

  it('without a test has failed', async () => {
    const outcome = await runs('none')
    assert.equal(isAmiss(outcome), true)
    assert.match(complaintOf(file, outcome), /ran no test/)
  })

  it('that cannot be started has failed', async () => {
    const { problem, output } = await runFile('/there/is/none', [], { limit: 120_000 })
    assert.match(`${problem} ${output}`, /ended with code 127 .*ENOENT/)
  })
})

describe('the end of the runner', { skip, concurrency: 3 }, () => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    it(`by ${signal} ends all that it started`, async () => {
      const program = fileURLToPath(new URL('interrupted.child.js', import.meta.url))
      const { NODE_TEST_CONTEXT: _context, ...env } = process.env
      const runner = spawn(process.execPath, [program], { env, stdio: ['ignore', 'pipe', 'inherit'] })
      let output = ''
      runner.stdout.setEncoding('utf8').on('data', (text: string) => void (output += text))
      const ended = new Promise((resolve) => runner.once('close', resolve))
      await until(() => pidsIn(output).length > 0, 'the file did not start')
      runner.kill(signal)
      assert.equal(await ended, { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 }[signal])
      assertEnded({ output })
    })
  }
})

it('what is missing is one line, with what installs it', () => {
  const reasons = [
    'redis-server is not installed: apt-get install redis-server',
    'Bun is not installed: npm ci --prefix runtimes',
    'PostgreSQL is not installed: apt-get install postgresql',
    'redis-server is not installed: apt-get install redis-server',
    'Deno is not installed: npm ci --prefix runtimes',
    'only a page may not block',
  ]
  const line =
    'not installed: redis-server, PostgreSQL (apt-get install redis-server postgresql); Bun, Deno (npm ci --prefix runtimes)'
  assert.equal(missingOf(reasons), line)
  assert.equal(missingOf(reasonsIn(`  ${line}`)), line)
  assert.equal(missingOf(['only a page may not block']), undefined)
})
