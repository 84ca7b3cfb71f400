/** What is removed from a folder for temporary files, where other users can put a folder or a link of any name. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { removeSocketFolder } from './inside.js'

const isWindows = process.platform === 'win32'
const isRoot = process.getuid?.() === 0
const noSockets = isWindows && 'pipes have no folders on Windows'
const anotherUser = 65_534

/** The id of a process that has ended, in a name as a killed lender leaves it. */
const ended = spawnSync(process.execPath, ['-e', '']).pid
const left = `calloff-${ended}-abcdef`

let temporary = ''
beforeEach(() => {
  temporary = mkdtempSync(join(tmpdir(), 'calloff-system-'))
})
afterEach(() => rmSync(temporary, { recursive: true, force: true }))

/** A socket that no process has any more, as a process that was killed leaves it. */
function deadSocket(path: string): void {
  const program = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
  spawnSync(process.execPath, ['-e', program])
  assert.ok(existsSync(path))
}

/** A folder with a file that must not be lost. */
function privateFolder(name: string): string {
  const folder = join(temporary, name)
  mkdirSync(folder, { mode: 0o700 })
  writeFileSync(join(folder, 'letter'), 'private')
  deadSocket(join(folder, 's'))
  return folder
}

interface Trap {
  readonly what: string
  /** Makes something that looks like the folder of a killed lender; returns what must still be there afterwards. */
  readonly lay: (folder: string) => readonly string[]
  readonly skip?: string | false
}

const onlyRoot = !isRoot && 'only root can give a file to another user'

const traps: readonly Trap[] = [
  {
    what: 'a link to a folder of this user',
    lay(folder) {
      const target = privateFolder('home')
      symlinkSync(target, folder)
      return [join(target, 'letter'), join(target, 's'), folder]
    },
  },
  {
    what: 'a folder of another user',
    skip: onlyRoot,
    lay(folder) {
      mkdirSync(folder, { mode: 0o700 })
      deadSocket(join(folder, 's'))
      chownSync(folder, anotherUser, anotherUser)
      return [join(folder, 's')]
    },
  },
  {
    what: 'a link of another user to a folder of this user',
    skip: onlyRoot,
    lay(folder) {
      const target = privateFolder('home')
      const theirs = join(temporary, 'theirs')
      mkdirSync(theirs)
      chownSync(theirs, anotherUser, anotherUser)
      symlinkSync(target, join(theirs, 'link'))
      symlinkSync(join(theirs, 'link'), folder)
      return [join(target, 'letter'), join(target, 's')]
    },
  },
  {
    what: 'a folder in which others can write',
    lay(folder) {
      mkdirSync(folder)
      deadSocket(join(folder, 's'))
      chmodSync(folder, 0o777)
      return [join(folder, 's')]
    },
  },
  {
    what: 'a folder that holds more than a socket',
    lay(folder) {
      mkdirSync(join(folder, 'inside'), { recursive: true, mode: 0o700 })
      writeFileSync(join(folder, 'inside', 'letter'), 'private')
      deadSocket(join(folder, 's'))
      return [join(folder, 'inside', 'letter')]
    },
  },
  {
    what: 'a file where the socket would be',
    lay(folder) {
      mkdirSync(folder, { mode: 0o700 })
      writeFileSync(join(folder, 's'), 'private')
      return [join(folder, 's')]
    },
  },
  {
    what: 'a folder where the socket would be',
    lay(folder) {
      mkdirSync(join(folder, 's'), { recursive: true, mode: 0o700 })
      writeFileSync(join(folder, 's', 'letter'), 'private')
      return [join(folder, 's', 'letter')]
    },
  },
  {
    what: 'a link where the socket would be',
    lay(folder) {
      const target = privateFolder('home')
      mkdirSync(folder, { mode: 0o700 })
      symlinkSync(join(target, 's'), join(folder, 's'))
      return [join(target, 's'), join(folder, 's')]
    },
  },
  {
    what: 'a folder in a place where every user may rename it',
    lay(folder) {
      mkdirSync(folder, { mode: 0o700 })
      deadSocket(join(folder, 's'))
      chmodSync(temporary, 0o777)
      return [join(folder, 's')]
    },
  },
]

/** Runs a program in a process whose folder for temporary files is the one of the test. */
function lend(): void {
  const program = fileURLToPath(new URL('sweep.child.js', import.meta.url))
  const { stdout, stderr } = spawnSync(process.execPath, [program], {
    env: { ...process.env, TMPDIR: temporary, NODE_TEST_CONTEXT: undefined },
    encoding: 'utf8',
  })
  assert.equal(stdout, 'lent\n', stderr)
}

describe('What a killed lender has left', { skip: noSockets }, () => {
  it('is removed by the next lender', () => {
    const folder = join(temporary, left)
    mkdirSync(folder, { mode: 0o700 })
    deadSocket(join(folder, 's'))
    lend()
    assert.deepEqual(readdirSync(temporary), [])
  })

  for (const { what, lay, skip = false } of traps) {
    it(`is left alone if it is ${what}`, { skip }, () => {
      const kept = lay(join(temporary, left))
      lend()
      for (const path of kept) assert.ok(existsSync(path), `${path} is gone`)
    })

    it(`is left alone by its owner as well, if it has become ${what}`, { skip }, () => {
      const kept = lay(join(temporary, left))
      removeSocketFolder(join(temporary, left), 's')
      for (const path of kept) assert.ok(existsSync(path), `${path} is gone`)
    })
  }
})
