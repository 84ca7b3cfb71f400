import assert from 'node:assert/strict'
import process from 'node:process'
import { Readable } from 'node:stream'
import { describe, it } from 'node:test'
import { CANCELLED, ConditionToken, CounterToken, isCancellation, SimpleToken, TimeoutToken } from 'calloff'
import { ProcessError, ProcessSignalToken, run, type RunReport, spawn } from 'calloff/node'
import { share } from '../../effort.js'
import { alive, longTime, sleepers, until } from './tree.js'

const skip = process.platform === 'win32' && 'these run programs of POSIX; Windows has not been tried'
const isDeno = 'Deno' in globalThis
const isBun = 'Bun' in globalThis

const failure = async (running: Promise<unknown>): Promise<ProcessError> => {
  const error = await running.then(
    () => assert.fail('it did not fail'),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof ProcessError, String(error))
  assert.equal(isCancellation(error), false)
  return error
}

describe('run', { skip }, () => {
  it('gives what the program has written', async () => {
    const { pid, ...report } = await run('sh', ['-c', 'echo out; echo err >&2'])
    assert.ok(pid > 1)
    assert.deepEqual(report, {
      code: 0,
      signal: null,
      calledOff: undefined,
      forced: false,
      left: [],
      stdout: 'out\n',
      stderr: 'err\n',
    })
  })

  it('gives bytes where they are asked for, and whole characters where not', async () => {
    const script = String.raw`printf '\303'; sleep 0.1; printf '\244\377'`
    const { stdout } = await run('sh', ['-c', script], { encoding: 'bytes' })
    assert.deepEqual([...stdout], [0xc3, 0xa4, 0xff])
    assert.equal((await run('sh', ['-c', script])).stdout, 'ä\u{FFFD}')
  })

  it('rejects when the program fails, with the report and the last line it had to say', async () => {
    const error = await failure(run('sh', ['-c', 'echo out; echo first >&2; echo last >&2; exit 3']))
    assert.equal(error.message, 'sh ended with code 3: last')
    assert.deepEqual([error.name, error.code, error.command], ['ProcessError', 'ERR_PROCESS_FAILED', 'sh'])
    const report = error.report as RunReport
    assert.deepEqual([report.code, report.signal, report.stdout, report.stderr], [3, null, 'out\n', 'first\nlast\n'])
    assert.deepEqual(Object.keys(error).includes('report'), false)
  })

  it('rejects when another process ends the program', async () => {
    const error = await failure(run('sh', ['-c', 'kill -KILL $$'], { name: 'job' }))
    assert.deepEqual([error.message, error.report?.signal], ['job was ended by SIGKILL', 'SIGKILL'])
    assert.equal(error.report?.calledOff, undefined)
  })

  for (const number of [34, 36, 64]) {
    const skip =
      (process.platform !== 'linux' && 'Linux has these signals') ||
      ((isBun || isDeno) && 'Bun tells of exit code 0, and Deno throws, where a signal has no name')
    it(`rejects when a real-time signal ends the program: ${number}`, { skip }, async () => {
      const script = `echo half; kill -${number} $$`
      const error = await failure(run('sh', ['-c', script], { name: 'job' }))
      assert.deepEqual(
        [error.message, error.code],
        ['job was ended by a signal that has no name', 'ERR_PROCESS_FAILED'],
      )
      const { code, signal, stdout } = await run('sh', ['-c', script], { check: false })
      assert.deepEqual([code, signal, stdout], [null, null, 'half\n'])
    })
  }

  it('refuses what cannot be written as UTF-8, and names it', async () => {
    const half = 'a\uD800b'
    const cases: readonly (readonly [string, string, readonly string[], object])[] = [
      ['command', half, [], {}],
      ['args[1]', 'echo', ['fine 𝄞', half], {}],
      ['argv0', 'echo', [], { argv0: half }],
      ['cwd', 'echo', [], { cwd: half }],
      ['env["A"]', 'echo', [], { env: { A: half } }],
      ['the name "a\\ud800b" in env', 'echo', [], { env: { [half]: 'A' } }],
    ]
    for (const [argument, command, args, options] of cases) {
      await assert.rejects(run(command, args, options), {
        name: 'TypeError',
        message: `${argument} must be text that can be written as UTF-8, got "a\\ud800b"`,
      })
    }
    assert.equal((await run('echo', ['fine 𝄞 \uFFFD'])).stdout, 'fine 𝄞 \uFFFD\n')
  })

  it('with check: false gives the exit code', async () => {
    const report = await run('sh', ['-c', 'echo no; exit 3'], { check: false })
    assert.deepEqual([report.code, report.stdout], [3, 'no\n'])
  })

  it('rejects with the very error of the token when it is cancelled', async () => {
    const time = longTime()
    const token = new SimpleToken({ name: 'request' })
    const running = run('sh', ['-c', `echo half; exec sleep ${time}`], { token })
    await sleepers(time, 1)
    token.cancel('the client has left')
    assert.equal(await running.catch((error: unknown) => error), token.error)
    assert.deepEqual(alive(time), [])
  })

  it('takes an AbortSignal, and gives an error of the same cancellation', async () => {
    const controller = new AbortController()
    const time = longTime()
    const running = run('sleep', [time], { token: controller.signal })
    await sleepers(time, 1)
    controller.abort('enough')
    const error = (await running.catch((error: unknown) => error)) as { kind: string; cause: unknown }
    assert.deepEqual([error.kind, error.cause], ['signal', 'enough'])
  })

  it('heeds a token that must be polled', async () => {
    const time = longTime()
    let isEnough = false
    const token = new ConditionToken(() => isEnough)
    const running = run('sleep', [time], { token })
    await sleepers(time, 1)
    isEnough = true
    assert.equal(await running.catch((error: unknown) => error), token.error)
  })

  it('starts nothing under a cancelled token, and consumes no counter', async () => {
    const file = `/tmp/calloff-${process.pid}-${longTime()}`
    for (const options of [{ token: CANCELLED }, { token: CANCELLED, check: false }]) {
      assert.equal(await run('touch', [file], options).catch((error: unknown) => error), CANCELLED.error)
    }
    assert.equal(await spawn('touch', [file], { token: CANCELLED }).catch((error: unknown) => error), CANCELLED.error)
    await failure(run('test', ['-e', file]))
    const counter = new CounterToken(3)
    await run('true', [], { token: counter })
    assert.equal(counter.counter, 3)
  })

  it('keeps the code of the system where the program cannot be started', async () => {
    const missing = await failure(run('there-is-no-such-program', ['x']))
    assert.deepEqual([missing.code, missing.command, missing.report], ['ENOENT', 'there-is-no-such-program', undefined])
    assert.ok(missing.cause instanceof Error)
    assert.match(missing.message, /^there-is-no-such-program could not be started: /)
    const file = await failure(run('/etc/passwd'))
    assert.equal(file.code, 'EACCES')
    const folder = await failure(run('true', [], { cwd: '/there/is/no/such/folder' }))
    assert.equal(folder.code, 'ENOENT')
    assert.match(folder.message, /the folder \/there\/is\/no\/such\/folder is not there/)
    await assert.rejects(spawn('there-is-no-such-program'), { code: 'ENOENT' })
  })

  it('passes on the folder, the environment and the shell', async () => {
    const env = { PATH: process.env['PATH'], WHO: 'me' }
    const { stdout } = await run('pwd; echo $WHO $1', [], { cwd: '/', env, shell: true })
    assert.equal(stdout, '/\nme\n')
  })

  it('gives the program an empty input, unless there is one', async () => {
    assert.equal((await run('cat')).stdout, '')
    assert.equal((await run('cat', [], { input: 'text' })).stdout, 'text')
    assert.equal((await run('cat', [], { input: '' })).stdout, '')
    assert.equal((await run('cat', [], { input: new Uint8Array([65, 66]) })).stdout, 'AB')
    assert.equal((await run('cat', [], { input: ['a', 'b', 'c'] })).stdout, 'abc')
    async function* letters() {
      yield 'x'
      yield new Uint8Array([89])
    }
    assert.equal((await run('cat', [], { input: letters() })).stdout, 'xY')
    assert.equal((await run('cat', [], { input: Readable.from(['one', 'two']) })).stdout, 'onetwo')
    const web = new ReadableStream<string>({
      start(controller) {
        controller.enqueue('web')
        controller.close()
      },
    })
    assert.equal((await run('cat', [], { input: web })).stdout, 'web')
  })

  it('takes a large input and output, at the same time', async () => {
    const input = 'x'.repeat(5_000_000)
    assert.equal((await run('cat', [], { input })).stdout.length, input.length)
  })

  it('a program that does not want its input is no failure', async () => {
    const input = 'x'.repeat(5_000_000)
    assert.equal((await run('true', [], { input })).code, 0)
    assert.equal((await run('sh', ['-c', 'exec <&-; sleep 0.1; echo done'], { input })).stdout, 'done\n')
    let closed = false
    async function* endless() {
      try {
        for (;;) yield input
      } finally {
        closed = true
      }
    }
    assert.equal((await run('head', ['-c', '10'], { input: endless() })).stdout, 'x'.repeat(10))
    await until(() => closed, 'the source is closed')
  })

  it('cancelled while it is being fed, it closes the source', async () => {
    const time = longTime()
    const token = new SimpleToken()
    let begun = false
    let closed = false
    async function* endless() {
      try {
        begun = true
        for (;;) yield 'x'.repeat(100_000)
      } finally {
        closed = true
      }
    }
    const running = run('sleep', [time], { token, input: endless() })
    await sleepers(time, 1)
    await until(() => begun, 'it is being fed')
    token.cancel()
    assert.equal(await running.catch((error: unknown) => error), token.error)
    await until(() => closed, 'the source is closed')
  })

  it('an input that fails ends the program, and is the failure', async () => {
    const time = longTime()
    const broken = new Error('disk full')
    async function* source() {
      yield 'a'
      await sleepers(time, 1)
      throw broken
    }
    const running = run('sh', ['-c', `sleep ${time}; true`], { input: source() })
    assert.equal(await running.catch((error: unknown) => error), broken)
    assert.deepEqual(alive(time), [])
  })

  it('a program that writes more than maxBuffer is ended', async () => {
    const time = longTime()
    const error = await failure(
      run('sh', ['-c', `head -c 100000000 /dev/zero; sleep ${time}`], { maxBuffer: 1_000, name: 'noise' }),
    )
    assert.deepEqual(
      [error.code, error.message],
      ['ERR_PROCESS_OUTPUT', 'noise wrote more than the 1000 bytes of maxBuffer'],
    )
    assert.equal((error.report as RunReport).stdout.length, 1_000)
    assert.deepEqual(alive(time), [])
    assert.equal((await run('head', ['-c', '1000', '/dev/zero'], { maxBuffer: 1_000 })).stdout.length, 1_000)
  })

  it('an option of Node that would end the process behind the token is refused, and the error says what to give', async () => {
    const others: readonly (readonly [option: string, value: unknown, instead: RegExp])[] = [
      ['signal', new AbortController().signal, /give the signal as "token"/],
      ['timeout', 50, /give a TimeoutToken as "token"/],
      ['killSignal', 'SIGKILL', /give "stopSignal"/],
      ['detached', true, /"foreground"/],
      ['serialization', 'json', /fork\(\)/],
      ['stopsignal', 'SIGINT', /did you mean "stopSignal"\?/],
    ]
    for (const start of [run, spawn]) {
      for (const [option, value, instead] of others) {
        await assert.rejects(start('true', [], { [option]: value }), (error: Error) => {
          assert.equal(error.name, 'TypeError')
          assert.ok(error.message.startsWith(`there is no option "${option}", `), error.message)
          assert.match(error.message, instead)
          return true
        })
      }
    }
    for (const [option, value] of Object.entries({ input: 'x', encoding: 'utf8', maxBuffer: 5, check: false })) {
      await assert.rejects(spawn('true', [], { [option]: value }), {
        name: 'TypeError',
        message: `there is no option "${option}", run() takes it`,
      })
    }
  })

  it('takes 100 MB', async () => {
    const { stdout } = await run('head', ['-c', '100000000', '/dev/zero'], { encoding: 'bytes' })
    assert.equal(stdout.length, 100_000_000)
  })

  it('bad input is refused by name, before anything is started', async () => {
    const bad = (command: unknown, args?: unknown, options?: unknown) =>
      run(command as string, args as [], options as {})
    await assert.rejects(bad(5), { name: 'TypeError', message: 'command must be a string, got 5' })
    await assert.rejects(bad(''), { name: 'RangeError', message: 'command must not be empty' })
    await assert.rejects(bad('true', 'x'), { name: 'TypeError', message: 'args must be an array of strings, got "x"' })
    await assert.rejects(bad('true', [5]), { name: 'TypeError', message: 'args must be strings, got 5' })
    await assert.rejects(bad('true', [], 5), { name: 'TypeError', message: 'options must be a plain object, got 5' })
    for (const [option, value, name] of [
      ['token', 5, 'TypeError'],
      ['name', 5, 'TypeError'],
      ['grace', '5s', 'TypeError'],
      ['grace', -1, 'RangeError'],
      ['maxBuffer', Number.NaN, 'RangeError'],
      ['encoding', 'latin1', 'TypeError'],
      ['check', 'no', 'TypeError'],
      ['input', 5, 'TypeError'],
      ['stopSignal', 'SIGNOPE', 'TypeError'],
      ['stopSignal', 15, 'TypeError'],
      ['leftovers', 'kill', 'TypeError'],
      ['foreground', 1, 'TypeError'],
    ] as const) {
      await assert.rejects(bad('true', [], { [option]: value }), (error: Error) => {
        assert.equal(error.name, name, option)
        assert.ok(error.message.startsWith(`${option} must`), error.message)
        return true
      })
    }
  })

  const many = share(1_000)
  it(`${many} runs leave no listener on a long-lived token, nor on the process, nor a handle`, async () => {
    const token = new ProcessSignalToken('SIGUSR2')
    const listeners = () =>
      ['SIGUSR2', 'SIGINT', 'SIGTERM', 'SIGHUP', 'exit'].map((event) => process.listenerCount(event))
    const handles = () =>
      isDeno || isBun
        ? []
        : process
            .getActiveResourcesInfo()
            .filter((name) => /Process|Pipe/.test(name))
            .toSorted()
    const before = { listeners: listeners(), handles: handles() }
    assert.equal(before.listeners[0], 0)
    let left = many
    const lane = async () => {
      while (left-- > 0) {
        const isFailure = left % 10 === 0
        const running = run(isFailure ? 'false' : 'true', [], { token })
        assert.equal(process.listenerCount('SIGTERM'), (before.listeners[2] ?? 0) + 1)
        await running.catch(() => {})
      }
    }
    await Promise.all(Array.from({ length: 8 }, lane))
    await until(() => handles().length <= before.handles.length, 'the handles are closed')
    assert.deepEqual(listeners(), before.listeners)
  })
})

