import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { withTime } from '../enough-time.js'
import { skipWithout } from '../remote/servers.js'
import { pathOf, run, start, startProgram } from './run.js'

const program = 'checksum/main'
const signals = { skip: process.platform === 'win32' && 'Windows has no signals to send' }
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

// A folder to stand in, with a folder to hash in it.
let cwd: string
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'calloff-checksum-'))
  mkdirSync(join(cwd, 'data', 'sub'), { recursive: true })
  for (const name of ['b.txt', 'a.txt', 'sub/c.txt']) writeFileSync(join(cwd, 'data', name), name)
})
afterEach(() => rmSync(cwd, { recursive: true }))

const inFolder = (name: string): string => join(cwd, name)
const manifest = (): string => readFileSync(inFolder('checksums.txt'), 'utf8')
const hash = (...args: string[]) => run(program, args, cwd)

/** A file of 64 GB that takes no room, so that there is always time to call it off. */
function hugeFile(name: string): void {
  writeFileSync(inFolder(name), '')
  truncateSync(inFolder(name), 64e9)
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await pause(5)
}

/** Nothing new, and the manifest of the time before as it was. */
function assertUntouched(...names: string[]): void {
  assert.deepEqual(readdirSync(cwd).toSorted(), ['data', ...names].toSorted())
}

const linesOf = (names: readonly string[]): string => names.map((name) => `${sha256(name)}  data/${name}\n`).join('')

describe('checksum: a run to the end', () => {
  it('writes a manifest with every file, in order, and exits with 0', async () => {
    const { code, stdout, stderr } = await hash('data')
    assert.equal(manifest(), linesOf(['a.txt', 'b.txt', 'sub/c.txt']))
    assert.match(
      stdout,
      /^hashed 3 files, 19 B in [\d.]+ s \([\d,]+ files\/s, [\d.]+ k?B\/s\)\nwrote checksums\.txt\n$/,
    )
    assert.deepEqual([code, stderr], [0, ''])
    assertUntouched('checksums.txt')
  })

  it('replaces the manifest that was there, and does not hash its own files', async () => {
    writeFileSync(inFolder('checksums.txt'), 'old')
    const { code } = await hash('.')
    assert.equal(code, 0)
    assert.equal(manifest(), linesOf(['a.txt', 'b.txt', 'sub/c.txt']))
  })

  it('writes where --manifest says, escapes names as sha256sum does, and follows links to files only', async () => {
    writeFileSync(inFolder('data/line\nbreak'), 'x')
    symlinkSync('a.txt', inFolder('data/link'))
    symlinkSync('..', inFolder('data/sub/up'))
    const { code } = await hash('data', '--manifest', 'sums')
    assert.equal(code, 0)
    const text = readFileSync(inFolder('sums'), 'utf8')
    assert.equal(
      text,
      `${linesOf(['a.txt', 'b.txt'])}\\${sha256('x')}  data/line\\nbreak\n${sha256('a.txt')}  data/link\n${linesOf(['sub/c.txt'])}`,
    )
    const check = spawnSync('sha256sum', ['--check', '--quiet', 'sums'], { cwd, encoding: 'utf8' })
    if (check.error === undefined) assert.deepEqual([check.status, check.stdout], [0, ''])
  })

  it('hashes the node_modules of the project if no folder is given', async () => {
    const { code, stdout } = await hash('--files', '3')
    assert.match(stdout, /got as far as 3 files/)
    assert.equal(code, 124)
  })
})

describe('checksum: what cannot be read', () => {
  it('is named, the rest is hashed, and the exit code is 1', async () => {
    symlinkSync('nowhere', inFolder('data/dangling'))
    symlinkSync('loop', inFolder('data/loop'))
    const { code, stdout, stderr } = await hash('missing', 'data')
    assert.deepEqual(stderr.split('\n'), [
      'cannot read missing: no such file or directory',
      'cannot read data/dangling: no such file or directory',
      'cannot read data/loop: too many symbolic links encountered',
      '',
    ])
    assert.match(stdout, /\nwrote checksums\.txt, without 3 that could not be read\n$/)
    assert.equal(manifest(), linesOf(['a.txt', 'b.txt', 'sub/c.txt']))
    assert.equal(code, 1)
  })

  it('a file that is gone before its turn is one of those', async () => {
    hugeFile('data/a-huge')
    for (let i = 0; i < 30; i++) writeFileSync(inFolder(`data/sub/f${i}`), '')
    const { child, outcome } = start(program, ['data', '--for', '5s'], cwd)
    await until(() => readdirSync(cwd).length > 1)
    await pause(200) // a-huge keeps all waiting behind it
    rmSync(inFolder('data/sub'), { recursive: true })
    truncateSync(inFolder('data/a-huge'), 1)
    const { code, stderr } = await outcome
    assert.equal(child.exitCode, code)
    assert.match(stderr, /^cannot read data\/sub.*: no such file or directory\n/)
    assert.equal(code, 1)
  })

  it('if it is everything, no manifest is written', async () => {
    const { code, stderr } = await hash('missing')
    assert.deepEqual(stderr.split('\n'), [
      'cannot read missing: no such file or directory',
      'checksum: nothing could be read, so nothing was written',
      '',
    ])
    assert.equal(code, 1)
    assertUntouched()
  })

  it('a manifest that cannot be written is one clear line', async () => {
    const { code, stderr } = await hash('data', '--manifest', 'missing/sums')
    assert.equal(stderr, 'checksum: cannot write missing/sums: no such file or directory\n')
    assert.equal(code, 1)
  })
})

