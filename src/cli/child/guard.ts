/**
 * The guard of `calloff run --guard`, a program of its own. It reads from its standard input what it guards. If the
 * input ends without `DONE`, `calloff run` was killed, and the guard ends the tree.
 *
 * The guard has a session of its own, so that signals of a terminal do not reach it. It ignores requests to end: it
 * ends as soon as `calloff run` has ended.
 */
import process from 'node:process'
import { ConditionToken, SimpleToken } from '../../index.js'
import { readEntryNow } from '../../system/process-table.js'
import { type Leader, ProcessTree } from '../../system/process-tree.js'
import { DONE, type Guarded, type Started } from './guard-protocol.js'
import { printMessage } from '../terminal/output.js'

/** Milliseconds between two reads of whether the command, which is not a child of the guard, has ended. */
const PACE = 10
/** Milliseconds after which the environment of a process that is being started can be read. */
const START_TIME = 200

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const) process.on(signal, () => {})
let text = ''
for await (const chunk of process.stdin.setEncoding('utf8')) text += chunk as string
// An incomplete last line is ignored.
const [guarded, ...more] = text.split('\n').slice(0, -1)
if (guarded && more.at(-1) !== DONE) await endTree(JSON.parse(guarded) as Guarded, more[0])
process.exit(0)

async function endTree({ name, mark, signal, grace, isQuiet }: Guarded, started: string | undefined): Promise<void> {
  const end = (leader: Leader) =>
    new ProcessTree(leader, { hasGroup: false, mark, signal, grace: grace ?? Infinity }).end()
  if (!isQuiet) printMessage(`calloff run was killed; ending ${name}`)
  if (started === undefined) {
    // The command may be in the middle of its start, and has the mark a moment later. The guard is older than the
    // command, so it is no member of the tree.
    const none = { pid: process.pid, hasEnded: () => true, onEnd: queueMicrotask }
    await end(none)
    await new SimpleToken().sleep(START_TIME)
    await end(none)
    return
  }
  const { left } = await end(leaderOf(JSON.parse(started) as Started))
  if (left.length > 0 && !isQuiet) printMessage(`still running: process ${left.join(', ')}`)
}

function leaderOf({ pid, started }: Started): Leader {
  const hasEnded = () => {
    if (started === undefined) return !isThere(pid)
    const entry = readEntryNow(pid)
    return entry?.started !== started || entry.isZombie
  }
  return {
    pid,
    started,
    hasEnded,
    onEnd: (hear) => void new ConditionToken(hasEnded, { pollEvery: PACE }).onCancel(hear),
  }
}

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
