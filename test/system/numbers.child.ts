/**
 * Runs in a space of numbers of its own, where it decides who is given which number. Prints what becomes of strangers who are
 * given the number of a leader, or of its group, after the leader has ended.
 */
import { type ChildProcess, spawn as start } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import process from 'node:process'
import { setTimeout as pause } from 'node:timers/promises'
import { SimpleToken } from 'calloff'
import { spawn } from 'calloff/node'

const [, , who = ''] = process.argv
const HOUR = '3600'

/** The state, the parent and the group of a process. */
function statOf(pid: number): readonly string[] | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ')
  } catch {
    return undefined
  }
}

const isThere = (pid: number) => !['Z', undefined].includes(statOf(pid)?.[0])
const inGroup = (group: number) =>
  readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && statOf(pid)?.[2] === String(group) && isThere(pid))

async function until<T>(look: () => T | undefined | false): Promise<T> {
  for (;;) {
    const found = look()
    if (found !== undefined && found !== false) return found
    await pause(5)
  }
}

/** A stranger with that number, and so with that group. */
async function strangerWith(pid: number, ...args: readonly [string, ...string[]]): Promise<ChildProcess> {
  for (;;) {
    writeFileSync('/proc/sys/kernel/ns_last_pid', String(pid - 1))
    const child = start(args[0], args.slice(1), { detached: true, stdio: 'ignore' })
    if (child.pid === pid) return child
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
}

const token = new SimpleToken()
// What it leaves behind holds its output, so the tree is not over: one in its group, where that is wanted, and one outside of it.
const inside = who === 'a group that was left' ? `sleep ${HOUR} &` : ''
const child = await spawn('sh', ['-c', `${inside} setsid sleep ${HOUR} & sleep 0.1; exit 0`], { token, grace: 0 })
await until(() => child.child.exitCode === 0)
await pause(20)
for (const pid of inGroup(child.pid)) process.kill(pid, 'SIGKILL')
await until(() => statOf(child.pid) === undefined)
const stranger = await strangerWith(
  child.pid,
  ...((who === 'the leader' ? ['sleep', HOUR] : ['sh', '-c', `sleep ${HOUR} & exit 0`]) as [string, ...string[]]),
)
if (who !== 'the leader') await once(stranger, 'exit')
const [pid = 0] = await until(() => inGroup(child.pid).length > 0 && inGroup(child.pid))
token.cancel()
await child.ended
// What was killed by mistake has its signal by now.
process.stdout.write(isThere(pid) ? 'lives\n' : 'was killed\n', () => process.exit(0))
