import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { type Outcome, run, type Running, start } from './run.js'

async function prints(name: string, lines: readonly string[]): Promise<void> {
  hasPrinted(await run(name), lines)
}

function hasPrinted({ lines, stderr, code }: Outcome, expected: readonly string[]): void {
  assert.deepEqual({ lines, stderr, code }, { lines: expected, stderr: '', code: 0 })
}

/** The same of an example that finds primes until its patience ends: a busy machine may not have begun by then, and gets more. */
async function findsAndPrints(
  name: string,
  args: readonly string[],
  lines: (ms: number) => readonly string[],
): Promise<void> {
  for (const ms of [100, 1_000, 10_000]) {
    const outcome = await run(name, [...args, String(ms)])
    if (ms < 10_000 && !outcome.stdout.includes('some primes')) continue
    hasPrinted(outcome, lines(ms))
    return
  }
}

/** The loop under Ctrl+C, once it is in its first turn. */
async function begun(ms: string): Promise<Running> {
  const running = start('ctrl-c', [ms])
  await once(running.child.stdout, 'data')
  return running
}

describe('quick start', () => {
  it('as it stands ends for its condition or its counter and says which', async () => {
    const { lines, code } = await run('quick-start')
    assert.equal(code, 0)
    assert.equal(lines.length, 1)
    assert.match(
      lines[0] ?? '',
      /^\d+ turns, cancelled by (luck: token "luck" was cancelled by its condition|limit: .* its 400000 polls|patience: .*)$/,
    )
  })

  it('forced by its condition reports the condition', async () => {
    const { lines } = await run('quick-start', ['1'])
    assert.deepEqual(lines, ['0 turns, cancelled by luck: token "luck" was cancelled by its condition'])
  })

  it('forced by its counter reports the counter, after exactly as many turns as it has polls', async () => {
    const { lines } = await run('quick-start', ['Infinity', '400000', '60000'])
    assert.deepEqual(lines, ['400000 turns, cancelled by limit: token "limit" has used up its 400000 polls'])
  })

  it('forced by its timeout reports the timeout', async () => {
    const { lines } = await run('quick-start', ['Infinity', '1e12', '50'])
    assert.match(
      lines.join('\n'),
      /^[1-9]\d* turns, cancelled by patience: token "patience" ran out of time after 50 ms$/,
    )
  })
})

describe('Ctrl+C', { skip: process.platform === 'win32' && 'Windows has no signals to send' }, () => {
  for (const [signal, code] of [['SIGINT', 130] as const, ['SIGTERM', 143] as const]) {
    it(`${signal} lets the loop finish its turn, and exits with ${code}`, async () => {
      const { child, outcome } = await begun('200')
      child.kill(signal)
      const { lines, ...end } = await outcome
      assert.deepEqual(lines, ['turn 0: begins', 'turn 0: done', `stopped by ${signal}`])
      assert.deepEqual([end.code, end.signal], [code, null])
    })
  }

  it('a second one ends it at once', async () => {
    const { child, outcome } = await begun('20000')
    child.kill('SIGINT')
    const timer = setInterval(() => child.kill('SIGINT'), 100)
    const { lines, signal } = await outcome
    clearInterval(timer)
    assert.deepEqual([lines, signal], [['turn 0: begins'], 'SIGINT'])
  })
})

describe('threads', () => {
  it('a worker that is cancelled hands in what it has', () =>
    findsAndPrints('primes/main', ['1e9'], (ms) => [
      `token "patience" ran out of time after ${ms} ms`,
      'some primes were found',
    ]))

  it('a worker that is quick enough finishes', async () => {
    const { lines } = await run('primes/main', ['1000', '60000'])
    assert.deepEqual(lines, ['finished', 'some primes were found'])
  })

  it('a task of a piscina pool hands in what it has, and its thread goes on', () =>
    findsAndPrints('piscina/main', [], (ms) => [
      `some primes were found; token "patience" ran out of time after ${ms} ms`,
      '25 primes are below 100, found by a pool of 1',
    ]))

  it('a call through Comlink gives what it has', () =>
    findsAndPrints('comlink/main', [], (ms) => [
      `some primes were found; token "patience" ran out of time after ${ms} ms`,
    ]))

  it('a loop in WebAssembly is cancelled', () =>
    prints('wasm/main', ['token ran out of time after 100 ms', 'the loop has stopped']))
})

