/**
 * The processes of this machine, as the system tells of them: who is whose child, and in which group and session.
 *
 * On Linux that is read from `/proc`, at once (about 1 ms for 100 processes); elsewhere `ps` is asked. Where neither can be
 * had (Deno without the permission to read, a container without `ps`) there is no table.
 *
 * `/proc` is no picture of one moment: a process can start a child and end while it is read, and neither is seen. So the list is
 * read again until it has nothing new. `ps` of the other systems takes a picture of one moment.
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
  /** It has ended, and nobody has asked for its exit code yet; or it is a thread of the kernel. */
  readonly isZombie: boolean
}

/** The processes by their numbers. */
export class ProcessTable extends Map<number, ProcessEntry> {
  /** Nothing has been started while it was read that is not in it. */
  isWhole = true
}

/** Is told of the table as soon as there is more in it: what forks fast may be gone when all of it has been read. */
export type Reader = (table: ProcessTable) => void

/** How often the list is read again as long as it has something new. */
const ROUNDS = 20

const isLinux = process.platform === 'linux'

/** The table as it is now; undefined where there is none. On Linux it is there at once. */
export function readTable(tell?: Reader): ProcessTable | undefined | Promise<ProcessTable | undefined> {
  if (isLinux) return readProc(tell)
  return askPs().then((table) => {
    if (table) tell?.(table)
    return table
  })
}

/** The same where it costs no waiting: on Linux. */
export function readTableNow(tell?: Reader): ProcessTable | undefined {
  return isLinux ? readProc(tell) : undefined
}

/** One process as it is now, where that costs no waiting. */
export function readEntryNow(pid: number): ProcessEntry | undefined {
  return isLinux ? readStat(pid) : undefined
}

/** The status, as `wait` has it, of a process that is ending, or has ended and was not waited for; on Linux. */
export function readEndingNow(pid: number): number | undefined {
  const fields = isLinux ? readFields(pid) : undefined
  return fields && (Number(fields[6]) & ENDING) !== 0 ? Number(fields[49]) : undefined
}

/** Whether the process of this entry is there, still in its group, and not another one with the same number; as far as the system tells at once. */
export function isStill({ pid, started, group }: ProcessEntry): boolean {
  if (!isLinux) return true
  const now = readStat(pid)
  return now?.started === started && now.group === group
}

function readProc(tell: Reader | undefined): ProcessTable | undefined {
  try {
    const table = new ProcessTable()
    for (let round = 0; ; round++) {
      const more = readdirSync('/proc')
        .map(Number)
        .filter((pid) => pid > 0 && !table.has(pid))
      table.isWhole = more.length === 0
      if (table.isWhole || round > ROUNDS) break
      for (const pid of more) {
        const entry = readStat(pid)
        if (entry) table.set(pid, entry)
      }
      if (!table.has(process.pid)) return undefined
      tell?.(table)
    }
    return table
  } catch {
    return undefined
  }
}

function readStat(pid: number): ProcessEntry | undefined {
  const line = readLine(pid)
  return line === undefined ? undefined : parseStat(line)
}

function readFields(pid: number): readonly string[] | undefined {
  const line = readLine(pid)
  return line === undefined ? undefined : fieldsOf(line)
}

function readLine(pid: number): string | undefined {
  try {
    // Node reads UTF-8 in one call, three times as fast as anything else. The name may be no UTF-8; it is not looked at.
    return readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    return undefined // gone meanwhile
  }
}

/** The fields from the state on, which is the third one. The name of the program, in parentheses, may have spaces and parentheses in it. */
function fieldsOf(line: string): readonly string[] {
  return line.slice(line.lastIndexOf(')') + 2).split(' ')
}

/** `PF_EXITING`, among the flags of a process. */
const ENDING = 0x4
/** `PF_KTHREAD`, among the flags of a process. */
const KERNEL_THREAD = 0x20_00_00

/** Reads a line of `/proc/…/stat`, see proc_pid_stat(5). */
export function parseStat(line: string): ProcessEntry {
  const rest = fieldsOf(line)
  const [state = '', parent, group, session] = rest
  // The first thread of a process can end before the others do: it is a zombie then, the process is not.
  const threads = Number(rest[17])
  const isOfKernel = (Number(rest[6]) & KERNEL_THREAD) !== 0
  return {
    pid: Number.parseInt(line, 10),
    parent: Number(parent),
    group: Number(group),
    session: Number(session),
    started: rest[19] ?? '',
    isZombie: isOfKernel || (/[ZXx]/.test(state) && threads <= 1),
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
  const table = new ProcessTable()
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

/**
 * Whether the process was started with `mark` in its environment. Only Linux tells, and only of one's own processes. Undefined if
 * that cannot be told just now: it is being started, or has gone.
 */
export function hasMark(pid: number, mark: string): boolean | undefined {
  if (!isLinux) return false
  const read = (file: string) => readFileSync(`/proc/${pid}/${file}`, 'utf8')
  try {
    const environment = read('environ')
    if (environment !== '') return environment.includes(mark)
    // Between two programs a process has neither, and then both.
    return read('cmdline') === '' ? undefined : read('environ').includes(mark)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EACCES' ? false : undefined
  }
}
