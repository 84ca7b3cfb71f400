import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { release } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { sample } from '../effort.js'
import { found, skipWithout } from '../remote/servers.js'
import { newFolder, User } from './calloff.js'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const pages = join(root, 'docs', 'reference', 'cli')
const names = readdirSync(pages)
  .filter((file) => file.endsWith('.md') && file !== 'README.md')
  .map((file) => file.replace('.md', ''))
const user = new User()

describe('the help', { concurrency: 4 }, () => {
  it('lists every command, and each has a page', async () => {
    const { code, stdout } = await user.run('--help')
    assert.equal(code, 0)
    const listed = [...stdout.matchAll(/^ {2}([a-z]+) {2,}/gm)].map(([, name]) => name)
    assert.deepEqual(new Set(listed), new Set(names))
    const overview = readFileSync(join(pages, 'README.md'), 'utf8')
    for (const name of names) assert.ok(overview.includes(`[\`${name}\`](${name}.md)`), name)
    assert.equal((await user.run('help')).stdout, stdout)
  })

  for (const name of names) {
    it(`of ${name} is what its page says, and has examples`, async () => {
      const { code, stdout, stderr } = await user.run(name, '--help')
      assert.deepEqual([code, stderr], [0, ''])
      assert.match(stdout, /\nExamples:\n {2}/)
      const [, block] =
        /^# calloff \w+\n\n```text\n([^]*?)```/.exec(readFileSync(join(pages, `${name}.md`), 'utf8')) ?? []
      assert.equal(block, stdout, 'npm run generate writes the pages')
      for (const line of stdout.split('\n')) assert.ok(line.length <= 80, line)
      assert.equal((await user.run('help', name)).stdout, stdout)
    })
  }

  it('--version is the version of the package', async () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
    assert.equal((await user.run('--version')).stdout, `${version}\n`)
    assert.equal((await user.run('-V')).stdout, `${version}\n`)
  })

  it('--version --json is what a report of a fault needs, on one line', async () => {
    const { code, stdout, stderr } = await user.run('--version', '--json')
    assert.deepEqual([code, stderr, stdout.indexOf('\n')], [0, '', stdout.length - 1])
    const manifest = (folder: string) =>
      JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')) as {
        readonly version: string
        readonly peerDependencies: Readonly<Record<string, string>>
      }
    const { version, peerDependencies } = manifest('.')
    assert.deepEqual(JSON.parse(stdout), {
      version,
      runtime: { name: 'node', version: process.versions.node },
      platform: { os: process.platform, release: release(), arch: process.arch },
      engines: Object.fromEntries(
        Object.keys(peerDependencies)
          .filter((name) => name !== '@opentelemetry/api') // the one peer that is no engine
          .map((name) => [name, manifest(join('node_modules', name)).version]),
      ),
    })
  })
})

/** What is typed, and the one line that says what is wrong with it. */
const wrong: readonly (readonly [line: string, words: string])[] = [
  ['rum', 'there is no command "rum"; did you mean run?'],
  ['frobnicate', 'there is no command "frobnicate"; see calloff --help'],
  ['--hub x ls', 'there is no option --hub before a command; see calloff --help'],
  ['--version --yaml', '--version takes no argument but --json, got "--yaml"'],
  ['run', 'calloff run needs [--] COMMAND [ARGS…]; see calloff run --help'],
  ['run --', 'calloff run needs [--] COMMAND [ARGS…]; see calloff run --help'],
  ["run -- ''", 'the command must not be empty'],
  ['run --timout 3s -- true', 'there is no option --timout of calloff run; did you mean --timeout?'],
  ['run -x -- true', 'there is no option -x of calloff run; see calloff run --help'],
  ['run --timeout -- true', '--timeout needs a value: --timeout TIME'],
  ['run --timeout', '--timeout needs a value: --timeout TIME'],
  ['run --timeout 30 -- true', '--timeout must be a duration such as 30s, 500ms or 1h30m, got "30"'],
  ['run --timeout=-3s -- true', '--timeout must be a duration such as 30s, 500ms or 1h30m, got "-3s"'],
  ['run --grace 5x -- true', '--grace must be a duration such as 30s, 500ms or 1h30m, got "5x"'],
  ['run --signal FOO -- true', '--signal must be a signal such as TERM, INT or 15, got "FOO"'],
  ['run -s 36 -- true', '-s must be a signal such as TERM, INT or 15, got "36"'],
  ['run --quiet=yes -- true', '--quiet takes no value, got "yes"'],
  ["run --name '' -- true", 'a name must have 1 to 256 bytes, got 0'],
  ['cancel', 'calloff cancel needs NAME…; see calloff cancel --help'],
  ['cancel --reason --wait 3s x', '--reason needs a value: --reason TEXT'],
  ['wait a b', 'calloff wait takes NAME, so "b" is too many'],
  ['serve here', 'calloff serve takes no arguments, so "here" is too many'],
  ['serve --listen redis://localhost', '--listen takes unix:PATH or tcp://HOST:PORT, not redis:'],
  [
    'serve --listen tcp://127.0.0.1',
    'the hub must be a URL such as unix:/run/hub.sock or tcp://localhost:4747, and tcp: needs a port',
  ],
  ['ls --hub here', 'the hub must be a URL such as unix:/run/hub.sock or tcp://localhost:4747, got "here"'],
  [
    'ls --hub gopher://x',
    'the hub must be a URL such as unix:/run/hub.sock or tcp://localhost:4747, and gopher: is not supported',
  ],
  ['ls --start --hub redis://localhost', '--start works only for a hub at a socket of this machine'],
  ['watch --every 1ms', '--every must be 100ms or more'],
  ['completion powershell', 'there is no completion for "powershell"; there is bash, zsh and fish'],
  ['help nothing', 'there is no command "nothing"; see calloff --help'],
]