describe('checksum: cancelled', () => {
  beforeEach(() => writeFileSync(inFolder('checksums.txt'), 'old'))
  afterEach(() => assert.equal(manifest(), 'old'))

  it('by its time limit, within a file', async () => {
    hugeFile('data/huge')
    const { code, lines } = await hash('data', '--for', '300ms')
    assert.equal(lines[0], 'cancelled by --for: the time is up')
    assert.match(lines[1] ?? '', /^got as far as 2 files, [\d.]+ MB in [\d.]+ s \(.*\); nothing was written$/)
    assert.equal(code, 124)
    assertUntouched('checksums.txt')
  })

  it('by its number of files, after exactly as many', async () => {
    const { code, lines } = await hash('data', '--files', '2')
    assert.equal(lines[0], 'cancelled by --files: that many files are hashed')
    assert.match(lines[1] ?? '', /^got as far as 2 files,/)
    assert.equal(code, 124)
    assertUntouched('checksums.txt')
  })

  it('by a stop file that was there from the start, or that appears', async () => {
    hugeFile('data/huge')
    const running = start(program, ['data', '--stop-file', 'stop'], cwd)
    await until(() => readdirSync(cwd).some((name) => name.endsWith('.tmp')))
    writeFileSync(inFolder('stop'), '')
    for (const { code, lines } of [await running.outcome, await hash('data', '--stop-file', 'stop')]) {
      assert.equal(lines[0], 'cancelled by --stop-file: the file is there')
      assert.equal(code, 124)
    }
    assertUntouched('checksums.txt', 'stop')
  })

  for (const [signal, code] of [['SIGINT', 130] as const, ['SIGTERM', 143] as const]) {
    it(`by ${signal}, with exit code ${code}`, signals, async () => {
      hugeFile('data/huge')
      const { child, outcome } = start(program, ['data'], cwd)
      await until(() => readdirSync(cwd).some((name) => name.endsWith('.tmp')))
      child.kill(signal)
      const end = await outcome
      assert.equal(end.lines[0], `cancelled by the process signal ${signal}`)
      assert.deepEqual([end.code, end.signal, end.stderr], [code, null, ''])
      assertUntouched('checksums.txt')
    })
  }
})

describe('checksum: as many files as allowed', () => {
  it('is no reason to call it off', async () => {
    const { code } = await hash('data', '--files', '3')
    assert.equal(code, 0)
    assert.equal(manifest().split('\n').length, 4)
  })
})

describe('checksum: progress', () => {
  it('comes in plain lines where there is no terminal, with what is left of the deadline', async () => {
    hugeFile('data/huge')
    const stderr = await withTime(2_500, async (ms) => {
      const { stderr } = await hash('data', '--for', `${ms}ms`)
      return stderr === '' ? undefined : stderr
    })
    assert.match(
      stderr,
      /^(\d files, [\d.]+ [kMG]?B in [1-9]\d*\.\d s \([\d,]+ files\/s, [\d.]+ [kMG]?B\/s\), \d+\.\d s left\n)+$/,
    )
  })

  const hasScript = spawnSync('script', ['-qec', 'true', '/dev/null']).status === 0
  const skip = skipWithout('script(1)', hasScript ? 'script' : undefined, 'bsdutils')
  it('is one line that is rewritten in a terminal, and is gone in the end', { skip }, async () => {
    hugeFile('data/huge')
    const { states, after, code } = await withTime(500, async (ms) => {
      const command = `stty cols 70; '${process.execPath}' '${pathOf(program)}' data --for ${ms}ms`
      const { stdout, code } = await startProgram('script', ['-qec', command, '/dev/null'], cwd).outcome
      const [shown = '', ...after] = stdout.split('\r\n')
      const states = shown.split('\r\u001B[K')
      return states.length > 2 ? { states, after, code } : undefined
    })
    for (const state of states.slice(1, -1)) {
      assert.ok(state.length < 70, state)
      assert.match(state, /^\d files, [\d.]+ [kMG]?B in \d+\.\d s \(.*\), \d+\.\d s left/)
    }
    assert.equal(states.at(-1), 'cancelled by --for: the time is up')
    assert.equal(after.length, 2)
    assert.equal(code, 124)
  })
})

describe('checksum: the command line', () => {
  const wrong: Record<string, string[]> = {
    '--for takes a duration such as 500ms, 2s or 1m30s, not "soon"': ['--for', 'soon'],
    '--files takes a whole number such as 1000, not "1.5"': ['--files', '1.5'],
    "Unknown option '--bogus'": ['--bogus'],
    "Option '--for <value>' argument missing": ['--for'],
  }
  for (const [message, args] of Object.entries(wrong)) {
    it(`${args.join(' ')} is wrong usage: one clear line and exit code 2`, async () => {
      const { code, stdout, stderr } = await hash(...args)
      assert.deepEqual([code, stdout, stderr], [2, '', `checksum: ${message}; --help shows what there is\n`])
      assert.ok(!existsSync(inFolder('checksums.txt')))
    })
  }

  it('--help shows all options', async () => {
    const { code, stdout } = await hash('--help')
    for (const option of ['--for', '--files', '--stop-file', '--manifest']) assert.ok(stdout.includes(option))
    assert.equal(code, 0)
  })

  it('takes durations as people write them', async () => {
    for (const duration of ['1m30s', '1.5s', '2000ms', '1h']) {
      assert.equal((await hash('data', '--for', duration)).code, 0)
    }
  })
})
