import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import process from 'node:process'
import { describe, it } from 'node:test'
import type * as tableModule from '../../dist/system/process-table.js'
import type * as taskkillModule from '../../dist/system/taskkill.js'

const folder = new URL('../../../dist/system/', import.meta.url)
const table = (await import(new URL('process-table.js', folder).href)) as typeof tableModule
const { taskkill } = (await import(new URL('taskkill.js', folder).href)) as typeof taskkillModule

const skip = process.platform === 'win32' && 'Windows has no such table'
const onlyLinux = process.platform !== 'linux' && 'only Linux has it'

describe('the table of processes', { skip }, () => {
  it('of /proc and of ps say the same', { skip: onlyLinux }, async () => {
    const child = spawn('sleep', ['3600'], { detached: true })
    await once(child, 'spawn')
    const pid = Number(child.pid)
    try {
      const fromProc = await table.readTable()
      const fromPs = await table.askPs()
      for (const found of [fromProc, fromPs]) {
        const entry = found?.get(pid)
        assert.deepEqual([entry?.parent, entry?.group, entry?.isZombie], [process.pid, pid, false])
        assert.equal(found?.get(process.pid)?.parent, process.ppid)
      }
      assert.equal(fromProc?.get(pid)?.session, pid)
      assert.equal((await table.askPs())?.get(pid)?.started, fromPs?.get(pid)?.started)
      assert.notEqual(fromProc?.get(pid)?.started, fromProc?.get(process.pid)?.started)
    } finally {
      child.kill('SIGKILL')
    }
    await once(child, 'close')
    assert.equal((await table.askPs())?.has(pid), false)
  })

  it('of /proc: a name may have spaces and parentheses; a process is no zombie while it has threads', () => {
    const line = (state: string, threads: number) =>
      `42 (a) b (c)) ${state} 7 40 39 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 ${threads} 0 2240304 9 9`
    assert.deepEqual(table.parseStat(line('S', 1)), {
      pid: 42,
      parent: 7,
      group: 40,
      session: 39,
      started: '2240304',
      isZombie: false,
    })
    assert.equal(table.parseStat(line('Z', 1)).isZombie, true)
    assert.equal(table.parseStat(line('Z', 3)).isZombie, false)
  })

  it('of ps: as macOS writes it', () => {
    const text = [
      '    1     0     1 Ss   Fri Nov 20 09:00:00 2026    ',
      ' 4321   400  4321 S+   Sat Nov 21 15:00:01 2026    ',
      ' 4322  4321  4321 Z+   Sat Nov 21 15:00:02 2026    ',
    ].join('\n')
    assert.deepEqual(
      [...table.parsePs(text).values()],
      [
        { pid: 1, parent: 0, group: 1, session: undefined, started: 'Fri Nov 20 09:00:00 2026', isZombie: false },
        {
          pid: 4321,
          parent: 400,
          group: 4321,
          session: undefined,
          started: 'Sat Nov 21 15:00:01 2026',
          isZombie: false,
        },
        {
          pid: 4322,
          parent: 4321,
          group: 4321,
          session: undefined,
          started: 'Sat Nov 21 15:00:02 2026',
          isZombie: true,
        },
      ],
    )
  })

  it('the mark of a process is found in the environment it was started with', { skip: onlyLinux }, async () => {
    const child = spawn('sleep', ['3600'], { env: { ...process.env, CALLOFF_TREE: 'outer mine' } })
    await once(child, 'spawn')
    assert.equal(table.hasMark(Number(child.pid), 'mine'), true)
    assert.equal(table.hasMark(Number(child.pid), 'other'), false)
    child.kill('SIGKILL')
    await once(child, 'close')
    assert.equal(table.hasMark(Number(child.pid), 'mine'), undefined)
  })
})

describe('on Windows', () => {
  it('taskkill ends the tree by force, and is found by its full path', () => {
    const args = ['/PID', '42', '/T', '/F']
    assert.deepEqual(taskkill(42, { SystemRoot: 'C:\\WINDOWS' }), {
      command: 'C:\\WINDOWS\\System32\\taskkill.exe',
      args,
    })
    assert.deepEqual(taskkill(42, { windir: 'D:\\Win' }).command, 'D:\\Win\\System32\\taskkill.exe')
    for (const env of [{}, { SystemRoot: 'relative' }, { SystemRoot: '\\\\server\\share' }])
      assert.equal(taskkill(42, env).command, 'C:\\Windows\\System32\\taskkill.exe')
  })
})
