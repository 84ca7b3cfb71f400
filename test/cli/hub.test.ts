import assert from 'node:assert/strict'
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { sample } from '../effort.js'
import { withTime } from '../enough-time.js'
import { bin, until, User } from './calloff.js'

const skip = process.platform === 'win32' ? 'these commands are for POSIX' : false

/** A program for `node -e` that ends only when it is killed. */
const STUBBORN = `process.on('SIGTERM', () => {}); setInterval(() => {}, 1000); console.log('up')`

const lines = (text: string): readonly unknown[] =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown)

describe('calloff and a hub', { skip, concurrency: 4 }, () => {
  it('what runs under a name is cancelled by it, and the canceller gets a receipt', async () => {
    const user = new User()
    await user.serve()
    const program = user.start(['run', '--name', 'deploy-42', '--', 'sh', '-c', 'echo up; sleep 60'])
    await program.printed('up')
    const listed = await user.run('ls', '--json')
    assert.match(
      listed.stdout,
      /"name":"deploy-42","runId":"","state":"live","holders":\[\{"host":".*","pid":\d+,"role":"open","state":"open"/,
    )
    const receipt = await user.run('cancel', 'deploy-42', '--reason', 'wrong\nbranch \u001B[31m', '--wait', '20s')
    assert.deepEqual([receipt.code, receipt.stdout], [0, 'deploy-42: cancelled; 1 holder, 1 notified, 1 finished\n'])
    const { code, stderr } = await program.ended
    assert.equal(code, 125)
    // On one line, and nothing in it that a terminal would obey.
    assert.match(
      stderr,
      /^calloff: sh was cancelled as deploy-42 by process \d+ on .+: wrong\\nbranch \\u\{1b\}\[31m\n$/,
    )
  })

  it('run --replace ends what runs under the name, and starts when that has ended', async () => {
    const user = new User()
    await user.serve()
    const before = user.start(['run', '--name', 'preview', '--', 'sh', '-c', 'echo up; sleep 60'])
    await before.printed('up')
    const after = user.start(['run', '--name', 'preview', '--replace', '--', 'sh', '-c', 'echo again; sleep 60'])
    const { code, stderr } = await before.ended
    assert.equal(code, 125)
    assert.match(stderr, /^calloff: sh was cancelled as preview by process \d+ on .+: another run replaces it\n$/)
    await after.printed('again')
    const receipt = await user.run('cancel', 'preview', '--wait', '20s')
    assert.deepEqual([receipt.code, receipt.stdout], [0, 'preview: cancelled; 1 holder, 1 notified, 1 finished\n'])
    assert.equal((await after.ended).code, 125)
    const third = await user.run('run', '--name', 'preview', '--replace', '--', 'echo', 'live again')
    assert.deepEqual([third.code, third.stdout], [0, 'live again\n'])
  })

  it('cancel --wait fails, and names the holders that have not finished', async () => {
    const user = new User()
    await user.serve()
    const program = user.start(['run', '--grace', '10m', '--name', 'stuck', '--', process.execPath, '-e', STUBBORN])
    await program.printed('up')
    await withTime(300, async (ms) => {
      const { code, stdout } = await user.run('cancel', 'stuck', '--wait', `${ms}ms`)
      assert.equal(code, 1)
      if (/not delivered|not known|could not say|0 notified/.test(stdout)) return undefined
      assert.match(
        stdout,
        /^stuck: cancelled; 1 holder, 1 notified, 0 finished.*\n {2}process \d+ on .+ was notified and has not finished after \w+\n$/,
      )
      return true
    })
    await withTime(100, async (ms) => {
      const { code, stdout } = await user.run('cancel', 'stuck', '--wait', `${ms}ms`, '--json')
      assert.equal(code, 1)
      const [receipt] = lines(stdout) as [{ complete: boolean; holders: number; waiting: readonly unknown[] }]
      if (!receipt.complete) return undefined
      assert.deepEqual([receipt.holders, receipt.waiting.length], [1, 1])
      return true
    })
    program.child.kill('SIGTERM')
    assert.equal((await program.ended).code, 125)
  })

  it('a name stays cancelled until it is forgotten; another run id is another token', async () => {
    const user = new User()
    await user.serve()
    const made = await user.run('cancel', 'nightly', 'weekly', '-r', 'no disk')
    assert.equal(made.stdout, 'nightly: cancelled; no holders\nweekly: cancelled; no holders\n')
    const again = await user.run('cancel', 'nightly', '-r', 'too late')
    assert.match(
      again.stdout,
      /^nightly: cancelled; no holders; it was cancelled before, by process \d+ on .+: no disk\n$/,
    )
    const refused = await user.run('run', '--name', 'nightly', '--', 'echo', 'started')
    assert.deepEqual([refused.code, refused.stdout], [125, ''])
    assert.match(
      refused.stderr,
      /^calloff: echo was not started, because it was cancelled as nightly by process \d+ on .+: no disk; to use the name again: calloff forget nightly\n$/,
    )
    assert.equal((await user.run('run', '--name', 'nightly', '--run-id', 'monday', '--', 'true')).code, 0)
    assert.equal((await user.run('status', 'nightly')).code, 125)
    assert.equal((await user.run('status', 'nightly', '--run-id', 'monday', '-q')).code, 0)
    assert.equal((await user.run('forget', 'nightly')).stdout, 'nightly: forgotten\n')
    assert.equal((await user.run('run', '--name', 'nightly', '--', 'true')).code, 0)
    assert.equal((await user.run('ls', '--names')).stdout, 'weekly\n')
    assert.equal((await user.run('ls', '--null')).stdout, 'weekly\0')
  })

  it('status says which process cancelled it and why, and by its exit code whether to go on', async () => {
    const user = new User()
    await user.serve()
    const live = await user.run('status', 'import')
    assert.deepEqual([live.code, live.stdout], [0, 'import: live\n  no holders\n'])
    await user.run('cancel', 'import', '-r', 'enough')
    const over = await user.run('status', 'import')
    assert.equal(over.code, 125)
    assert.match(
      over.stdout,
      /^import: cancelled\n {2}by process \d+ on .+: enough\n {2}at \d{4}-.*\n {2}no holders\n$/,
    )
    const json = await user.run('status', 'import', '--json')
    assert.equal((lines(json.stdout)[0] as { mark: { reason: string } }).mark.reason, 'enough')
    const quiet = await user.run('status', 'import', '--quiet')
    assert.deepEqual([quiet.code, quiet.stdout, quiet.stderr], [125, '', ''])
  })

  it('wait returns when the name is cancelled, at once if it was already, or gives up', async () => {
    const user = new User()
    await user.serve()
    await withTime(200, async (ms) => {
      const { code, stdout, stderr } = await user.run('wait', 'signal', '--timeout', `${ms}ms`)
      assert.equal(stdout, '')
      if (stderr.includes('did not answer')) return undefined
      assert.equal(code, 124)
      assert.match(stderr, /^calloff: signal was not cancelled within \S+\n$/)
      return true
    })
    const waiting = user.start(['wait', 'signal', '--json'])
    await until(async () => (await user.run('ls', '--names')).stdout === 'signal\n', 'it waits')
    await user.run('cancel', 'signal', '-r', 'go')
    const ended = await waiting.ended
    assert.equal(ended.code, 0)
    assert.equal((lines(ended.stdout)[0] as { reason: string }).reason, 'go')
    const again = await user.run('wait', 'signal')
    assert.deepEqual([again.code, again.stderr], [0, ''])
    assert.match(again.stdout, /^signal was cancelled by process \d+ on .+: go\n$/)
    const interrupted = user.start(['wait', 'other'])
    await until(async () => (await user.run('ls', '--names')).stdout.includes('other'), 'it waits')
    interrupted.child.kill('SIGTERM')
    assert.equal((await interrupted.ended).signal, 'SIGTERM')
  })

  it('watch --json tells of each change, of a server that is killed, and of its return', async () => {
    const user = new User()
    const journal = join(user.folder, 'journal')
    const first = await user.serve('--journal', journal)
    await user.run('cancel', 'before')
    const watch = user.start(['watch', '--json', '--every', '100ms'])
    await watch.printed('"event":"cancelled"')
    first.child.kill('SIGKILL')
    await watch.printed('"event":"disconnected"')
    await user.serve('--journal', journal)
    await watch.printed(/"disconnected"[^]*"event":"connected"/)
    const job = user.start(['run', '--name', 'job', '--', 'sleep', '60'])
    await watch.printed(/"event":"opened".*"name":"job"/)
    await user.run('cancel', 'job')
    await job.ended
    await watch.printed(/"event":"cancelled".*"name":"job"/)
    watch.child.kill('SIGTERM')
    const { stdout, stderr, signal } = await watch.ended
    assert.deepEqual([signal, stderr], ['SIGTERM', ''])
    const events = lines(stdout) as { event: string; name?: string }[]
    assert.equal(events.filter(({ event }) => event === 'disconnected').length, 1)
    // What was there before, and has not changed, is not told again when the server is back.
    assert.equal(events.filter(({ name }) => name === 'before').length, 1)
  })

  it('watch and ls end without a word when the reader has had enough', async () => {
    const user = new User()
    await user.serve()
    await user.run('cancel', 'a', 'b', 'c')
    // A pipe tells of a reader that has gone only when something is written: the next change.
    const changes = '(for n in 1 2 3 4 5 6 7 8 9; do calloff cancel "n$n" >/dev/null; sleep 0.3; done) & '
    const { stdout, stderr } = await user.shell(
      `${changes} calloff watch --json --every 100ms | head -2 | wc -l; calloff ls | head -1 | wc -l; wait`,
    )
    assert.deepEqual([stdout.replaceAll(' ', ''), stderr], ['2\n1\n', ''])
  })

  it('without a hub it says what to do, and with --start it does it', async () => {
    const user = new User()
    const none = await user.run('ls')
    assert.equal(none.code, 1)
    assert.match(
      none.stderr,
      /^calloff: no hub is listening at unix:.*\/calloff\/hub.sock; start one with calloff serve, or use --start\n$/,
    )
    const notRun = await user.run('run', '--name', 'x', '--', 'echo', 'started')
    assert.deepEqual([notRun.code, notRun.stdout], [1, ''])
    // Both at once: one server is enough.
    const [one, two] = await Promise.all([user.run('cancel', 'x', '--start'), user.run('cancel', 'y', '--start')])
    assert.deepEqual([one.code, two.code, one.stderr, two.stderr], [0, 0, '', ''])
    assert.equal((await user.run('ls', '--names')).stdout, 'x\ny\n')
    assert.equal(statSync(join(user.folder, 'calloff')).mode & 0o777, 0o700)
    assert.equal(statSync(join(user.folder, 'calloff', 'hub.sock')).mode & 0o777, 0o600)
    await user.endStarted()
  })

  describe('two starts at once need one server, whatever the second server writes about it', () => {
    /** A module that every process imports first: it replaces all text on standard error, and runs `more` in the started server. */
    const preload = (more: string) => {
      const source = `
        import fs from 'node:fs'
        import { syncBuiltinESMExports } from 'node:module'
        import { spawn } from 'node:child_process'
        const { writeSync } = fs
        fs.writeSync = (fd, data) => (fd === 2 ? (writeSync(2, 'other words\\n'), data.length) : writeSync(fd, data))
        syncBuiltinESMExports()
        if (process.argv.includes('--idle')) { ${more} }
      `
      return { NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(source)}` }
    }
    const journalOf = (user: User) => join(user.folder, 'calloff', 'hub.sock.journal')

    it('the other server has the journal, and listens later', async () => {
      const user = new User()
      mkdirSync(join(user.folder, 'calloff'), { mode: 0o700 })
      await user.serve('--listen', 'unix:elsewhere.sock', '--journal', journalOf(user))
      const refused = await user.run('serve', '--journal', journalOf(user))
      assert.equal(refused.code, 3)
      const ended = join(user.folder, 'ended')
      const more = `process.on('exit', (code) => fs.writeFileSync(${JSON.stringify(ended)}, String(code)))`
      const canceller = user.start(['cancel', 'x', '--start'], { env: preload(more) })
      await until(() => existsSync(ended), 'the second server did not end')
      assert.equal(readFileSync(ended, 'utf8'), '3')
      await user.serve()
      const { code, stderr } = await canceller.ended
      assert.deepEqual([code, stderr], [0, ''])
    })

    it('the other server listens already', async () => {
      const user = new User()
      const args = JSON.stringify([bin, 'serve', '--listen', `unix:${join(user.folder, 'calloff', 'hub.sock')}`])
      const more = `
        const { NODE_OPTIONS, ...env } = process.env
        const first = spawn(process.execPath, ${args}, { env, detached: true, stdio: ['ignore', 'pipe', 'ignore'] })
        await new Promise((resolve) => first.stdout.once('data', resolve))
        first.stdout.destroy()
        first.unref()
      `
      const { code, stderr } = await user.start(['cancel', 'x', '--start'], { env: preload(more) }).ended
      await user.endStarted()
      assert.deepEqual([code, stderr], [0, ''])
    })

    it('where no server listens, the last line that it wrote is shown', async () => {
      const user = new User()
      mkdirSync(join(user.folder, 'calloff'), { mode: 0o700 })
      writeFileSync(journalOf(user), 'no journal')
      const { code, stderr } = await user.run('cancel', 'x', '--start')
      assert.equal(code, 1)
      assert.match(stderr, /^calloff: the hub could not be started: cannot listen: .* is not a journal .*\n$/)
    })
  })

  it('serve says when it is ready, refuses to be the second one, and ends cleanly', async () => {
    const user = new User()
    const server = await user.serve('--json')
    const [ready] = lines(server.url) as [{ event: string; url: string; pid: number }]
    assert.deepEqual([ready.event, ready.pid], ['ready', server.child.pid])
    const second = await user.run('serve')
    assert.equal(second.code, 1)
    assert.match(second.stderr, /^calloff: cannot listen: another server is listening at .*\n$/)
    server.child.kill('SIGTERM')
    const { code, stderr } = await server.ended
    assert.deepEqual([code, stderr], [0, ''])
    assert.equal(existsSync(join(user.folder, 'calloff', 'hub.sock')), false)
  })

  it('serve --idle ends when no client has been connected for a while, and not before', async () => {
    const user = new User()
    await withTime(1_000, async (ms) => {
      const server = await user.serve('--idle', `${ms}ms`)
      const holder = user.start(['run', '--name', 'x', '--', 'sh', '-c', 'echo up; read line'])
      // The server may have ended before the holder came.
      const isThere = await holder.printed('up').then(
        () => true,
        () => false,
      )
      if (isThere) {
        await pause(2 * ms)
        assert.equal(server.child.exitCode, null)
        holder.child.stdin?.end('\n')
        assert.equal((await holder.ended).code, 0)
      }
      assert.equal((await server.ended).code, 0)
      return isThere || undefined
    })
  })

  it('a journal keeps what was cancelled when the server is killed', async () => {
    const user = new User()
    const journal = join(user.folder, 'journal')
    const first = await user.serve('--journal', journal)
    await user.run('cancel', 'kept', '-r', 'for good')
    first.child.kill('SIGKILL')
    await first.ended
    await user.serve('--journal', journal)
    assert.equal((await user.run('status', '-q', 'kept')).code, 125)
  })

  it('over TCP a key is made on first use, and needed', async () => {
    const user = new User()
    const server = await user.serve('--listen', 'tcp://127.0.0.1:0')
    const file = join(user.folder, 'config', 'calloff', 'key')
    assert.equal(statSync(file).mode & 0o777, 0o600)
    assert.ok(readFileSync(file, 'utf8').length > 40)
    // The key of this user is found by itself.
    assert.equal((await user.run('cancel', 'x', '--hub', server.url)).code, 0)
    const stranger = new User()
    const refused = await stranger.run('ls', '--hub', server.url)
    assert.equal(refused.code, 1)
    assert.equal(
      refused.stderr,
      `calloff: the key does not match the hub at ${server.url}; give its key with --key-file\n`,
    )
    const copy = join(stranger.folder, 'key')
    writeFileSync(copy, readFileSync(file), { mode: 0o600 })
    assert.equal((await stranger.run('ls', '--names', '--hub', server.url, '--key-file', copy)).stdout, 'x\n')
    chmodSync(copy, 0o644)
    const open = await stranger.run('ls', '--hub', server.url, '--key-file', copy)
    assert.equal(open.code, 1)
    assert.match(open.stderr, /^calloff: refusing to use the key in .*: other users can read it/)
    const byVariables = await stranger.start(['ls', '--names'], {
      env: { CALLOFF_HUB: server.url, CALLOFF_KEY_FILE: file },
    }).ended
    assert.equal(byVariables.stdout, 'x\n')
  })

  describe('every command has its hub from the option, else from CALLOFF_HUB, else its own', () => {
    const commands: Readonly<Record<string, readonly string[]>> = {
      ls: ['ls', '--names'],
      status: ['status', 'x'],
      cancel: ['cancel', 'x'],
      wait: ['wait', 'x'],
      watch: ['watch', '--json'],
      run: ['run', '--name', 'y', '--', 'true'],
      forget: ['forget', 'x'],
    }
    /** To its end; `watch` has none, but has begun when it prints. */
    const end = async (program: ReturnType<User['start']>, isEndless: boolean) => {
      if (isEndless) await program.printed('{').catch(() => {})
      if (isEndless) program.child.kill()
      return await program.ended
    }

    it('to find one', async () => {
      const user = new User()
      const { url } = await user.serve('--listen', 'unix:there.sock')
      const malformed = 'there.sock'
      for (const [name, args] of sample(Object.entries(commands))) {
        const start = async (hub: string | undefined, CALLOFF_HUB: string | undefined) => {
          const given = hub === undefined ? args : [args[0] as string, '--hub', hub, ...args.slice(1)]
          const { code, stderr } = await end(user.start(given, { env: { CALLOFF_HUB } }), name === 'watch')
          return [code, stderr] as const
        }
        const canceller = new User()
        assert.equal((await canceller.run('cancel', 'x', '--hub', url)).code, 0)
        const [byFlag] = await start(url, undefined)
        assert.equal((await canceller.run('cancel', 'x', '--hub', url)).code, 0)
        const [byVariable] = await start(undefined, url)
        assert.equal((await canceller.run('cancel', 'x', '--hub', url)).code, 0)
        const [byBoth] = await start(url, malformed)
        assert.deepEqual([byFlag, byVariable, byBoth], [byFlag, byFlag, byFlag], name)
        for (const [hub, variable] of [
          [malformed, url],
          [undefined, malformed],
        ] as const) {
          const [code, stderr] = await start(hub, variable)
          assert.equal(code, 2, `${name}: ${stderr}`)
          assert.match(stderr, /^calloff: the hub must be a URL such as .*, got "there\.sock"/, name)
        }
        if (name === 'watch') continue // it waits for one
        const [code, stderr] = await start(undefined, '')
        assert.equal(code, 1, name)
        assert.match(stderr, /^calloff: no hub is listening at unix:.*calloff\/hub\.sock/, name)
      }
    })

    it('to be one', async () => {
      const user = new User()
      const listen = async (args: readonly string[], CALLOFF_HUB: string) => {
        const program = user.start(['serve', ...args], { env: { CALLOFF_HUB } })
        await program.printed(/^ready .*\n/).catch(() => {})
        program.child.kill('SIGTERM')
        const { code, stdout, stderr } = await program.ended
        return [code, (stdout || stderr).trim()]
      }
      const at = (name: string) => `unix:${join(user.folder, name)}`
      const own = at('calloff/hub.sock')
      assert.deepEqual(await listen([], at('a.sock')), [0, `ready ${at('a.sock')}`])
      assert.deepEqual(await listen([], 'unix:a.sock'), [0, `ready ${at('a.sock')}`])
      assert.deepEqual(await listen(['--listen', at('b.sock')], at('a.sock')), [0, `ready ${at('b.sock')}`])
      assert.deepEqual(await listen(['--listen', at('b.sock')], 'nonsense'), [0, `ready ${at('b.sock')}`])
      assert.deepEqual(await listen([], ''), [0, `ready ${own}`])
      for (const [args, variable, said] of [
        [[], 'a.sock', /^calloff: the hub must be a URL such as .*, got "a\.sock"/],
        [['--listen', 'a.sock'], own, /^calloff: the hub must be a URL such as .*, got "a\.sock"/],
        [[], 'redis://localhost', /^calloff: serve with CALLOFF_HUB takes unix:PATH or tcp:\/\/HOST:PORT, not redis:/],
        [['--listen', 'redis://localhost'], own, /^calloff: --listen takes unix:PATH or tcp:\/\/HOST:PORT, not redis:/],
      ] as const) {
        const [code, text] = await listen(args, variable)
        assert.equal(code, 2)
        assert.match(text as string, said)
      }
      const [, ready] = await listen([], 'tcp://127.0.0.1:0')
      assert.match(ready as string, /^ready tcp:\/\/127\.0\.0\.1:\d+/m)
    })
  })

  it('a hub elsewhere that is not there is said in one line, without its password', async () => {
    const user = new User()
    const { code, stderr } = await user.run('ls', '--hub', 'tcp://127.0.0.1:1')
    assert.equal(code, 1)
    assert.match(stderr, /^calloff: the hub at tcp:\/\/127\.0\.0\.1:1 cannot be reached: .*\n$/)
    const redis = await user.run('ls', '--hub', 'redis://me:secret@127.0.0.1:1')
    assert.equal(redis.code, 1)
    assert.equal(redis.stderr.split('\n').length, 2)
    assert.doesNotMatch(redis.stderr, /secret/)
  })

  it('a runtime folder that another user could change is refused', async () => {
    const user = new User()
    mkdirSync(join(user.folder, 'elsewhere'))
    symlinkSync(join(user.folder, 'elsewhere'), join(user.folder, 'calloff'))
    for (const args of [['serve'], ['ls']]) {
      const { code, stderr } = await user.run(...args)
      assert.equal(code, 1)
      assert.match(stderr, /^calloff: refusing to use .*\/calloff: it is not a folder\n$/)
    }
  })

  it('a hub that goes away does not end what runs', async () => {
    const user = new User()
    const server = await user.serve()
    const program = user.start(['run', '--name', 'x', '--', 'sh', '-c', 'echo up; read line; echo "read $line"'])
    await program.printed('up')
    server.child.kill('SIGKILL')
    await server.ended
    program.child.stdin?.end('on\n')
    const { code, stdout, stderr } = await program.ended
    assert.deepEqual([code, stdout, stderr], [0, 'up\nread on\n', ''])
  })
})

describe('names that others have chosen', () => {
  it('reach the next command as they are, and the terminal as text', async () => {
    const user = new User()
    await user.serve()
    const odd = [
      'two words',
      'two',
      'words',
      "it's",
      '-q',
      '--',
      'line\nbreak',
      'esc\u001B[2J',
      '\u202Ejob',
      '\uFEFFjob',
      '*',
    ]
    await Promise.all(odd.map((name) => user.run('cancel', '--', name)))
    await user.run('forget', '--', ...odd)
    const { stdout, stderr, code } = await user.shell(
      `calloff cancel -- "two words" >out && calloff ls --null two | xargs -0 calloff cancel --json -- && calloff ls --names && calloff ls --json`,
    )
    assert.equal(code, 0, stderr)
    const [receipt] = stdout.split('\n')
    assert.equal((JSON.parse(receipt as string) as { name: string }).name, 'two words')
    const more = await user.run('cancel', '--', ...odd)
    assert.equal(more.code, 0)
    for (const { stdout: shown } of [
      more,
      await user.run('ls'),
      await user.run('ls', '--names'),
      await user.run('ls', '--json'),
    ]) {
      assert.doesNotMatch(shown, /(?!\n)[\p{Cc}\p{Cf}]/u)
    }
    const { stdout: raw } = await user.run('ls', '--null')
    assert.deepEqual(new Set(raw.split('\0')), new Set([...odd, '']))
  })
})
