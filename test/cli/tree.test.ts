import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { connect, createServer } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { describe, it } from 'node:test'
import { type Program, until, User } from './calloff.js'
import { skip as noTerminal, Terminal } from './terminal.js'

const isWindows = process.platform === 'win32'
const noSockets = isWindows && 'pipes have no folder'
const isRoot = process.getuid?.() === 0
const anotherUser = 65_534
const at = (name: string) => JSON.stringify(import.meta.resolve(name))
const inspector = ['--import', import.meta.resolve('calloff/inspector')]

/** Writes a program. */
function program(user: User, text: string, name = 'app.mjs'): string {
  const file = join(user.folder, name)
  writeFileSync(file, text)
  return file
}

/** A job that does not stop. Its tasks say on which line they were started. */
const HANGING = `import { scope, SimpleToken } from ${at('calloff')}
const server = new SimpleToken({ name: 'server' })
setInterval(() => {}, 1_000)
const deaf = () => new Promise(() => {})
async function fetchPages() { await deaf() }
async function save(token) { await token.sleep(1e9) }
void scope(server, (s) => {
  s.run(fetchPages)
  s.run(save)
  s.run(save, { name: 'later' })
}, { name: 'import', concurrency: 2 }).catch(() => {})
server.cancel('the user \\u001B[31mhas left')
console.log('ready')
`

interface Report {
  readonly pid: number
  readonly mayCancel: boolean
  readonly busy?: {
    readonly since: number
    readonly within?: { readonly what: string }
    readonly frames: readonly string[]
  }
  readonly snapshot: {
    readonly nodes: readonly {
      readonly id: number
      readonly what: string
      readonly name?: string
      readonly state: string
    }[]
    readonly cancels: readonly { readonly what: string; readonly reason?: string }[]
  }
}

/** Starts a program that can be asked, and waits until it can. */
async function asked(
  user: User,
  text: string,
  env: NodeJS.ProcessEnv = {},
  flags = inspector,
): Promise<Program & { pid: string }> {
  const started = user.node([...flags, program(user, text)], env)
  await started.printed('ready')
  const pid = String(started.child.pid)
  await until(async () => (await user.run('tree', pid)).code === 0, `process ${pid} cannot be asked`)
  return { ...started, pid }
}

const reportOf = async (user: User, pid: string): Promise<Report> =>
  JSON.parse((await user.run('tree', pid, '--json')).stdout) as Report

const socketsOf = (user: User) =>
  readdirSync(join(user.folder, 'calloff')).filter((name) => name.startsWith('inspect-'))

