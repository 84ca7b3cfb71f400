import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { describe, it } from 'node:test'
import { SimpleToken, TimeoutToken } from 'calloff'
import { run, spawn } from 'calloff/node'
import { manualClock } from 'calloff/testing'
import { alive, clear, longTime, sleepers, sleeping, until } from './tree.js'

const skip = process.platform === 'win32' && 'these are trees of POSIX; Windows has not been tried'
const onlyLinux = process.platform !== 'linux' && 'only Linux tells the environment of a process'
const noPerl = ['perl', 'flock'].some((one) => spawnSync(one, ['--version']).status !== 0)
const noRunners = onlyLinux || (noPerl && 'perl or flock is not installed: apt-get install perl util-linux')
const noBash = !existsSync('/bin/bash') && 'bash is not installed: apt-get install bash'

interface Tree {
  readonly name: string
  /** A script for the shell; T stands for the time to sleep. */
  readonly script: string
  readonly shell?: string
  /** How many sleep when it is cancelled. */
  readonly sleepers: number
  readonly forced?: boolean
  readonly code?: number
  /** It is cancelled after the leader has ended. */
  readonly hasGone?: boolean
  readonly signal?: NodeJS.Signals
  readonly skip?: string | false
}

const trees: readonly Tree[] = [
  { name: 'a single program', script: 'echo hi; exec sleep T', sleepers: 1 },
  { name: 'a shell with two children', script: 'echo hi; sleep T & sleep T & wait', sleepers: 2 },
  { name: 'great-grandchildren', script: `echo hi; sh -c 'sh -c "sleep T; true"; true'; true`, sleepers: 1 },
  {
    name: 'a program that ignores TERM',
    script: `trap '' TERM; echo hi; while :; do sleep T; done`,
    sleepers: 1,
    forced: true,
    signal: 'SIGKILL',
  },
  {
    name: 'a child that ignores TERM, of a program that does not',
    script: `echo hi; sh -c 'trap "" TERM; sleep T' & wait`,
    sleepers: 1,
    forced: true,
  },
  {
    name: 'a program that ends well when it is asked to',
    script: `trap 'exit 0' TERM; echo hi; sleep T & wait`,
    sleepers: 1,
    code: 0,
  },
  {
    name: 'a program that starts another one when it is asked to end',
    script: `trap 'sleep T & exit 7' TERM; echo hi; sleep T & wait`,
    sleepers: 1,
    forced: true,
    code: 7,
  },
  {
    name: 'a program that has gone, whose child holds its output',
    script: 'echo hi; sleep T & exit 0',
    sleepers: 1,
    code: 0,
  },
  {
    name: 'a program that has gone, whose child has no mark',
    script: 'echo hi; env -u CALLOFF_TREE sleep T & sleep 0.2; exit 0',
    sleepers: 1,
    code: 0,
    hasGone: true,
  },
  { name: 'a double fork', script: '(sleep T & exit 0); echo hi; exec sleep T', sleepers: 2 },
  { name: 'a child in a session of its own', script: 'setsid sleep T & echo hi; wait', sleepers: 1 },
  {
    name: 'a child in a session of its own that ignores TERM',
    script: `setsid sh -c 'trap "" TERM; sleep T; true' & echo hi; wait`,
    sleepers: 1,
    forced: true,
  },
  {
    name: 'jobs of a shell, each in a group of its own',
    script: 'set -m; sleep T & sleep T & echo hi; wait',
    shell: 'bash',
    sleepers: 2,
    skip: noBash,
  },
  {
    name: 'a daemon: a double fork into another session',
    script: `(setsid sh -c 'sleep T & exit 0' & exit 0); echo hi; exec sleep T`,
    sleepers: 2,
    skip: onlyLinux,
  },
  {
    name: 'a daemon that has closed its output, of a program that has closed its own',
    script: `(setsid sh -c 'sleep T & exit 0' >/dev/null 2>&1 </dev/null & exit 0); echo hi; exec >&- 2>&-; sleep T`,
    sleepers: 2,
    skip: onlyLinux,
  },
  { name: 'a program that is stopped', script: 'echo hi; sleep T & kill -STOP $$; wait', sleepers: 1 },
  { name: 'a program that has closed its output', script: 'echo hi; exec >&- 2>&-; sleep T; true', sleepers: 1 },
  {
    name: 'a program in the foreground of the terminal',
    script: 'echo hi; sleep T & setsid sleep T & wait',
    sleepers: 2,
  },
]