describe('the hub', { skip: process.platform === 'win32' && 'Windows has no Unix sockets' }, () => {
  it('a job is stopped from another process, which hears when it has ended', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'calloff-example-'))
    const server = start('hub/server', [join(folder, 's')])
    const [url] = String((await once(server.child.stdout, 'data'))[0]).split('\n')
    const job = start('hub/job', [url ?? '', 'report'])
    await once(job.child.stdout, 'data')
    const stop = start('hub/stop', [url ?? '', 'report', 'no longer wanted'])
    const { lines, stderr, code } = await stop.outcome
    assert.deepEqual({ lines, stderr, code }, { lines: ['1 held it, 1 finished'], stderr: '', code: 0 })
    const ended = await job.outcome
    const said = `saved after some steps; no longer wanted, says process ${stop.child.pid}`
    assert.deepEqual([ended.lines, ended.stderr, ended.code], [['report has begun', said], '', 0])
    server.child.kill('SIGINT')
    assert.equal((await server.outcome).code, 0)
    rmSync(folder, { recursive: true })
  })
})

describe('the other examples print what they should', () => {
  it('parallel', () =>
    prints('parallel', [
      "[ 'low has stopped', 'middle has stopped', 'high has stopped' ]",
      'token "search" was cancelled: middle found 1001500',
    ]))

  it('optional token', () =>
    prints('optional-token', ["[ 'page 1', 'page 2', 'page 3' ]", "[ 'no preview' ] request cancelled: false"]))

  it('who triggered', () =>
    prints('who-triggered', [
      'query stops: token "request" was cancelled: the user has closed the page',
      'server: goes on',
      'request: cancelled by request',
      'query: cancelled by request',
      'other request: goes on',
      `SimpleToken({ name: 'query' }) cancelled: token "request" was cancelled: the user has closed the page`,
      `└─ SimpleToken({ name: 'request', cancelled: true }) cancelled: token "request" was cancelled: the user has closed the page`,
      `   └─ SimpleToken({ name: 'server' })`,
    ]))

  it('race with a timeout', () =>
    prints('race-timeout', [
      'no answer: race on token "session" ran out of time after 100 ms; the session goes on: true',
      'network: cancelled, the race is over',
      'winner: cache',
    ]))

  it('scope', () =>
    prints('scope', [
      'slow price: cancelled, another one was quicker',
      'user, price, review 1, review 2, review 3',
      'archive: cancelled, the database is down',
      'no page: the database is down',
    ]))

  it('retry', () =>
    prints('retry', [
      'attempt 1: 503',
      'attempt 2: 503',
      'attempt 3: 200',
      'ready',
      'given up after 2 attempts: the server says 503',
    ]))

  it('ambient', () =>
    prints('ambient', [
      'users: token "request" was cancelled: the client has left',
      'orders: token "request" was cancelled: the client has left',
      'prices: token "request" was cancelled: the client has left',
      'true',
      'false',
    ]))

  it('fetch', async () => {
    const { lines, code, stderr } = await run('fetch')
    // Which side sees the end first is up to the network.
    assert.deepEqual(lines.toSorted(), [
      'client: token "user" was cancelled: pressed stop',
      'server: the client has left /slow',
      'status 200',
    ])
    assert.deepEqual([code, stderr], [0, ''])
  })

  it('a loop that never yields', () =>
    prints('busy-loop', ['found primes: true', 'TimeoutToken cancelled: true, AbortSignal.timeout aborted: false']))

  it('a child process', { skip: process.platform === 'win32' && 'it runs a shell of POSIX' }, () =>
    prints('child-process', [
      'first: token "first" was cancelled: a file has changed; gone: true',
      'second: compiling, built',
    ]),
  )

  it('cleaning up within a budget', () =>
    prints('grace', [
      'cancelled: token "job" ran out of time after 100 ms',
      'done: flush the buffers',
      'done: give back the lease',
      'no time left to say goodbye to 1,000 peers',
    ]))
})

describe('a token from the parent', { skip: process.platform === 'win32' && 'its shell is that of POSIX' }, () => {
  it('reaches a loop that never yields, behind a shell', async () => {
    await prints('from-parent/main', [
      'begun',
      'some primes; token "search" was cancelled in its parent: the user has left',
      'killed: false',
    ])
  })

  it('is not needed by a program that is run by hand', async () => {
    const { lines, code } = await run('from-parent/counter')
    assert.deepEqual([lines.length, code], [2, 0])
    assert.match(lines[1] ?? '', /token "by hand" ran out of time after 100 ms$/)
  })
})
