import assert from 'node:assert/strict'
import { type ChildProcess, fork, spawn as start, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { createInterface } from 'node:readline'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { CANCELLED, NEVER, SimpleToken, TimeoutToken } from 'calloff'
import { manualClock } from 'calloff/testing'
import { fromParent, lendToken, type LentToken, run, spawn, type RunningProcess } from 'calloff/node'
import { withTime } from '../../enough-time.js'
import { until } from './tree.js'

const skip = process.platform === 'win32' && 'these run programs of POSIX; Windows has not been tried'
const noNpm = spawnSync('npm', ['--version']).status !== 0 && 'npm is not installed: apt-get install npm'
const isDeno = 'Deno' in globalThis

const program = fileURLToPath(new URL('from-parent.child.js', import.meta.url))
/** How this runtime runs the program. */
const before = isDeno ? ['run', '--allow-all', '--no-check', '--no-lock', '--quiet'] : []
const line = (...how: string[]): [string, string[]] => [process.execPath, [...before, program, ...how]]
const quoted = (...how: string[]) => [line(...how)[0], ...line(...how)[1]].map((part) => `'${part}'`).join(' ')

interface Told {
  readonly kind: string
  readonly message: string
  readonly reason: unknown
  readonly name: string | undefined
}

/** What it prints, line by line. */
class Output {
  #text = ''
  constructor({ stdout }: RunningProcess | ChildProcess) {
    stdout?.setEncoding('utf8').on('data', (text: string) => (this.#text += text))
  }
  get lines(): readonly string[] {
    return this.#text.split('\n').slice(0, -1)
  }
  async says(wanted: string): Promise<void> {
    await until(() => this.lines.includes(wanted), `it says ${wanted}: ${this.#text}`)
  }
  get told(): Told {
    return JSON.parse(this.lines.at(-1) ?? 'null') as Told
  }
}

/** The child says by itself that the deadline has passed, while this thread is blocked: given enough time to start before. */
async function endsWhileBusy(first: number, ...how: string[]): Promise<void> {
  await withTime(first, async (ms) => {
    const token = new TimeoutToken(ms, { name: 'limit' })
    const child = await spawn(...line(...how), { token, lend: true, grace: Infinity })
    const output = new Output(child)
    await until(() => output.lines.length > 0 || token.cancelled, 'it starts')
    const isReady = !token.cancelled
    // Nothing is said to the child before it has said what it has to say.
    if (isReady) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms + 500)
    await child.ended
    if (!isReady) return undefined
    assert.match(output.told.message, new RegExp(`^token "limit" ran out of time after ${ms} ms in process \\d+$`))
    return true
  })
}

/** Sockets and pipes of this process. Deno has no list of them. */
const hasResources = typeof process.getActiveResourcesInfo === 'function'
const pipes = () => process.getActiveResourcesInfo().filter((name) => /Pipe|Socket|Server/.test(name)).length
const pipesBefore = hasResources ? pipes() : 0

const folders = () => readdirSync(tmpdir()).filter((name) => name.startsWith(`calloff-${process.pid}-`))
/** Starts it with the platform's own function. */
const startWith = (lent: LentToken, ...how: string[]) =>
  start(...line(...how), { env: { ...process.env, ...lent.env }, stdio: ['pipe', 'pipe', 'inherit'] })
const ended = (child: ChildProcess) =>
  new Promise<void>((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve()
    else child.once('close', () => resolve())
  })

describe('fromParent', { skip }, () => {
  it('is a typed error if no process has lent a token, unless something is given instead', async () => {
    delete process.env['CALLOFF_PARENT']
    await assert.rejects(fromParent(), { name: 'NoParentError', code: 'ERR_NO_PARENT' })
    const mine = new SimpleToken()
    assert.equal(await fromParent({ fallback: mine }), mine)
    assert.equal(await fromParent({ fallback: null }), NEVER)
    await assert.rejects(fromParent({ fallback: 7 as never }), { name: 'TypeError', message: /fallback must be/ })
    process.env['CALLOFF_PARENT'] = 'nonsense'
    await assert.rejects(fromParent({ fallback: null }), { code: 'ERR_NO_PARENT', message: /got "nonsense"/ })
    delete process.env['CALLOFF_PARENT']
  })

  it('says what to do where the program of its thread is not there, and takes the place of it', async () => {
    const token = new SimpleToken()
    const child = await spawn(...line('worker'), { token, lend: true })
    const output = new Output(child)
    await output.says('ready')
    token.cancel('seen')
    await child.ended
    const [missing = '', ended = '', thrown = '', alone, wrong] = output.lines
    for (const said of [missing, ended, thrown]) {
      assert.match(said, /^ERR_PARENT_THREAD .*bundle calloff\/node\/worker .* as `worker`$/)
    }
    assert.match(missing, /no-such-program/)
    assert.match(ended, /it has ended at once/)
    assert.match(thrown, /\(x\)/)
    assert.match(alone ?? '', /worker is for a token with background: true, got "x.js"/)
    assert.match(wrong ?? '', /worker must be a path or a URL, got 7/)
    assert.equal(output.told.reason, 'seen')
  })

  it('gives a child the token of run and spawn: kind, reason, name, message', async () => {
    const token = new SimpleToken({ name: 'request' })
    const child = await spawn(...line(), { token, lend: true })
    const output = new Output(child)
    await output.says('ready')
    token.cancel(new RangeError('too many'))
    const { code, forced } = await child.ended
    assert.deepEqual([code, forced], [0, false])
    assert.deepEqual(output.told, {
      kind: 'manual',
      message: `token "request" was cancelled in process ${process.pid}: too many`,
      reason: 'RangeError: too many',
      name: 'request',
    })
    assert.deepEqual(folders(), [])
  })

  it('lets it finish in peace, though it is asked by a signal as well', async () => {
    const token = new SimpleToken()
    for (const stopSignal of ['SIGTERM', 'SIGINT'] as const) {
      const child = await spawn(...line('finish'), { token: new SimpleToken(token), lend: true, stopSignal })
      const output = new Output(child)
      await output.says('ready')
      const { code, signal } = await child.end()
      assert.deepEqual([code, signal, output.lines.at(-1)], [0, null, 'finished'])
    }
  })

  it('leaves a signal that comes without a cancel what it was', async () => {
    const stopSignal = ['SIGTERM', 'SIGINT'] as const
    await using lent = await lendToken(NEVER, { stopSignal })
    for (const one of stopSignal) {
      const child = await spawn(...line('finish'), { env: { ...process.env, ...lent.env } })
      await new Output(child).says('ready')
      process.kill(child.pid, one)
      const { signal } = await child.ended
      assert.equal(signal, one)
    }
  })

  it('reaches through shells', async () => {
    const token = new SimpleToken({ name: 'script' })
    const script = `sh -c ${JSON.stringify(`${quoted()}; true`)}; true`
    const child = await spawn('sh', ['-c', script], { token, lend: true })
    const output = new Output(child)
    await output.says('ready')
    token.cancel('enough')
    await child.ended
    assert.deepEqual([output.told.kind, output.told.reason, output.told.name], ['manual', 'enough', 'script'])
  })

  it('reaches through an npm script, which passes the signal on as well', { skip: noNpm }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'calloff-npm-'))
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ scripts: { job: quoted('finish') } }))
    const token = new SimpleToken()
    const child = await spawn('npm', ['run', '--silent', 'job'], { token, lend: true, cwd: folder, grace: 60_000 })
    const output = new Output(child)
    await output.says('ready')
    token.cancel('enough')
    const { forced } = await child.ended
    rmSync(folder, { recursive: true })
    assert.deepEqual([forced, output.lines], [false, ['ready', 'finished']])
  })

  it('is the token of its own parent, not of one further up', async () => {
    const token = new SimpleToken({ name: 'upper' })
    const { stdout } = await run(...line('nested', 'lower'), { token, lend: true })
    const lines = stdout.trim().split('\n')
    assert.equal(lines[0], 'ready')
    assert.equal((JSON.parse(lines[1] as string) as Told).name, 'lower')
    assert.equal(lines[2], 'above: false')
  })

  it('works with fork and spawn of the platform', async () => {
    const token = new SimpleToken({ name: 'import' })
    await using lent = await lendToken(token)
    const env = { ...process.env, ...lent.env }
    const forked = fork(program, [], { env, silent: true })
    const plain = startWith(lent)
    const outputs = [new Output(forked), new Output(plain)]
    await Promise.all(outputs.map((output) => output.says('ready')))
    token.cancel('stop')
    await ended(plain)
    for (const output of outputs) {
      await until(() => output.lines.length > 1, 'it was told')
      assert.equal(output.told.reason, 'stop')
    }
    forked.kill()
    await ended(forked)
    // And for those who come later.
    const last = startWith(lent)
    const late = new Output(last)
    await late.says('over')
    await ended(last)
    assert.equal(late.told.reason, 'stop')
  })

  it('says that it is lent no longer', async () => {
    const lent = await lendToken(NEVER, { name: 'job' })
    const child = startWith(lent)
    const output = new Output(child)
    await output.says('ready')
    await lent.close()
    await lent.close()
    await ended(child)
    assert.equal(output.told.kind, 'dispose')
    assert.match(output.told.message, /^token "job" was cancelled because process \d+, which lent it, stopped lending/)
    assert.deepEqual(folders(), [])
    const last = startWith(lent)
    const late = new Output(last)
    await late.says('over')
    await ended(last)
    assert.equal(late.told.kind, 'disconnect')
  })

  it('gives a cancelled token, at once', async () => {
    await using lent = await lendToken(CANCELLED)
    const child = startWith(lent)
    await new Output(child).says('over')
    await ended(child)
  })

  it('does not keep the child alive', async () => {
    const { stdout, code } = await run(...line('leave'), { lend: true })
    assert.deepEqual([stdout, code], ['ready\n', 0])
  })

  it('is cancelled by a child for that child alone', async () => {
    const token = new SimpleToken()
    const { stdout } = await run(...line('cancel'), { token, lend: true })
    assert.equal((JSON.parse(stdout) as Told).reason, 'by the child')
    assert.equal(token.cancelled, false)
  })

  it('carries the deadline, and hears when it is moved', async () => {
    const deadline = new TimeoutToken(60_000, { name: 'limit' })
    await using lent = await lendToken(new SimpleToken(deadline))
    const child = startWith(lent, 'remaining')
    const output = new Output(child)
    await until(() => output.lines.length > 0, 'it says how much is left')
    const first = Number(output.lines[0])
    assert.ok(first <= 60_000 && first > 0, String(first))
    while (deadline.remaining > 59_700) await new Promise((resolve) => setTimeout(resolve, 20))
    deadline.restart()
    child.stdin?.write('?')
    await until(() => output.lines.length > 1, 'it says it again')
    const second = Number(output.lines[1])
    assert.ok(second <= 60_000 && second > 0, String(second))
    const told = async (move: () => boolean) => {
      assert.equal(move(), true)
      const lines = output.lines.length
      child.stdin?.write('?')
      await until(() => output.lines.length > lines, 'it says it again')
      return Number(output.lines.at(-1))
    }
    assert.ok((await told(() => deadline.extend(3_600_000))) > 1_800_000, 'further away')
    assert.equal(await told(() => deadline.disarm()), Infinity)
    assert.ok((await told(() => deadline.restart(50_000))) <= 50_000, 'on again, nearer')
    deadline.cancel('all the same')
    await ended(child)
    assert.deepEqual([output.told.kind, output.told.name], ['manual', 'limit'])
  })

  it('tells the reason of a deadline, and whose deadline is the next, though it is of the same moment', async () => {
    using clock = manualClock()
    clock.tick(1)
    const first = new TimeoutToken(3_600_000, { name: 'first', reason: 'in vain' })
    const second = new TimeoutToken(3_600_000, { name: 'second', reason: 'in vain' })
    await using lent = await lendToken(first.plus(second))
    const { path, key } = JSON.parse(lent.env.CALLOFF_PARENT) as { readonly path: string; readonly key: string }
    const socket = connect(path, () => socket.write(`${key}\n`))
    const lines = createInterface(socket)[Symbol.asyncIterator]()
    const next = async () => {
      const line = (await lines.next()) as IteratorResult<string, undefined>
      const { ahead } = JSON.parse(line.value ?? '{}') as { readonly ahead?: { readonly [K in string]: unknown } }
      return ahead && [ahead['kind'], ahead['name'], ahead['what'], String(ahead['reason']).includes('in vain')]
    }
    const what = `ran out of time after 3600000 ms in process ${process.pid}`
    try {
      assert.deepEqual(await next(), ['timeout', 'first', what, true])
      first.disarm()
      assert.deepEqual(await next(), ['timeout', 'second', what, true])
      second.disarm()
      assert.equal(await next(), undefined)
      second.restart(5_000)
      assert.deepEqual((await next())?.slice(0, 2), ['timeout', 'second'])
    } finally {
      socket.destroy()
    }
  })

  it('ends by the deadline even if the parent is busy', async () => {
    await endsWhileBusy(1_000)
  })

  it('ends with kind "disconnect" when the parent is killed, and the socket goes', async () => {
    const folder = () => readdirSync(tmpdir()).filter((name) => name.startsWith(`calloff-${parent.pid}-`))
    const parent = start(...line('lender'), { env: process.env, stdio: ['ignore', 'pipe', 'inherit'] })
    const output = new Output(parent)
    await output.says('ready')
    assert.equal(folder().length, 1)
    parent.kill('SIGKILL')
    await until(() => output.lines.length > 1, 'the child is told')
    assert.equal(output.told.kind, 'disconnect')
    assert.match(output.told.message, /was cancelled because process \d+, which lent it, is gone$/)
    await ended(parent)
    // Children of Deno inherit the socket, so there it is the next lender who takes the folder away.
    if (!('Deno' in globalThis)) await until(() => folder().length === 0, 'the folder goes')
  })

  for (const how of ['busy', 'busy-sleep']) {
    it(`in the background: is seen by a loop that never yields (${how})`, async () => {
      const token = new SimpleToken({ name: 'request' })
      const child = await spawn(...line(how), { token, lend: true, grace: Infinity })
      const output = new Output(child)
      await output.says('ready')
      token.cancel(new RangeError('too many'))
      const { code } = await child.ended
      assert.equal(code, 0)
      assert.deepEqual(output.told, {
        kind: 'manual',
        message: `token "request" was cancelled in process ${process.pid}: too many`,
        reason: 'RangeError: too many',
        name: 'request',
      })
    })

    it(`in the background: ends when the parent is killed (${how})`, async () => {
      const parent = start(...line('lender', how), { env: process.env, stdio: ['ignore', 'pipe', 'inherit'] })
      const output = new Output(parent)
      await output.says('ready')
      parent.kill('SIGKILL')
      await until(() => output.lines.length > 1, 'the child is told')
      assert.equal(output.told.kind, 'disconnect')
      await ended(parent)
    })
  }

  it('in the background: ends by the deadline even if the parent is busy', async () => {
    await endsWhileBusy(1_000, 'busy')
  })

  it('in the background: does not keep the child alive', async () => {
    const { stdout, code } = await run(...line('busy-leave'), { lend: true })
    assert.deepEqual([stdout, code], ['ready\n', 0])
  })

  it('leaves nothing behind, however many have had it', async () => {
    const token = new SimpleToken()
    for (let i = 0; i < 5; i++) await run(...line('leave'), { token, lend: true })
    await assert.rejects(spawn('there-is-no-such-program', [], { token, lend: true }), { code: 'ENOENT' })
    assert.deepEqual(folders(), [])
    assert.equal(process.listenerCount('exit'), 0)
    if (hasResources) await until(() => pipes() <= pipesBefore, 'no socket is left')
  })

  it('refuses bad input', async () => {
    await assert.rejects(run('true', [], { lend: 1 as never }), {
      name: 'TypeError',
      message: /^lend must be a boolean, got 1/,
    })
    await assert.rejects(lendToken(7 as never), { name: 'TypeError', message: /^token must be/ })
    for (const stopSignal of ['SIGNOPE', ['SIGINT', 'SIGNOPE'], [undefined], 9]) {
      await assert.rejects(
        lendToken(NEVER, { stopSignal: stopSignal as never }),
        { name: 'TypeError', message: /^stopSignal must be/ },
        String(stopSignal),
      )
    }
  })
})