describe('calloff tree', { concurrency: 2 }, () => {
  it('shows which task has not stopped, where it was started, and who cancelled it why', async () => {
    const user = new User()
    const { pid } = await asked(user, HANGING)
    const { stdout, code } = await user.run('tree', pid)
    assert.equal(code, 0)
    assert.match(stdout, /^node app\.mjs \(process \d+, node [\d.]+\), for /)
    assert.match(stdout, /SimpleToken\(\{ name: 'server'.*\n└─ scope import @\d+, for .*cancelled .* ago\n/)
    const [, end = ''] = stdout.split('has not stopped:\n')
    assert.match(end, /^ {2}scope import, cancelled \S+ ago: 1 task\n/)
    assert.match(end, /token "server" was cancelled: the user \\u\{1b\}\[31mhas left\n/)
    assert.match(end, /task fetchPages, started at .*app\.mjs:8:\d+\)?\n$/)
    assert.doesNotMatch(end, /save|later/)
    assert.match(
      stdout,
      /cancelled in the last minute:\n.*token "server" was cancelled: the user.*\n {4}by .*app\.mjs:12:\d+\)?\n/,
    )
  })

  it('shows tasks that wait, tokens under their parents, and only tokens that something listens to', async () => {
    const user = new User()
    const { pid } = await asked(
      user,
      `import { scope, SimpleToken, TimeoutToken } from ${at('calloff')}
       const server = new SimpleToken({ name: 'server' })
       new SimpleToken({ name: 'idle' })
       const request = new TimeoutToken(1e7, { name: 'request' }, server)
       request.onCancel(() => {})
       void scope(request, (s) => {
         for (const name of ['one', 'two']) s.run((token) => token.sleep(1e9), { name })
       }, { name: 'pages', concurrency: 1 })
       console.log('ready')`,
    )
    const { stdout } = await user.run('tree', pid)
    const names = stdout
      .split('\n')
      .flatMap((line) => /^([│├└─ ]*)(\w+)[ (].*?(\w+)(?:' \}\))? @/.exec(line)?.slice(1) ?? [])
    assert.deepEqual(
      names.map((part) => part.trim()),
      [
        '',
        'SimpleToken',
        'server',
        '└─',
        'TimeoutToken',
        'request',
        '└─',
        'scope',
        'pages',
        '├─',
        'task',
        'one',
        '└─',
        'task',
        'two',
      ],
      stdout,
    )
    assert.match(stdout, /task two @\d+, waits for its turn/)
    assert.match(stdout, /TimeoutToken\(10000000, \{ name: 'request' \}\) @\d+, \d+ ms left/)
    assert.doesNotMatch(stdout, /idle|cancelled|not stopped/)
  })

  it('lists the processes that can be asked', async () => {
    const user = new User()
    assert.match(
      (await user.run('tree')).stderr,
      /^calloff: no process can be asked; start it with node --import calloff\/inspector/,
    )
    const { pid } = await asked(user, HANGING)
    const { stdout, code } = await user.run('tree')
    assert.equal(code, 0)
    assert.match(stdout, new RegExp(`^PID +AGE +SINCE +STATE +COMMAND\n${pid} .* answers +node app.mjs\n$`))
    const { pid: found, snapshot } = JSON.parse((await user.run('tree', '--json')).stdout) as Report
    assert.deepEqual([String(found), snapshot], [pid, undefined])
  })

  it('says how a process must be started that cannot be asked', async () => {
    const user = new User()
    const { stderr, code } = await user.run('tree', '1')
    assert.equal(code, 1)
    assert.match(
      stderr,
      /^calloff: process 1 cannot be asked; start it with node --import calloff\/inspector, or with CALLOFF_INSPECT=1/,
    )
  })

  it('sees the first scope of a program with CALLOFF_INSPECT=1 that loads calloff/node', async () => {
    const user = new User()
    const text = `import ${at('calloff/node')}\n${HANGING}`
    const { pid } = await asked(user, text, { CALLOFF_INSPECT: '1' }, [])
    assert.match((await user.run('tree', pid)).stdout, /task fetchPages, started at /)
    for (const CALLOFF_INSPECT of ['', '0']) {
      const other = user.node([program(user, text)], { CALLOFF_INSPECT })
      await other.printed('ready')
      assert.deepEqual(
        socketsOf(user).map((name) => name.split('-')[1]),
        [pid],
      )
      other.child.kill()
    }
  })

  it('hides reasons by the function that the program has given, also if that throws', async () => {
    const user = new User()
    const start = (redact: string) => `import { startInspector } from ${at('calloff/inspector')}
      startInspector({ redact: ${redact} })
      ${HANGING}`
    const { pid } = await asked(user, start('(reason) => `${reason.length} characters`'), {}, [])
    const { stdout } = await user.run('tree', pid)
    assert.match(stdout, /token "server" was cancelled: \d+ characters\n/)
    assert.doesNotMatch(JSON.stringify(await reportOf(user, pid)), /has left/)
    const other = await asked(user, start(`() => { throw new Error('secret') }`), {}, [])
    assert.match((await user.run('tree', other.pid)).stdout, /was cancelled: \(no text/)
    assert.doesNotMatch(JSON.stringify(await reportOf(user, other.pid)), /has left|secret/)
  })

  it('prints the report as JSON with --json', async () => {
    const user = new User()
    const { pid } = await asked(user, HANGING)
    const { stdout } = await user.run('tree', pid, '--json')
    assert.equal(stdout.trim().split('\n').length, 1)
    assert.ok(!stdout.includes('\u001B'))
    const { snapshot, mayCancel } = JSON.parse(stdout) as Report
    assert.equal(mayCancel, false)
    assert.deepEqual(
      snapshot.nodes.map(({ what, name, state }) => [what, name, state]),
      [
        ['scope', 'import', 'cancelled'],
        ['token', 'server', 'cancelled'],
        ['task', 'fetchPages', 'cancelled'],
      ],
    )
    assert.deepEqual(
      snapshot.cancels.map(({ reason }) => reason),
      ['the user \u001B[31mhas left'],
    )
  })
})

describe('a process whose main thread is busy', () => {
  const busy = (how: string) => `import { existsSync } from 'node:fs'
    import { scope, SimpleToken } from ${at('calloff')}
    function crunch() { console.log('ready'); while (!existsSync('stop')); }
    await scope(new SimpleToken({ name: 'job' }), (s) => {
      s.run((token) => token.sleep(1), { name: 'other' })
      s.run(async function numbers(token) { ${how}; crunch() })
    }, { name: 'sums' })
    console.log('done')`

  it('says so, since when, in which task and where', async () => {
    const user = new User()
    const { pid, ended } = await asked(user, busy(''))
    const { stdout } = await user.run('tree', pid)
    assert.match(stdout, /busy since [\d:]+, for \S+: its main thread does not answer\n {2}in task numbers, for /)
    assert.match(stdout, /\n {4}started at .*app\.mjs:6:\d+/)
    assert.match(stdout, /crunch \(.*app\.mjs:3:\d+\)/)
    assert.match((await user.run('tree')).stdout, /busy for /)
    writeFileSync(join(user.folder, 'stop'), '')
    const { stdout: all, stderr, code } = await ended
    assert.deepEqual([all, stderr, code], ['ready\ndone\n', '', 0])
  })

  it('shows its last report, if the task has awaited something before', async () => {
    const user = new User()
    // Until the snapshot was sent, which happens while the event loop runs.
    const { pid } = await asked(user, busy('await new Promise((resolve) => setTimeout(resolve, 400))'))
    const { stdout } = await user.run('tree', pid)
    assert.match(
      stdout,
      /busy since .*\n(.*\n)* +(?:at )?crunch .*\n(.*\n)*its last report, from \S+ ago:\n(.*\n)*.*task numbers @/,
    )
    writeFileSync(join(user.folder, 'stop'), '')
  })

  it('refuses a cancel, and does not carry it out later', async () => {
    const user = new User()
    const { pid, ended } = await asked(user, busy(''), { CALLOFF_INSPECT: 'cancel' })
    const { stderr, code } = await user.run('tree', pid, '--cancel', 'job')
    assert.deepEqual(
      [code, stderr],
      [1, `calloff: process ${pid} has refused: its main thread is busy and does not answer; nothing was cancelled\n`],
    )
    writeFileSync(join(user.folder, 'stop'), '')
    assert.match((await ended).stdout, /done\n$/)
  })
})

describe('calloff tree --cancel', { concurrency: 2 }, () => {
  const job = `import { scope, SimpleToken } from ${at('calloff')}
    const server = new SimpleToken({ name: 'server' })
    server.onCancel(() => {})
    const run = (name) => scope(server, (s) => {
      s.run((token) => token.sleep(1e9).catch(({ kind, cause }) => console.log(name, kind, cause)), { name: 'part' })
    }, { name }).catch(() => {})
    void run('one')
    void run('two')
    console.log('ready')`

  it('cancels one token of a process that was started to allow it', async () => {
    const user = new User()
    const { pid, printed } = await asked(user, job, { CALLOFF_INSPECT: 'cancel' })
    const { stdout, code } = await user.run('tree', pid, '--cancel', 'server/one', '--reason', 'too long')
    assert.deepEqual([code, stdout], [0, 'server/one: cancelled\n'])
    await printed('one manual too long\n')
    const again = await user.run('tree', pid, '--cancel', 'server/one')
    assert.match(again.stderr, /has refused: it has no token with this path\n/)
    assert.match(again.stderr, / {2}@\d+ server\/two\/part\n/)
    const { nodes } = (await reportOf(user, pid)).snapshot
    const server = nodes.find(({ name }) => name === 'server')
    assert.equal((await user.run('tree', pid, '--cancel', `@${server?.id}`, '--json')).code, 0)
    await printed('two manual undefined\n')
  })

  const ends = {
    'has nothing else to do then': 'token.sleep(1e9).catch(() => {})',
    'exits in a listener': 'token.onCancel(() => process.exit(0)); setInterval(() => {}, 1_000)',
    'exits soon after': 'token.onCancel(() => setImmediate(() => process.exit(0))); setInterval(() => {}, 1_000)',
  }
  for (const [what, text] of Object.entries(ends)) {
    it(`gets the answer of a process that ${what}`, async () => {
      const user = new User()
      const job = `import { SimpleToken } from ${at('calloff')}
        const token = new SimpleToken({ name: 'job' })
        ${text}
        console.log('ready')`
      for (let round = 0; round < 5; round++) {
        const { pid, ended } = await asked(user, job, { CALLOFF_INSPECT: 'cancel' })
        const { code, stdout, stderr } = await user.run('tree', pid, '--cancel', 'job')
        assert.deepEqual([code, stdout, stderr], [0, 'job: cancelled\n', ''])
        assert.equal((await ended).code, 0)
      }
    })
  }

  it('refuses a path that means several tokens, and names them', async () => {
    const user = new User()
    const { pid } = await asked(user, job, { CALLOFF_INSPECT: 'cancel' })
    const { stderr, code } = await user.run('tree', pid, '--cancel', 'part')
    assert.equal(code, 1)
    assert.match(stderr, /several tokens with this path\n {2}@\d+ server\/one\/part\n {2}@\d+ server\/two\/part\n$/)
  })

  it('is refused by a process that was not started to allow it', async () => {
    const user = new User()
    const { pid } = await asked(user, job)
    const { stderr, code } = await user.run('tree', pid, '--cancel', 'server')
    assert.equal(code, 1)
    assert.match(stderr, /has refused: it does not allow that; start it with CALLOFF_INSPECT=cancel/)
    assert.equal((await reportOf(user, pid)).snapshot.cancels.length, 0)
  })

  it('needs a process, and --reason needs --cancel', async () => {
    const user = new User()
    for (const args of [
      ['--cancel', 'server'],
      ['1', '--reason', 'why'],
      ['1', '--cancel', 'a', '--watch'],
    ]) {
      assert.equal((await user.run('tree', ...args)).code, 2, args.join(' '))
    }
  })
})

describe('calloff tree NAME', () => {
  it('asks the holders on this host, and says which holders cannot be asked', async () => {
    const user = new User()
    const server = await user.serve()
    const holder = `import { connectHub } from ${at('calloff/remote')}
      const hub = await connectHub(${JSON.stringify(server.url)})
      const token = hub.open('deploy')
      await token.ready
      token.onCancel(() => {})
      setInterval(() => {}, 1_000)
      console.log('ready')`
    const { pid } = await asked(user, holder)
    const mute = user.node([program(user, holder, 'mute.mjs')])
    await mute.printed('ready')
    const { stdout, stderr, code } = await user.run('tree', 'deploy')
    assert.equal(code, 0)
    assert.match(stdout, new RegExp(`^node app.mjs \\(process ${pid}, `))
    assert.match(stdout, /deploy/)
    assert.match(
      stderr,
      new RegExp(
        `^calloff: deploy is held by process ${mute.child.pid} on ${hostname()} \\(open\\), which cannot be asked`,
      ),
    )
    const none = await user.run('tree', 'nothing')
    assert.deepEqual([none.code, none.stderr], [1, 'calloff: nothing has no holders\n'])
    server.child.kill()
  })
})

describe('calloff tree --watch', () => {
  it('prints a new drawing when something has changed, and ends with the process', async () => {
    const user = new User()
    const { pid, child } = await asked(user, HANGING)
    const watch = user.start(['tree', pid, '--watch', '--every', '100ms'])
    await watch.printed('has not stopped')
    child.kill('SIGKILL')
    const { stdout, code } = await watch.ended
    assert.equal(code, 0)
    assert.equal(stdout.split('has not stopped').length, 2, 'it was drawn once')
    assert.match(stdout, /has ended\n$/)
  })

  it('keeps a screen of its own up to date in a terminal, until Ctrl+C', { skip: noTerminal }, async () => {
    const user = new User()
    const { pid } = await asked(user, HANGING)
    using terminal = new Terminal(user)
    terminal.type(`calloff tree ${pid} --watch --every 100ms; echo "code $?"`)
    await terminal.shows(/\d\d:\d\d:\d\d\n\nnode app\.mjs .*\n(.*\n)*has not stopped/)
    terminal.press('C-c')
    const screen = await terminal.shows(/\^?C?\n?.*\$$/)
    assert.doesNotMatch(screen, /has not stopped/)
  })
})

describe('the inspector of a process', { concurrency: 2 }, () => {
  it('changes neither output nor exit code, and does not keep the process alive', async () => {
    const user = new User()
    for (const text of [
      'process.exitCode = 3; console.log(1)',
      'console.log(1); process.exit(3)',
      'console.log(1); setTimeout(() => process.exit(3), 300)',
    ]) {
      const { stdout, stderr, code } = await user.node([...inspector, program(user, text)]).ended
      assert.deepEqual([stdout, stderr, code], ['1\n', '', 3], text)
    }
  })

  it('is of the main thread, also where other threads load it', async () => {
    const user = new User()
    const { child } = await asked(
      user,
      `import { Worker } from 'node:worker_threads'
       import { once } from 'node:events'
       const worker = new Worker(\`import ${at('calloff/inspector')}; setInterval(() => {}, 1e6); postMessage(1)\`.replace('postMessage', 'import { parentPort } from "node:worker_threads"; parentPort.postMessage'), { eval: true })
       await once(worker, 'message')
       console.log('ready')`,
    )
    assert.deepEqual(
      socketsOf(user).map((name) => name.split('-')[1]),
      [String(child.pid)],
    )
  })

  it('has a socket of its user alone, and removes it at the end', { skip: noSockets }, async () => {
    const user = new User()
    mkdirSync(join(user.folder, 'calloff'), { mode: 0o777 })
    const { child, ended } = await asked(user, `${HANGING}\nprocess.on('SIGTERM', () => process.exit(0))`)
    const [socket = ''] = socketsOf(user)
    assert.equal(lstatSync(join(user.folder, 'calloff', socket)).mode & 0o777, 0o600)
    assert.equal(lstatSync(join(user.folder, 'calloff')).mode & 0o777, 0o700)
    child.kill('SIGTERM')
    await ended
    assert.deepEqual(socketsOf(user), [])
  })

  const folders: readonly {
    readonly what: string
    readonly skip?: string | false
    readonly lay: (folder: string, user: User) => void
  }[] = [
    {
      what: 'a link',
      lay(folder, user) {
        mkdirSync(join(user.folder, 'elsewhere'), { mode: 0o700 })
        symlinkSync(join(user.folder, 'elsewhere'), folder)
      },
    },
    {
      what: 'of another user',
      skip: !isRoot && 'only root can give a folder to another user',
      lay(folder) {
        mkdirSync(folder, { mode: 0o777 })
        chownSync(folder, anotherUser, anotherUser)
      },
    },
    {
      what: 'in a place where every user may rename it',
      lay(folder, user) {
        mkdirSync(folder, { mode: 0o700 })
        chmodSync(user.folder, 0o777)
      },
    },
    { what: 'a file', lay: (folder) => writeFileSync(folder, '') },
  ]
  for (const { what, skip = noSockets, lay } of folders) {
    it(`makes no socket in a folder that is ${what}, says so, and lets the program run`, { skip }, async () => {
      const user = new User()
      lay(join(user.folder, 'calloff'), user)
      const { stdout, stderr, code } = await user.node([
        ...inspector,
        program(user, 'setTimeout(() => console.log("done"), 100)'),
      ]).ended
      assert.deepEqual([stdout, code], ['done\n', 0])
      assert.match(stderr, /InspectorWarning: calloff tree cannot ask this process: /)
      assert.deepEqual(
        existsSync(join(user.folder, 'elsewhere')) && readdirSync(join(user.folder, 'elsewhere')),
        existsSync(join(user.folder, 'elsewhere')) && [],
      )
      assert.match((await user.run('tree')).stderr, /no process can be asked/)
    })
  }

  it('removes the socket of a killed process, and nothing else', { skip: noSockets }, async () => {
    const user = new User()
    const { child, ended, pid } = await asked(user, HANGING)
    child.kill('SIGKILL')
    await ended
    const folder = join(user.folder, 'calloff')
    const [left = ''] = socketsOf(user)
    assert.notEqual(left, '')
    writeFileSync(join(folder, `inspect-${pid}-00000000`), 'private')
    symlinkSync(join(folder, left), join(folder, `inspect-${pid}-00000001`))
    // Of another container, whose process cannot be seen here.
    const elsewhere = createServer((socket) => socket.destroy()).listen(join(folder, `inspect-${pid}-00000002`))
    writeFileSync(join(folder, 'hub.sock.journal'), '')
    const { stdout } = await user.run('tree')
    assert.match(stdout, new RegExp(`\n${pid} .*has ended the connection without an answer\n$`))
    assert.deepEqual(readdirSync(folder).toSorted(), [
      'hub.sock.journal',
      ...[0, 1, 2].map((one) => `inspect-${pid}-0000000${one}`),
    ])
    elsewhere.close()
  })

  it('asks the process that runs, and not one before it which had the same id', { skip: noSockets }, async () => {
    const user = new User()
    const { pid } = await asked(user, HANGING, { CALLOFF_INSPECT: 'cancel' })
    const left = JSON.stringify(join(user.folder, 'calloff', `inspect-${pid}-00000000`))
    const ends = `require('node:net').createServer().listen(${left}, () => process.kill(process.pid, 'SIGKILL'))`
    spawnSync(process.execPath, ['-e', ends])
    assert.equal(socketsOf(user).length, 2)
    assert.doesNotMatch((await user.run('tree', pid)).stdout, /has ended/)
    assert.equal((await user.run('tree', pid, '--cancel', 'server')).code, 0)
  })

  it('answers after questions that are none', { skip: noSockets }, async () => {
    const user = new User()
    const { pid } = await asked(user, HANGING)
    const path = join(user.folder, 'calloff', socketsOf(user)[0] ?? '')
    const questions = [
      '\n',
      '{"ask":"everything"}\n',
      '[]\n',
      'null\n',
      '{"ask":"cancel","path":1}\n',
      'x'.repeat(1e6),
      '{"ask":"tree"}\n'.repeat(1e4),
    ]
    for (const question of questions) {
      const socket = connect(path)
      socket.on('error', () => {})
      socket.write(question)
      const closed = new Promise((resolve) => socket.once('close', resolve))
      socket.resume()
      await closed
    }
    // These say nothing, and are held open.
    const silent = Array.from({ length: 8 }, () => connect(path).on('error', () => {}))
    assert.match((await user.run('tree', pid)).stdout, /has not stopped/)
    for (const socket of silent) socket.destroy()
  })
})

describe('calloff tree, asking what is not calloff', { concurrency: 2, skip: noSockets }, () => {
  const good = { pid: 1, command: 'node', since: 0, runtime: 'node 1', mayCancel: false }
  const node = { id: 1, what: 'token', parents: [], state: 'live' }
  const withNodes = (nodes: unknown) =>
    JSON.stringify({ ...good, snapshot: { at: 0, nodes, cancels: [], lateErrors: [], omitted: 0 } })
  const bad: Readonly<Record<string, string>> = {
    'no JSON': '}{',
    nothing: '',
    null: 'null',
    'a list': '[]',
    'no process id': JSON.stringify({ ...good, pid: 'one' }),
    'no time': JSON.stringify({ ...good, since: null }),
    'nodes that are no list': withNodes({}),
    'a node of no kind': withNodes([{ ...node, what: 'toString' }]),
    'a parent that is no id': withNodes([{ ...node, parents: ['__proto__'] }]),
    'too many nodes': withNodes(Array.from({ length: 1_001 }, () => node)),
    'too long an answer': ' '.repeat(33 * 1_048_576),
  }

  async function answers(answer: string, user = new User()) {
    const folder = join(user.folder, 'calloff')
    mkdirSync(folder, { mode: 0o700 })
    const server = createServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', () => socket.end(answer))
    })
    await new Promise<void>((resolve) => server.listen(join(folder, `inspect-${process.pid}-00000000`), resolve))
    return { user, pid: String(process.pid), [Symbol.dispose]: () => void server.close() }
  }

  for (const [what, answer] of Object.entries(bad)) {
    it(`says that it does not understand ${what}`, async () => {
      using process = await answers(answer)
      for (const args of [[process.pid], [process.pid, '--cancel', 'a'], [process.pid, '--json']]) {
        const { stdout, stderr, code } = await process.user.run('tree', ...args)
        assert.equal(code, 1)
        assert.doesNotMatch(stderr, /\n.*\n/)
        assert.match(
          `${stdout}${stderr}`,
          args.includes('--json')
            ? /has sent|without an answer|too long/
            : /has sent an answer that calloff tree does not understand|without an answer|too long/,
        )
      }
    })
  }

  it('prints no character that a terminal obeys, and no text without end', async () => {
    const evil = `\u001B]0;owned\u0007\u202E\n\r${'x'.repeat(1e5)}`
    const event = { at: 0, kind: evil, what: evil, reason: evil, cancelledAt: evil, operation: evil, message: evil }
    const nodes = ['token', 'scope', 'task'].map((what, id) => ({
      id,
      what,
      name: evil,
      call: evil,
      left: evil,
      parents: [(id + 1) % 3, 3, id],
      state: 'cancelled',
      since: -1e300,
      startedAt: evil,
      isBodyRunning: true,
      cancelled: event,
    }))
    const roots = [
      { ...nodes[1], id: 3, parents: [] },
      { ...nodes[2], id: 4, parents: [3, 4] },
    ]
    const snapshot = { at: 1e300, nodes: [...nodes, ...roots], cancels: [event], lateErrors: [event], omitted: 7 }
    const busy = { since: 0, within: { what: evil, since: 0, startedAt: evil }, frames: [evil] }
    using process = await answers(JSON.stringify({ ...good, command: evil, runtime: evil, busy, snapshot }))
    for (const args of [[], [process.pid], [process.pid, '--json']]) {
      const { stdout, stderr, code } = await process.user.run('tree', ...args)
      assert.deepEqual([code, stderr], [0, ''])
      for (const one of '\u001B\u0007\r\u202E') assert.ok(!stdout.includes(one))
      assert.ok(
        Math.max(...stdout.split('\n').map(({ length }) => length)) < (args.includes('--json') ? 100_000 : 20_000),
      )
      assert.match(stdout, /owned/)
    }
  })

  it('says that a process which is stopped does not answer', { skip: noSockets }, async () => {
    const user = new User()
    const { child, pid } = await asked(user, HANGING)
    child.kill('SIGSTOP')
    const { stdout, code } = await user.run('tree', pid)
    assert.deepEqual([stdout, code], [`process ${pid}: did not answer within 20s\n`, 1])
    child.kill('SIGCONT')
    assert.match((await user.run('tree', pid)).stdout, /has not stopped/)
  })

  it(
    'is not fooled by a socket of another user',
    { skip: !isRoot && 'only root can act as another user' },
    async () => {
      const user = new User()
      const folder = join(user.folder, 'calloff')
      mkdirSync(folder)
      chmodSync(user.folder, 0o755)
      chownSync(folder, anotherUser, anotherUser)
      const path = JSON.stringify(join(folder, 'inspect-1-00000000'))
      const text = `process.setuid(${anotherUser})
      require('node:net').createServer(() => console.log('asked')).listen(${path}, () => console.log('listens'))`
      const theirs = user.node(['-e', text])
      await theirs.printed('listens')
      assert.match((await user.run('tree')).stderr, /no process can be asked/)
      assert.equal((await user.run('tree', '1')).code, 1)
      theirs.child.kill('SIGKILL')
      assert.equal((await theirs.ended).stdout, 'listens\n')
      assert.equal(readdirSync(folder).length, 1, 'it is left where it is')
    },
  )
})
