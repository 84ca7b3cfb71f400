// Runs a program to its end, and everything that it started with it: children, grandchildren, and those that have moved to a
// process group or session of their own, that ignore SIGTERM, or whose parents have ended.
//
// A process is known by a mark in its environment (Linux), or by its parent, group or session: each program gets a session of
// its own, so that no process outside of it can be in one of its groups. The runner's own end, by Ctrl+C as well, ends all.
import { spawn, spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'

const isWindows = process.platform === 'win32'
/** Milliseconds that a process which is about to end is given after the program has ended. */
const GRACE = 5_000
/** Characters of output that are kept. */
const MOST = 2 ** 24
const numbers = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 }

/** The programs that are running: the process id and the mark of each. */
const trees = new Set()

/**
 * Runs a program. `limit` is the number of milliseconds after which it is ended; `onText` is called with what it prints.
 * Resolves with its exit code, what it printed, whether it had to be ended (`isLate`), and the processes that it left behind,
 * which are ended by then.
 */
export async function runTree(command, args, { limit, onText, env = process.env, ...options } = {}) {
  const mark = `CALLOFF_TREE_${randomUUID().replaceAll('-', '')}`
  const child = spawn(command, args, {
    ...options,
    env: { ...env, [mark]: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: !isWindows,
  })
  const tree = { pid: child.pid, mark }
  if (child.pid !== undefined) begin(tree)

  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output = (output + text).slice(-MOST)
      onText?.(text)
    })
  }
  const closed = new Promise((resolve) => child.once('close', resolve))
  let isLate = false
  const timer =
    limit === undefined
      ? undefined
      : setTimeout(() => {
          isLate = true
          end(tree)
        }, limit)
  // Not 'close', which waits for all that hold the pipe.
  const { code, error } = await new Promise((resolve) => {
    child.once('error', (error) => resolve({ code: null, error }))
    child.once('exit', (code, signal) => resolve({ code: code ?? 128 + (numbers[signal] ?? 9) }))
  })
  clearTimeout(timer)
  if (error !== undefined) {
    trees.delete(tree)
    return { code: 127, output: `${error.message}\n`, isLate, left: [] }
  }
  const left = await settle(tree, isLate ? 0 : GRACE)
  trees.delete(tree)
  // A process that could not be ended may hold the pipe still.
  await Promise.race([closed, pause(GRACE, undefined, { ref: false })])
  child.stdout.destroy()
  child.stderr.destroy()
  return { code, output, isLate, left: isLate ? [] : left }
}

/** Waits for what is about to end, and ends the rest. Returns what it had to end. */
async function settle(tree, grace) {
  const limit = performance.now() + grace
  let left = membersOf(tree)
  for (; left.length > 0 && performance.now() < limit; left = membersOf(tree)) await pause(50)
  const texts = left.map(({ pid }) => `${pid} ${commandOf(pid)}`)
  // What is being started while it is looked for is found the next time.
  for (let i = 0; left.length > 0 && i < 100; i++, left = membersOf(tree)) {
    kill(left)
    await pause(20)
  }
  return texts
}

let isWatching = false

function begin(tree) {
  if (!isWatching) {
    isWatching = true
    for (const signal of Object.keys(numbers)) process.once(signal, onSignal)
    process.once('exit', endAll)
  }
  trees.add(tree)
}

function onSignal(signal) {
  endAll()
  process.exit(128 + numbers[signal])
}

/** Ends all programs that are running, with all that they have started. */
function endAll() {
  for (const tree of trees) end(tree)
  trees.clear()
}

/** Ends it at once. Looks several times, since a process may start another one meanwhile. */
function end(tree) {
  for (let i = 0; i < 20; i++) {
    const members = membersOf(tree)
    if (members.length === 0) return
    kill(members)
  }
}

function kill(members) {
  for (const { pid } of members) {
    try {
      if (isWindows) spawnSync('taskkill', ['/pid', String(pid), '/T', '/F'], { stdio: 'ignore' })
      else process.kill(pid, 'SIGKILL')
    } catch {
      // It has ended by itself.
    }
  }
}

/** The processes of a tree that are alive. */
function membersOf({ pid, mark }) {
  if (isWindows) return isAlive(pid) ? [{ pid }] : []
  const members = new Map()
  const groups = new Set([pid])
  const others = new Set(processes(mark).filter((one) => one.pid !== process.pid))
  for (let before = -1; before < members.size;) {
    before = members.size
    for (const one of others) {
      const isMember =
        one.pid === pid || one.isMarked || members.has(one.parent) || groups.has(one.group) || groups.has(one.session)
      if (!isMember) continue
      others.delete(one)
      members.set(one.pid, one)
      groups.add(one.group).add(one.session)
    }
  }
  return [...members.values()].filter(({ state }) => state !== 'Z')
}

function isAlive(pid) {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** All processes of this machine: of `/proc`, or of `ps`, which shows no environment. */
function processes(mark) {
  if (process.platform !== 'linux') {
    const { stdout } = spawnSync('ps', ['-A', '-o', 'pid=,ppid=,pgid=,stat='], { encoding: 'utf8' })
    return stdout
      .trim()
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .map(([pid, parent, group, state]) => ({
        pid: Number(pid),
        parent: Number(parent),
        group: Number(group),
        session: Number(group),
        state: state[0],
        isMarked: false,
      }))
  }
  const found = []
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      // The name, in brackets, may have anything in it.
      const stat = readFileSync(`/proc/${name}/stat`, 'latin1')
      const [state, parent, group, session] = stat.slice(stat.lastIndexOf(')') + 2).split(' ', 4)
      const one = { pid: Number(name), parent: Number(parent), group: Number(group), session: Number(session), state }
      found.push({ ...one, isMarked: isMarked(name, mark) })
    } catch {
      // It has ended meanwhile.
    }
  }
  return found
}

function isMarked(pid, mark) {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1').includes(mark)
  } catch {
    // Of another user.
    return false
  }
}

function commandOf(pid) {
  if (process.platform !== 'linux') {
    return (
      spawnSync('ps', ['-o', 'command=', '-p', String(pid)], { encoding: 'utf8' })
        .stdout?.trim()
        .slice(0, 200) ?? ''
    )
  }
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim().slice(0, 200)
  } catch {
    return ''
  }
}
