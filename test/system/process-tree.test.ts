import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import process from 'node:process'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import type * as tableModule from '../../dist/system/process-table.js'
import type * as treeModule from '../../dist/system/process-tree.js'

const folder = new URL('../../../dist/system/', import.meta.url)
const { readEntryNow } = (await import(new URL('process-table.js', folder).href)) as typeof tableModule
const { ProcessTree } = (await import(new URL('process-tree.js', folder).href)) as typeof treeModule

const skip = process.platform !== 'linux' && 'only Linux tells the environment of a process'
const inSpace = ['--pid', '--fork', '--mount-proc', '--kill-child']
const canUnshare = () =>
  spawnSync('unshare', [...inSpace, 'sh', '-c', 'echo 9 >/proc/sys/kernel/ns_last_pid']).status === 0
const noSpace = skip || (!canUnshare() && 'not permitted to make a space of process numbers')

async function sleeper(mark: string): Promise<ChildProcess> {
  const child = spawn('sleep', ['3600'], {
    detached: true,
    stdio: 'ignore',
    env: { ...process.env, CALLOFF_TREE: mark },
  })
  await once(child, 'spawn')
  return child
}

const startOf = ({ pid }: ChildProcess) => Number(readEntryNow(Number(pid))?.started)

describe('who does not belong to a tree of processes', { skip }, () => {
  it('is what is older than its leader: its environment is not read', async () => {
    const mark = `mark-of-${process.pid}`
    const older = await sleeper(mark)
    let leader = await sleeper(mark)
    // The system counts in hundredths of a second.
    while (startOf(leader) === startOf(older)) {
      leader.kill('SIGKILL')
      leader = await sleeper(mark)
    }
    const younger = await sleeper(mark)
    try {
      const ending = new ProcessTree(
        {
          pid: Number(leader.pid),
          hasEnded: () => leader.signalCode !== null,
          onEnd: (hear) => void leader.once('exit', hear),
        },
        { hasGroup: true, mark, signal: 'SIGTERM', grace: 60_000 },
      )
      const left = once(younger, 'exit')
      assert.deepEqual(await ending.end(), { forced: false, left: [] })
      await left
      assert.equal(older.kill(0), true)
      assert.equal(older.signalCode, null)
    } finally {
      for (const child of [older, leader, younger]) child.kill('SIGKILL')
    }
  })

  for (const who of ['the leader', 'the group', 'a group that was left']) {
    it(`is who was given the number of ${who} after it had gone`, { skip: noSpace }, () => {
      const program = fileURLToPath(new URL('numbers.child.js', import.meta.url))
      const { stdout, stderr } = spawnSync(
        'unshare',
        [...inSpace, 'sh', '-c', `"$@"; exit $?`, 'sh', process.execPath, program, who],
        {
          encoding: 'utf8',
          timeout: 120_000,
          killSignal: 'SIGKILL',
        },
      )
      assert.equal(stdout, 'lives\n', stderr)
    })
  }
})