describe('wrong usage', { concurrency: 4 }, () => {
  for (const [line, words] of sample(wrong)) {
    it(`calloff ${line}`, async () => {
      const { code, stdout, stderr } = await user.shell(`calloff ${line}`)
      assert.deepEqual([code, stdout, stderr], [2, '', `calloff: ${words}\n`])
    })
  }

  it('without any command it shows what there is', async () => {
    const { code, stdout, stderr } = await user.run()
    assert.deepEqual([code, stdout], [2, ''])
    assert.equal(stderr, (await user.run('--help')).stdout)
  })
})

describe('completion', () => {
  const bash = async (...words: string[]) => {
    const list = words.map((word) => `'${word}'`).join(' ')
    const { stdout, stderr } = await user.shell(
      `source <(calloff completion bash); COMP_WORDS=(calloff ${list}); COMP_CWORD=${words.length}; _calloff; printf '%s\\n' "\${COMPREPLY[@]}"`,
    )
    assert.equal(stderr.replaceAll(/.*compopt.*\n/g, ''), '')
    return stdout.split('\n').filter(Boolean)
  }

  it('in bash completes commands, options, names and the command to run, and takes no name for code', async () => {
    const server = await user.serve()
    const trap = join(newFolder(), 'trap')
    await user.run('cancel', 'deploy-1', 'deploy 2', `deploy-$(touch ${trap})`, 'other')
    assert.deepEqual(await bash('st'), ['status'])
    assert.deepEqual(await bash('cancel', '--re'), ['--reason'])
    const [first, second, third, ...more] = await bash('cancel', 'dep')
    assert.deepEqual([first, second, more], ['deploy\\ 2', `deploy-\\$\\(touch\\ ${trap}\\)`, []])
    assert.equal(third, 'deploy-1')
    assert.throws(() => readFileSync(trap), { code: 'ENOENT' })
    assert.ok((await bash('run', '--timeout', '3s', 'sle')).includes('sleep'))
    assert.deepEqual(await bash('run', '--name', 'oth'), ['other'])
    assert.deepEqual(await bash('run', '--signal', 'US'), ['USR1', 'USR2'])
    assert.deepEqual(await bash('completion', 'z'), ['zsh'])
    server.child.kill('SIGTERM')
    await server.ended
    assert.deepEqual(await bash('cancel', 'dep'), [])
  })

  for (const shell of ['bash', 'zsh', 'fish']) {
    it(`of ${shell} is read without an error`, { skip: skipWithout(shell, found(shell)) }, async () => {
      const { code, stdout, stderr } = await user.shell(
        `calloff completion ${shell} > ${shell}.script && ${shell} -n ${shell}.script`,
      )
      assert.deepEqual([code, stdout, stderr], [0, '', ''])
    })
  }

  it('in fish completes options', { skip: skipWithout('fish', found('fish')) }, async () => {
    const { stdout } = await user.shell(
      `calloff completion fish > it.fish; fish -c "source it.fish; complete -C 'calloff cancel --re'; complete -C 'calloff sta'"`,
    )
    assert.match(stdout, /^--reason\t/m)
    assert.match(stdout, /^status\t/m)
  })
})
