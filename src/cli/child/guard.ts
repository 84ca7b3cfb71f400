/**
 * The guard of `calloff run --guard`, a program of its own: it reads what it guards from its standard input, and ends the tree when that ends
 * without a word, which means that `calloff run` was killed.
 *
 * It has a session of its own, so that what is typed in a terminal does not reach it, and does not end when it is asked to: it ends as soon
 * as `calloff run` has.
 */
import process from 'node:process'
import { ConditionToken, SimpleToken } from '../../index.js'
import { readEntryNow } from '../../system/process-table.js'
import { type Leader, ProcessTree } from '../../system/process-tree.js'
import { DONE, type Guarded, type Started } from './guard-protocol.js'
import { say } from '../terminal/output.js'

/** Milliseconds between two reads of whether the command, which is not our child, has ended. */
const PACE = 10
/** Milliseconds in which a process that is being started has its environment. */
const SHORT = 200

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const) process.on(signal, () => {})
let text = ''
for await (const chunk of process.stdin.setEncoding('utf8')) text += chunk as string
// Of a line that was cut short nothing is known.
const [guarded, ...more] = text.split('\n').slice(0, -1)
if (guarded && more.at(-1) !== DONE) await endTree(JSON.parse(guarded) as Guarded, more[0])
process.exit(0)

async function endTree({ name, mark, signal, grace, isQuiet }: Guarded, started: string | undefined): Promise<void> {
  const end = (leader: Leader) =>
    new ProcessTree(leader, { hasGroup: false, mark, signal, grace: grace ?? Infinity }).end()
  if (!isQuiet) say(`calloff run was killed; ending ${name}`)
  if (started === undefined) {
    // It may be just being started, and has the mark a moment later: we are older than it, and are no member.
    const none = { pid: process.pid, hasEnded: () => true, onEnd: queueMicrotask }
    await end(none)
    await new SimpleToken().sleep(SHORT)
    await end(none)
    return
  }
  const { left } = await end(leaderOf(JSON.parse(started) as Started))
  if (left.length > 0 && !isQuiet) say(`still running: process ${left.join(', ')}`)
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