describe('a tree of processes that is cancelled', { skip }, () => {
  for (const { name, script, shell = 'sh', ...tree } of trees) {
    it(`${name} is really gone`, { skip: tree.skip ?? false }, async () => {
      const time = longTime()
      const token = new SimpleToken({ name: 'job' })
      try {
        const running = run(shell, ['-c', script.replaceAll('T;', `${time};`).replaceAll(/T(?=["' &]|$)/g, time)], {
          token,
          grace: tree.forced ? 100 : 60_000,
          check: false,
          foreground: name.includes('foreground'),
        })
        await sleepers(time, tree.sleepers)
        if (tree.hasGone)
          await until(() => alive(`-c echo hi; env -u CALLOFF_TREE sleep ${time}`).length === 0, 'it has gone')
        token.cancel('no longer wanted')
        const report = await running
        assert.deepEqual(alive(time), [])
        assert.equal(report.calledOff, token.error)
        assert.equal(report.stdout, 'hi\n')
        assert.equal(report.forced, tree.forced ?? false)
        assert.deepEqual(report.left, [])
        assert.equal(report.code, tree.code ?? null)
        assert.equal(report.signal, tree.code === undefined ? (tree.signal ?? 'SIGTERM') : null)
      } finally {
        clear(time)
      }
    })
  }

  it('with a grace of 0 it is killed at once', async () => {
    const time = longTime()
    const token = new SimpleToken()
    const running = run('sh', ['-c', `sleep ${time} & wait`], { token, grace: 0, check: false })
    await sleepers(time, 1)
    token.cancel()
    const { signal, forced } = await running
    assert.deepEqual([signal, forced, alive(time)], ['SIGKILL', true, []])
  })

  it('is killed when the grace is over, not before', async () => {
    using clock = manualClock()
    const time = longTime()
    const token = new SimpleToken()
    const child = await spawn('sh', ['-c', `trap 'echo asked' TERM; while :; do sleep ${time} & wait; done`], {
      token,
      grace: 60_000,
    })
    let text = ''
    child.stdout?.setEncoding('utf8').on('data', (more: string) => (text += more))
    const real = async (isSo: () => boolean) => {
      while (!isSo()) await new Promise((resolve) => setImmediate(resolve))
    }
    await real(() => sleeping(time) > 0)
    token.cancel()
    await real(() => text.includes('asked'))
    clock.tick(59_999)
    await real(() => sleeping(time) > 0)
    assert.equal(child.child.signalCode, null)
    clock.tick(1)
    const { signal, forced } = await child.ended
    assert.deepEqual([signal, forced, alive(time)], ['SIGKILL', true, []])
  })

  it('another signal can ask', async () => {
    const token = new SimpleToken()
    const child = await spawn('sh', ['-c', `trap 'echo bye; exit 9' INT; echo hi; while :; do sleep 0.05; done`], {
      token,
      stopSignal: 'SIGINT',
    })
    let text = ''
    child.stdout?.setEncoding('utf8').on('data', (more: string) => (text += more))
    await until(() => text === 'hi\n', 'it says hi')
    token.cancel()
    const { code, forced } = await child.ended
    assert.deepEqual([code, forced, text], [9, false, 'hi\nbye\n'])
  })

  it('many at once, below one token', async () => {
    const time = longTime()
    const token = new SimpleToken()
    const all = Array.from({ length: 20 }, () =>
      run('sh', ['-c', `sleep ${time} & wait`], { token }).catch((error: unknown) => error),
    )
    await sleepers(time, 20)
    token.cancel()
    assert.deepEqual(new Set(await Promise.all(all)), new Set([token.error]))
    assert.deepEqual(alive(time), [])
  })

  it('a deadline does it as well', async () => {
    const time = longTime()
    const token = new TimeoutToken(100)
    const error = await run('sleep', [time], { token }).catch((error: unknown) => error)
    assert.equal(error, token.error)
    assert.deepEqual(alive(time), [])
  })

  it('a tree inside a tree is found through both', { skip: onlyLinux }, async () => {
    // The inner mark does not cover the outer one: the daemon of a program that uses calloff itself is found.
    const time = longTime()
    const outer = new SimpleToken()
    const script = `CALLOFF_TREE="$CALLOFF_TREE inner" setsid sh -c 'sleep ${time} & exit 0'; exec sleep ${time}`
    const running = run('sh', ['-c', script], { token: outer, check: false })
    await sleepers(time, 2)
    outer.cancel()
    await running
    assert.deepEqual(alive(time), [])
  })

  it('who takes the mark out of its environment, and leaves before the table is read, is not found', async () => {
    const time = longTime()
    const token = new SimpleToken()
    try {
      const script = `(env -u CALLOFF_TREE setsid sh -c 'sleep ${time} & exit 0' >/dev/null 2>&1 & exit 0); exec sleep ${time}`
      const running = run('sh', ['-c', script], { token, check: false })
      await sleepers(time, 2)
      // Its parent has gone by now.
      await until(() => alive(`setsid sh -c`).length === 0 && sleeping(time) === 2, 'the daemon is alone')
      token.cancel()
      await running
      assert.equal(sleeping(time), 1)
    } finally {
      clear(time)
    }
  })
})

/**
 * Each generation starts the next one in a session of its own, and ends. All of them hold the lock of the file that is given, so it is free
 * when the last one has gone, whoever has seen it. They give up after half a minute.
 */
const RUNNERS = `use POSIX; use Fcntl ':flock'; $SIG{TERM} = 'IGNORE'; $SIG{CONT} = 'IGNORE';
  open(F, '>>', $ARGV[0]); flock(F, LOCK_EX); $| = 1; print "up\\n"; my $end = time + 30;
  while (time < $end) { my $child = fork(); exit 0 if $child or !defined $child; POSIX::setsid(); select(undef, undef, undef, $ARGV[1]) if $ARGV[1] }`

describe('a tree that forks while the processes are looked at', { skip: skip || noRunners }, () => {
  for (const foreground of [false, true]) {
    for (const [seconds, grace] of [
      ['0', 0],
      ['0.001', 0],
      ['0.003', 50],
    ] as const) {
      const how = `${foreground ? 'in the foreground' : 'with a group'}, ${seconds} s each, a grace of ${grace} ms`
      it(`is gone when it is said to be gone: ${how}`, async () => {
        const folder = mkdtempSync(join(tmpdir(), 'calloff-runners-'))
        const file = join(folder, 'lock')
        try {
          for (let round = 0; round < 3; round++) {
            const token = new SimpleToken()
            const child = await spawn('perl', ['-e', RUNNERS, file, seconds], { token, grace, foreground })
            await new Promise((resolve) => child.stdout?.once('data', resolve))
            token.cancel()
            const { forced, left } = await child.ended
            assert.equal(spawnSync('flock', ['-n', file, 'true']).status, 0, 'the lock is still held')
            assert.deepEqual([forced, left], [true, []])
          }
        } finally {
          rmSync(folder, { recursive: true, force: true })
        }
      })
    }
  }
})

describe('what a program leaves behind when it ends by itself', { skip }, () => {
  // Elsewhere nobody knows any more, when it has ended, who has left its group.
  const away = process.platform === 'linux' ? 'setsid ' : ''
  const script = (time: string) => `sleep ${time} & ${away}sleep ${time} >/dev/null 2>&1 & echo hi`

  it('is waited for as long as it holds the output', async () => {
    const { stdout } = await run('sh', ['-c', '(sleep 0.3; echo late) & echo hi'])
    assert.equal(stdout, 'hi\nlate\n')
  })

  it('stays if it does not: a daemon', async () => {
    const time = longTime()
    try {
      const { stdout } = await run('sh', ['-c', `sleep ${time} >/dev/null 2>&1 & echo hi`])
      assert.equal(stdout, 'hi\n')
      assert.equal(sleeping(time), 1)
    } finally {
      clear(time)
    }
  })

  it("is ended with leftovers: 'end'", async () => {
    const time = longTime()
    try {
      const report = await run('sh', ['-c', script(time)], { leftovers: 'end' })
      assert.deepEqual([report.stdout, report.code, report.calledOff], ['hi\n', 0, undefined])
      assert.deepEqual(alive(time), [])
    } finally {
      clear(time)
    }
  })

  it("is left alone with leftovers: 'leave', whatever it holds", async () => {
    const time = longTime()
    try {
      const report = await run('sh', ['-c', script(time)], { leftovers: 'leave' })
      assert.deepEqual([report.stdout, report.code], ['hi\n', 0])
      assert.ok(sleeping(time) > 0)
    } finally {
      clear(time)
    }
  })

  it("none of the output is lost with leftovers: 'leave'", async () => {
    const time = longTime()
    try {
      const { stdout } = await run('sh', ['-c', `sleep ${time} & head -c 3000000 /dev/zero`], { leftovers: 'leave' })
      assert.equal(stdout.length, 3_000_000)
    } finally {
      clear(time)
    }
  })
})