describe('spawn', { skip }, () => {
  it('gives the process while it runs; ended says what has become of it', async () => {
    const child = await spawn('cat', [], { name: 'echo' })
    assert.equal(child.token.name, 'echo')
    child.stdin?.end('hello')
    let text = ''
    for await (const chunk of child.stdout ?? []) text += String(chunk)
    assert.equal(text, 'hello')
    const { pid, code, calledOff } = await child.ended
    assert.deepEqual([pid, code, calledOff], [child.pid, 0, undefined])
  })

  it('end() ends the tree, with a reason', async () => {
    const time = longTime()
    const parent = new SimpleToken()
    const child = await spawn('sh', ['-c', `sleep ${time} & wait`], { token: parent })
    await sleepers(time, 1)
    const report = await child.end('enough')
    assert.deepEqual([report.calledOff?.kind, report.calledOff?.cause, report.signal], ['manual', 'enough', 'SIGTERM'])
    assert.deepEqual(alive(time), [])
    assert.equal(parent.cancelled, false)
    assert.deepEqual(await child.end('again'), report)
  })

  it('await using ends it when the block is left', async () => {
    const time = longTime()
    let ended: Promise<{ readonly calledOff: { readonly kind: string } | undefined }>
    {
      await using child = await spawn('sleep', [time])
      ended = child.ended
      await sleepers(time, 1)
    }
    assert.deepEqual(alive(time), [])
    assert.equal((await ended).calledOff?.kind, 'dispose')
  })

  it('cancelled before it is known to run, it is gone as well', async () => {
    const time = longTime()
    const token = new SimpleToken()
    const starting = spawn('sleep', [time], { token })
    token.cancel()
    const { calledOff } = await (await starting).ended
    assert.equal(calledOff, token.error)
    assert.deepEqual(alive(time), [])
    const running = run('sleep', [time], { token: new TimeoutToken(0.01) })
    assert.equal(isCancellation(await running.catch((error: unknown) => error)), true)
    assert.deepEqual(alive(time), [])
  })

  it('a reader of its output with iterate gets the cancellation', async () => {
    const time = longTime()
    const token = new SimpleToken()
    const child = await spawn('sh', ['-c', `echo hi; exec sleep ${time}`], { token })
    const lines: string[] = []
    const reading = (async () => {
      for await (const chunk of token.iterate(child.stdout ?? [])) lines.push(String(chunk))
    })()
    await sleepers(time, 1)
    await until(() => lines.length > 0, 'it has said something')
    token.cancel()
    assert.equal(await reading.catch((error: unknown) => error), token.error)
    assert.deepEqual(lines, ['hi\n'])
    await child.ended
  })

  it('an output without a reader does not hold it back when it is cancelled', async () => {
    const token = new SimpleToken()
    const child = await spawn('sh', ['-c', 'trap "" PIPE; head -c 10000000 /dev/zero; sleep 3600'], { token })
    await until(() => (child.stdout?.readableLength ?? 0) >= 0 && alive('head -c 10000000').length > 0, 'it is stuck')
    token.cancel()
    const { signal } = await child.ended
    assert.equal(signal, 'SIGTERM')
  })

  it('a pipe that breaks is no error', async () => {
    const child = await spawn('true', [])
    const errors: unknown[] = []
    child.stdin?.on('error', (error) => errors.push(error))
    await child.ended
    child.stdin?.write('late')
    await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual(errors.length <= 1, true)
  })
})
