/**
 * The processes of this machine, as the system reports them: the parent, the group and the session of each.
 *
 * On Linux they are read from `/proc`, at once (about 1 ms for 100 processes). Elsewhere `ps` reports them. If neither
 * is available (Deno without the permission to read, a container without `ps`), there is no table.
 *
 * `/proc` is not a snapshot: a process can start a child and end while the list is read, and then neither is seen. So
 * the list is read again until it has nothing new. On the other systems `ps` takes a snapshot.
 */
import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import process from 'node:process'

/** One process, as it was when the table was read. */
export interface ProcessEntry {
  readonly pid: number
  readonly parent: number
  readonly group: number
  /** Undefined if the system does not report it. */
  readonly session: number | undefined
  /**
   * When it was started, in the unit of the system. Together with the process id it identifies one process for ever.
   */
  readonly started: string
  /** True if it has ended and its exit code was not collected yet, or if it is a thread of the kernel. */
  readonly isZombie: boolean
}

/** The processes by their ids. */
export class ProcessTable extends Map<number, ProcessEntry> {
  /** Whether all processes that were started while the table was read are in it. */
  isWhole = true
}

/** Called whenever the table has grown. A process that forks fast may be gone when the whole table has been read. */
export type Reader = (table: ProcessTable) => void

/** How often the list is read again while it has something new. */
const ROUNDS = 20

const isLinux = process.platform === 'linux'

/** Reads the present table. Undefined if there is none. On Linux it is returned synchronously. */
export function readTable(tell?: Reader): ProcessTable | undefined | Promise<ProcessTable | undefined> {
  if (isLinux) return readProc(tell)
  return askPs().then((table) => {
    if (table) tell?.(table)
    return table
  })
}

/** Does the same if that is possible without waiting: on Linux. */
export function readTableNow(tell?: Reader): ProcessTable | undefined {
  return isLinux ? readProc(tell) : undefined
}

/** Reads one process as it is now, if that is possible without waiting. */
export function readEntryNow(pid: number): ProcessEntry | undefined {
  return isLinux ? readStat(pid) : undefined
}

/**
 * Returns the exit status, in the format of `wait`, of a process that is ending, or has ended and was not waited for.
 * On Linux only.
 */
export function readEndingNow(pid: number): number | undefined {
  const fields = isLinux ? readFields(pid) : undefined
  return fields && (Number(fields[6]) & ENDING) !== 0 ? Number(fields[49]) : undefined
}

/**
 * Whether the process of this entry still runs, is still in its group, and is not another process with the same id.
 * Only Linux can tell that synchronously. Elsewhere the result is true.
 */
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
    // Node reads UTF-8 in one call, three times as fast as other reads. The name may be invalid UTF-8, but it is not
    // used.
    return readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    return undefined // it has ended meanwhile
  }
}

/**
 * Returns the fields from the third one, the state, on. The name of the program before it, in parentheses, may contain
 * spaces and parentheses.
 */
function fieldsOf(line: string): readonly string[] {
  return line.slice(line.lastIndexOf(')') + 2).split(' ')
}

/** The flag `PF_EXITING` of a process. */
const ENDING = 0x4
/** The flag `PF_KTHREAD` of a process. */
const KERNEL_THREAD = 0x20_00_00

/** Parses a line of `/proc/…/stat`: see proc_pid_stat(5). */
export function parseStat(line: string): ProcessEntry {
  const rest = fieldsOf(line)
  const [state = '', parent, group, session] = rest
  // The first thread of a process can end before the others. Then it is a zombie, but the process is not.
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

/** The arguments of `ps` on the other systems. All but the start time are in POSIX. */
export const PS_ARGUMENTS: readonly string[] = ['-A', '-o', 'pid=,ppid=,pgid=,stat=,lstart=']

/** The time limit for `ps`, in milliseconds. */
const PS_TIMEOUT = 5_000

/** Reads the table from `ps`. */
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

/** Parses the output of `ps`. */
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
 * Whether the process was started with `mark` in its environment. Only Linux tells, and only for processes of the same
 * user. Undefined if that is unknown at the moment, because the process is being started or has ended.
 */
export function hasMark(pid: number, mark: string): boolean | undefined {
  if (!isLinux) return false
  const read = (file: string) => readFileSync(`/proc/${pid}/${file}`, 'utf8')
  try {
    const environment = read('environ')
    if (environment !== '') return environment.includes(mark)
    // While a process changes from one program to the next, both files are empty. After that both are filled.
    return read('cmdline') === '' ? undefined : read('environ').includes(mark)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EACCES' ? false : undefined
  }
}
