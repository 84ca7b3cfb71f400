/**
 * The processes of this machine, as the system tells of them: who is whose child, and in which group and session.
 *
 * On Linux that is read from `/proc`, at once (about 2 ms for 100 processes); elsewhere `ps` is asked. Where neither can be
 * had (Deno without the permission to read, a container without `ps`) there is no table.
 */
import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import process from 'node:process'

/** One process, as it was when the table was read. */
export interface ProcessEntry {
  readonly pid: number
  readonly parent: number
  readonly group: number
  /** Where the system tells. */
  readonly session: number | undefined
  /** When it was started, in whatever the system counts: with the number, it names one process for good. */
  readonly started: string
  /** It has ended, and nobody has asked for its exit code yet. */
  readonly isZombie: boolean
}

export type ProcessTable = ReadonlyMap<number, ProcessEntry>

/** The table as it is now; undefined where there is none. On Linux it is there at once. */
export function readTable(): ProcessTable | undefined | Promise<ProcessTable | undefined> {
  return process.platform === 'linux' ? readProc() : askPs()
}

/** The same where it costs no waiting: on Linux. */
export function readTableNow(): ProcessTable | undefined {
  return process.platform === 'linux' ? readProc() : undefined
}

function readProc(): ProcessTable | undefined {
  try {
    const table = new Map<number, ProcessEntry>()
    for (const name of readdirSync('/proc')) {
      const entry = /^\d+$/.test(name) ? readStat(name) : undefined
      if (entry) table.set(entry.pid, entry)
    }
    return table.has(process.pid) ? table : undefined
  } catch {
    return undefined
  }
}

function readStat(pid: string): ProcessEntry | undefined {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return undefined // gone meanwhile
  }
}

/** Reads a line of `/proc/…/stat`, see proc_pid_stat(5). */
export function parseStat(line: string): ProcessEntry {
  // The name of the program, in parentheses, may have spaces and parentheses in it.
  const rest = line.slice(line.lastIndexOf(')') + 2).split(' ')
  const [state = '', parent, group, session] = rest
  // The first thread of a process can end before the others do: it is a zombie then, the process is not.
  const threads = Number(rest[17])
  return {
    pid: Number.parseInt(line, 10),
    parent: Number(parent),
    group: Number(group),
    session: Number(session),
    started: rest[19] ?? '',
    isZombie: /[ZXx]/.test(state) && threads <= 1,
  }
}

/** What `ps` is asked on the other systems: POSIX, but for the start. */
export const PS_ARGUMENTS: readonly string[] = ['-A', '-o', 'pid=,ppid=,pgid=,stat=,lstart=']

/** How long `ps` may take. */
const PS_TIMEOUT = 5_000

/** Asks `ps`. */
export function askPs(): Promise<ProcessTable | undefined> {
  const env = { ...process.env, LC_ALL: 'C' }
  return new Promise((resolve) => {
    try {
      execFile('ps', PS_ARGUMENTS, { env, timeout: PS_TIMEOUT, maxBuffer: 2 ** 26 }, (error, text) =>
        resolve(error ? undefined : parsePs(text)),
      )
    } catch {
      resolve(undefined) // no more processes can be started
    }
  })
}

/** Reads what `ps` says. */
export function parsePs(text: string): ProcessTable {
  const table = new Map<number, ProcessEntry>()
  for (const [, pid, parent, group, state = '', started = ''] of text.matchAll(
    /^ *(\d+) +(\d+) +(\d+) +(\S+) +(\S.*?) *$/gm,
  )) {
    table.set(Number(pid), {
      pid: Number(pid),
      parent: Number(parent),
      group: Number(group),
      session: undefined,
      started,
      isZombie: state.startsWith('Z'),
    })
  }
  return table
}

/** Whether the process was started with `mark` in its environment. Only Linux tells, and only of one's own processes. */
export function hasMark(pid: number, mark: string): boolean {
  if (process.platform !== 'linux') return false
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1').includes(mark)
  } catch {
    return false
  }
}
