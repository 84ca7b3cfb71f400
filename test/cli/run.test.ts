import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { sample, share } from '../effort.js'
import { withTime } from '../enough-time.js'
import { found, skipWithout } from '../remote/servers.js'
import { bin, isAlive, until, User } from './calloff.js'

const user = new User()
const skip = process.platform === 'win32' ? 'these commands are for POSIX' : false

const onlyLinux = process.platform !== 'linux' && 'only Linux has /proc'
/** The newest Node that is installed beside this one. */
const [newest] = ['26', '24', '22'].flatMap((version) => {
  const command = fileURLToPath(
    new URL(`../../../runtimes/node_modules/node-${version}-linux-x64/bin/node`, import.meta.url),
  )
  return existsSync(command) ? [{ command }] : []
})
const canBeFirst = () => spawnSync('unshare', ['--pid', '--fork', '--mount-proc', 'true']).status === 0
const noFirst =
  onlyLinux ||
  (!newest && 'Node 22 or newer is not installed: npm ci --prefix runtimes') ||
  (!canBeFirst() && 'not permitted to make a space of process numbers')

/** The guards that were started by that user. */
function guardsOf({ folder }: User): readonly string[] {
  const isOurs = (pid: string) => {
    try {
      const [arguments_, environment] = ['cmdline', 'environ'].map((file) =>
        readFileSync(`/proc/${pid}/${file}`, 'utf8'),
      )
      return arguments_?.includes('guard.js') && environment?.includes(`HOME=${folder}`)
    } catch {
      return false
    }
  }
  return existsSync('/proc/self') ? readdirSync('/proc').filter((name) => /^\d+$/.test(name) && isOurs(name)) : []
}

/** A program for `node -e` that says its number, and does not end when it is asked to. */
const STUBBORN = `process.on('SIGTERM', () => console.log('asked')); setInterval(() => {}, 1000); console.log('pid ' + process.pid)`

describe('calloff run', { skip, concurrency: 4 }, () => {
  it('ends with what the command ends with', async () => {
    assert.deepEqual(await user.run('run', '--', 'sh', '-c', 'exit 7'), {
      code: 7,
      signal: null,
      stdout: '',
      stderr: '',
    })
    assert.equal((await user.run('run', 'true')).code, 0)
    assert.equal((await user.run('run', '--', 'sh', '-c', 'kill -SEGV $$')).code, 139)
  })

  it('refuses arguments and variables that are not UTF-8, rather than change them', async () => {
    const bytes = String.raw`$'a\xff\nb'`
    const refused = await user.shell(`calloff run -- touch fine-\u{FFFD} ${bytes}`)
    assert.deepEqual(
      [refused.code, refused.stderr],
      [2, 'calloff: argument 5 is not UTF-8, and would be changed: "a\u{FFFD}\\nb"\n'],
    )
    assert.equal((await user.shell(`ls | grep fine`)).stdout, '')
    // Not a command alone: a name would be another name.
    assert.equal((await user.shell(`calloff cancel ${bytes}`)).code, 2)
    const variable = await user.shell(`WORD=${bytes} calloff run -- touch fine-variable`)
    assert.deepEqual(
      [variable.code, variable.stderr],
      [
        2,
        'calloff: the environment variable WORD is not UTF-8, and would be changed; without it: env -u WORD calloff run …\n',
      ],
    )
    const fine = await user.shell(`WORD=\u{FFFD} calloff run -- sh -c 'echo "$WORD$1"' sh \u{FFFD}𝄞`)
    assert.deepEqual([fine.code, fine.stdout], [0, '\u{FFFD}\u{FFFD}𝄞\n'])
  })

  it('ends as the shell does when the command does not exist, or none that can be executed', async () => {
    const none = await user.run('run', '--', 'no-such-command-anywhere')
    assert.deepEqual([none.code, none.stderr], [127, 'calloff: no-such-command-anywhere: the command does not exist\n'])
    const file = join(user.folder, 'not-executable')
    writeFileSync(file, 'text', { mode: 0o644 })
    const refused = await user.run('run', '--', file)
    assert.deepEqual([refused.code, refused.stderr], [126, `calloff: ${file}: cannot be executed\n`])
  })

  it('ends with 124 after --timeout, and says so in one line', async () => {
    const ended = await user.run('run', '--timeout', '200ms', '--', 'sleep', '60')
    assert.deepEqual(ended, {
      code: 124,
      signal: null,
      stdout: '',
      stderr: 'calloff: sleep was cancelled after 200ms (--timeout)\n',
    })
  })

  it('says nothing with --quiet', async () => {
    const ended = await user.run('run', '-q', '-t', '100ms', 'sleep', '60')
    assert.deepEqual(ended, { code: 124, signal: null, stdout: '', stderr: '' })
  })

  it('leaves what comes after the command to the command', async () => {
    const ended = await user.run('run', '--timeout', '30s', 'echo', '--timeout', '5', '--help', '--', '-q')
    assert.equal(ended.stdout, '--timeout 5 --help -- -q\n')
  })

  it('is cancelled by the stop file, and not started if it is there', async () => {
    const file = join(user.folder, 'stop')
    const program = user.start(['run', '--stop-file', file, '--', 'sh', '-c', 'echo started; sleep 60'])
    await program.printed('started')
    writeFileSync(file, '')
    const first = await program.ended
    assert.deepEqual([first.code, first.stderr], [125, `calloff: sh was cancelled by the stop file ${file}\n`])
    const second = await user.run('run', '--stop-file', file, '--', 'echo', 'started')
    assert.deepEqual([second.code, second.stdout], [125, ''])
    assert.match(second.stderr, /^calloff: echo was not started, because it was cancelled by the stop file .*\n$/)
  })

  for (const [signal, code] of [
    ['SIGTERM', 143],
    ['SIGINT', 130],
    ['SIGHUP', 129],
  ] as const) {
    it(`passes ${signal} on as a request to end, and ends with ${code}`, async () => {
      const command = `process.on('SIGTERM', () => { console.log('asked'); process.exit(0) }); setInterval(() => {}, 1000); console.log('up')`
      const program = user.start(['run', '--', process.execPath, '-e', command])
      await program.printed('up')
      program.child.kill(signal)
      const ended = await program.ended
      // Where the tests run in a terminal it is the terminal that tells of Ctrl+C, so the shell is to see the signal itself.
      assert.equal(ended.signal === null ? ended.code : 130, code)
      assert.match(ended.stdout, /asked/)
      assert.equal(ended.stderr, `calloff: node was cancelled by ${signal}\n`)
    })
  }

  it('kills what ignores the request, after the grace', async () => {
    const { stdout } = await withTime(1_000, async (ms) => {
      const limits = ['--grace', `${ms}ms`, '--timeout', `${3 * ms}ms`]
      const ended = await user.start(['run', ...limits, '--', process.execPath, '-e', STUBBORN]).ended
      assert.equal(ended.code, 124)
      if (!ended.stdout.includes('asked')) return undefined
      assert.match(ended.stderr, /after \w+ \(--timeout\); it had to be killed\n$/)
      return ended
    })
    assert.equal(isAlive(Number(/pid (\d+)/.exec(stdout)?.[1])), false)
  })

  for (const name of ['USR1', 'sigusr1', '10']) {
    it(`asks with --signal ${name}`, { skip: name === '10' && onlyLinux }, async () => {
      const command = `trap 'echo asked; exit 3' USR1; echo up; while :; do sleep 0.05; done`
      const program = user.start(['run', '--grace', '10m', '--signal', name, '--', 'sh', '-c', command])
      await program.printed('up')
      program.child.kill('SIGTERM')
      const { code, stdout } = await program.ended
      assert.deepEqual([code, stdout], [143, 'up\nasked\n'])
    })
  }

  it('with --guard its processes end when it is killed, and the guard with them', async () => {
    const own = new User()
    const tree =
      'trap "echo asked; exit" TERM; setsid sleep 64 >&2 & echo "pid $!"; sleep 65 & echo "pid $!"; echo "pid $$"; wait'
    const program = own.start(['run', '--guard', '--', 'sh', '-c', tree])
    await program.printed(/(pid \d+\n){3}/)
    program.child.kill('SIGKILL')
    const { stdout, stderr, signal } = await program.ended
    assert.equal(signal, 'SIGKILL')
    assert.equal(stderr, 'calloff: calloff run was killed; ending sh\n')
    assert.match(stdout, /asked\n$/)
    const pids = [...stdout.matchAll(/pid (\d+)/g)].map(([, pid]) => Number(pid))
    await until(() => !pids.some(isAlive), 'they ended')
    await until(() => guardsOf(own).length === 0, 'the guard ended')
  })

  it('with --guard its processes end, too, if it is killed while the command is started', async () => {
    for (let round = 0; round < share(5, 2); round++) {
      // It is the command itself that kills, as early as it can.
      const program = user.start([
        'run',
        '--guard',
        '-q',
        '--',
        'sh',
        '-c',
        'sleep 67 & kill -KILL $PPID; echo $$; wait',
      ])
      const { stdout } = await program.ended
      await until(() => !isAlive(Number(stdout)), 'it ended')
    }
  })

  it('with --guard kills what does not end when it is asked to', async () => {
    const program = user.start(['run', '--guard', '--grace', '50ms', '-q', '--', process.execPath, '-e', STUBBORN])
    await program.printed('pid')
    program.child.kill('SIGKILL')
    const { stdout, stderr } = await program.ended
    assert.equal(stderr, '')
    await until(() => !isAlive(Number(/pid (\d+)/.exec(stdout)?.[1])), 'it ended')
  })

  it('with --guard a command that ends by itself leaves behind what it likes', async () => {
    const own = new User()
    const { stdout, code, stderr } = await own.run(
      'run',
      '--guard',
      '--',
      'sh',
      '-c',
      'sleep 66 >/dev/null 2>&1 & echo $!; exit 4',
    )
    assert.deepEqual([code, stderr], [4, ''])
    await until(() => guardsOf(own).length === 0, 'the guard ended')
    assert.equal(isAlive(Number(stdout)), true)
    process.kill(Number(stdout), 'SIGKILL')
  })

  it('as process 1 waits for processes that have no other parent', { skip: noFirst }, async () => {
    const orphans = `for n in 1 2 3; do sh -c 'sleep 0.1 & exit 0'; done; until [ $(ls -d /proc/[0-9]* | wc -l) -lt 8 ]; do sleep 0.05; done
      sleep 0.3; cat /proc/[0-9]*/status 2>/dev/null | grep -c '^State:.Z'; exit 7`
    const unshare = `unshare --pid --fork --mount-proc --kill-child '${newest?.command}' '${bin}' run --`
    const { stdout, code } = await user.shell(`${unshare} sh -c '${orphans.replaceAll("'", `'\\''`)}'`)
    assert.deepEqual([stdout, code], ['0\n', 7])
    const asked = await user.shell(
      `${unshare} sh -c 'trap "echo asked; exit 3" TERM; kill -TERM 1; while :; do sleep 0.05; done'; exit $?`,
    )
    assert.deepEqual([asked.stdout, asked.code], ['asked\n', 143])
    assert.match(asked.stderr, /^calloff: sh was cancelled by SIGTERM$/m)
  })

  it('kills at once when it is told a second time', async () => {
    const program = user.start(['run', '--grace', '10m', '--', process.execPath, '-e', STUBBORN])
    await program.printed('pid')
    program.child.kill('SIGTERM')
    await program.printed('asked')
    program.child.kill('SIGTERM')
    const ended = await program.ended
    assert.equal(ended.code, 143)
    assert.match(ended.stderr, /had to be killed/)
  })

  it('ends everything that the command has started, in other groups and sessions too', async () => {
    const tree =
      'sleep 61 & echo $!; setsid sleep 62 & echo $!; (setsid sh -c "sleep 63 & echo \\$!; wait" &); echo up; wait'
    const program = user.start(['run', '--timeout', '10m', '--', 'sh', '-c', tree])
    await program.printed(/^(?:up\n)?(?:\d+\n(?:up\n)?){3}$/)
    await program.printed('up')
    program.child.kill('SIGTERM')
    const { stdout, code } = await program.ended
    const pids = stdout
      .split('\n')
      .filter((line) => /^\d+$/.test(line))
      .map(Number)
    assert.equal(pids.length, 3)
    assert.deepEqual(pids.filter(isAlive), [])
    assert.equal(code, 143)
  })

  const megabytes = share(100)
  it(`passes ${megabytes} MB through unchanged, in both directions`, async () => {
    // Text that does not repeat itself.
    const make = `seq 1 20000000 | head -c ${megabytes}000000`
    const { stdout, code } = await user.shell(
      `${make} | sha256sum; ${make} | calloff run -- cat | sha256sum; exit \${PIPESTATUS[1]}`,
    )
    const [before, after] = stdout.trim().split('\n')
    assert.equal(before, after)
    assert.equal(code, 0)
  })

  it('gives its own input and output to the command, not copies of them', async () => {
    const { stdout } = await user.shell(
      `for n in 0 1 2; do readlink /proc/self/fd/$n; calloff run -- readlink /proc/self/fd/$n; done </dev/zero 2>/dev/null`,
    )
    const lines = stdout.trim().split('\n')
    assert.equal(lines.length, 6)
    for (let at = 0; at < 6; at += 2) assert.equal(lines[at], lines[at + 1])
  })

  // What a shell opens, and what Node's own look like: pipes of which both ends are there.
  for (const redirections of sample([
    '',
    '3</dev/null',
    '4</dev/null 9>file',
    '3<> file 4<>fifo 5<>fifo',
    '5<>fifo',
    '3< <(:) 4> >(:)',
    '4< <(:) 5<&4',
    '6< <(:) 63< <(:) 200>file',
    '15</dev/zero 16</dev/zero 17</dev/zero',
  ])) {
    it(
      `gives its other descriptors to the command, and no others: ${redirections || 'none'}`,
      { skip: onlyLinux },
      async () => {
        const list = `for n in {3..254}; do if [ -L /proc/$$/fd/$n ]; then echo $n; readlink /proc/$$/fd/$n; fi; done`
        const own = new User()
        writeFileSync(join(own.folder, 'list.sh'), list)
        const { stdout } = await own.shell(
          `mkfifo fifo; ${redirections && `exec ${redirections};`} bash list.sh; echo --; calloff run -- bash list.sh`,
        )
        const [without, within] = stdout.split('--\n')
        assert.equal(within, without)
      },
    )
  }

  // As make has them for its jobs: both ends, which only Node's own have, too.
  for (const [from, to] of [
    [3, 4],
    [4, 5],
    [5, 6],
    [20, 30],
  ] as const) {
    const skip = onlyLinux || skipWithout('perl', found('perl'))
    it(`gives both ends of a pipe to the command: ${from} and ${to}`, { skip }, async () => {
      const program = `use POSIX; $^F = 255; pipe(R, W);
        POSIX::dup2(fileno(R), 50); POSIX::dup2(fileno(W), 51); close(R); close(W);
        POSIX::dup2(50, ${from}); POSIX::dup2(51, ${to}); POSIX::close(50); POSIX::close(51); exec @ARGV`
      const command = `echo through >&${to}; read -r line <&${from}; echo $line`
      const { stdout } = await user.shell(`exec perl -e '${program}' calloff run -- bash -c '${command}'`)
      assert.equal(stdout, 'through\n')
    })
  }

  it('leaves its jobs to a make below make', { skip: skipWithout('make', found('make')) }, async () => {
    const own = new User()
    writeFileSync(join(own.folder, 'Makefile'), 'all:\n\t+calloff run -t 1m -- $(MAKE) -f below.mk\n')
    // Each waits for the other one: with one job at a time the first would wait for ever.
    const each = (me: string, other: string) =>
      `${me}:\n\ttouch ${me}.begun; until [ -e ${other}.begun ]; do sleep 0.05; done\n`
    writeFileSync(join(own.folder, 'below.mk'), `all: one two\n${each('one', 'two')}${each('two', 'one')}`)
    const { code, stderr } = await own.shell('make -j4')
    assert.deepEqual([code, stderr], [0, ''])
  })

  it('does not make a shared pipe non-blocking', async () => {
    // O_NONBLOCK is 4000 in octal.
    const { stdout: flags } = await user.shell(
      `{ calloff run -t 50ms -- sleep 60; cat /proc/self/fdinfo/2 | grep flags >&3; } 3>&1 2> >(cat >/dev/null)`,
    )
    const [, octal = ''] = /flags:\s+(\d+)/.exec(flags) ?? []
    assert.notEqual(octal, '')
    assert.equal(Number.parseInt(octal, 8) & 0o4000, 0)
  })

  it('closes cleanly when the reader has had enough', async () => {
    const { stdout, stderr } = await user.shell('calloff run -- yes | head -1; echo "${PIPESTATUS[0]}"')
    assert.deepEqual([stdout, stderr], ['y\n141\n', ''])
  })

  it('leaves what a command has left behind when it ends by itself', async () => {
    const { stdout, code } = await user.run('run', '--', 'sh', '-c', 'sleep 60 >/dev/null 2>&1 & echo $!')
    const pid = Number(stdout)
    assert.equal(code, 0)
    assert.equal(isAlive(pid), true)
    process.kill(pid, 'SIGKILL')
  })

  it('lends its token to a Node program, which ends in peace', async () => {
    const program = join(user.folder, 'borrower.mjs')
    const node = new URL('../../../dist/node/index.js', import.meta.url).href
    writeFileSync(
      program,
      `import { fromParent } from ${JSON.stringify(node)}
       const token = await fromParent()
       console.log('ready')
       const { kind } = await token.wait()
       setTimeout(() => console.log('put away, because of a ' + kind), 100)`,
    )
    const run = user.start(['run', '--grace', '1m', '--', process.execPath, program])
    await run.printed('ready')
    run.child.kill('SIGTERM')
    const { code, stdout } = await run.ended
    assert.deepEqual([code, stdout], [143, 'ready\nput away, because of a process-signal\n'])
  })

  for (const [signal, exitCode] of [
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const) {
    it(`lends its token to a loop that never yields: ${signal}`, async () => {
      const program = join(user.folder, 'busy.mjs')
      const node = new URL('../../../dist/node/index.js', import.meta.url).href
      writeFileSync(
        program,
        `import { fromParent } from ${JSON.stringify(node)}
       const token = await fromParent({ background: true })
       console.log('ready')
       while (token.keepOn());
       console.log('seen: ' + token.error.kind)`,
      )
      const run = user.start(['run', '--grace', '1m', '--', process.execPath, program])
      await run.printed('ready')
      run.child.kill(signal)
      const ended = await run.ended
      assert.equal(ended.stdout, 'ready\nseen: process-signal\n')
      assert.ok(ended.code === exitCode || ended.signal === signal, JSON.stringify(ended))
    })
  }

  it('finds no use for a hub without a name', async () => {
    const { code, stderr } = await user.run('run', '--hub', 'unix:/nowhere', '--', 'true')
    assert.deepEqual([code, stderr], [2, 'calloff: --hub, --run-id, --start and --replace need --name\n'])
  })
})
