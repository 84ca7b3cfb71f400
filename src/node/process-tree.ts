/**
 * A child process with everything it has started, as one thing that can be ended.
 *
 * Who belongs to it
 * 1. The leader, which we have started, and its process group and session: the system keeps them together, whoever dies in
 *    between. One call signals all of the group.
 * 2. The descendants of any of these. They can leave the group (`setsid`, a shell with job control), and stay whose children
 *    they are.
 * 3. On Linux, whoever was started with the mark in its environment, which every process gives to its children: a daemon that
 *    has left the group, and whose parent is dead (the double fork), is known by nothing else. Jenkins does the same.
 *
 * A number is given to another process once its owner is gone. So members are remembered with the time of their start, and the
 * number of the group is used only while the leader has not been asked for its exit code, or while it is seen in the table with
 * members and without another leader: as long as a group has members its number is not given away.
 *
 * What gets away: a process that has left the group, was not there as anybody's child when somebody looked, and has no mark
 * (it has cleared its environment, or the system does not tell); one that runs as another user, which we may not signal; one
 * that the kernel does not let go of.
 */
import { execFile } from 'node:child_process'
import process from 'node:process'
import { after, keepAlive, often } from '../core/clock.js'
import { hasMark, type ProcessEntry, type ProcessTable, readTable, readTableNow } from './process-table.js'
import { taskkill } from './taskkill.js'

/** A child process, as far as ending it goes. */
export interface Leader {
  readonly pid: number
  /** It has ended, and the system may have given its number to another process. */
  hasEnded(): boolean
  /** Calls back when it has ended; not in the same call. */
  onEnd(callback: () => void): void
}

/** How to end a tree. */
export interface EndingOptions {
  /** What asks the processes to end. */
  readonly signal: NodeJS.Signals
  /** Milliseconds from then on until they are killed. 0 does not ask at all, `Infinity` never kills. */
  readonly grace: number
}

/** How it went. */
export interface Ending {
  /** Asking was not enough. */
  readonly forced: boolean
  /** The processes that could not be ended. */
  readonly left: readonly number[]
}

/** Milliseconds between two looks at whether they are gone. The end of the leader is heard of at once. */
const PACE = 10
/** The table is read at so many of the first looks; then at one in so many, as long as somebody seems to be there. */
const GLANCES = 20
/** After that many looks we give up on what does not die when it is killed: 5 s. */
const PATIENCE = 500

const isWindows = process.platform === 'win32'

/** Signals one process, or a group by its negative number. False if it is not there, or not ours. */
function send(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal)
  } catch {
    return false
  }
}

/** There, ours or not. */
function exists(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

export class ProcessTree {
  readonly #leader: Leader
  readonly #hasGroup: boolean
  readonly #mark: string
  /** Who was seen to belong to it. */
  #known: readonly ProcessEntry[] = []
  #isEnding = false

  /**
   * @param hasGroup the leader has a group, and session, of its own
   * @param mark stands in the environment it was started with
   */
  constructor(leader: Leader, hasGroup: boolean, mark: string) {
    this.#leader = leader
    this.#hasGroup = hasGroup
    this.#mark = mark
  }

  /** It has been asked to end. */
  get isEnding(): boolean {
    return this.#isEnding
  }

  /** It has a group of its own, which a terminal does not signal. */
  get hasGroup(): boolean {
    return this.#hasGroup
  }

  /** Signals all of them in this very call, as far as they can be known without waiting. For when this process ends. */
  signalNow(signal: NodeJS.Signals): void {
    if (isWindows) return
    this.#send([signal], readTableNow())
  }

  /**
   * Asks all of them to end, kills what is left after the grace, and resolves when they are gone. On Linux they have been
   * asked when this returns.
   */
  async end({ signal, grace }: EndingOptions): Promise<Ending> {
    const letGo = keepAlive()
    this.#isEnding = true
    try {
      if (isWindows) return await this.#endOnWindows()
      const isKind = grace > 0
      // No waiting where there is none to be done: the canceller may be about to leave.
      const found = readTable()
      const table = found instanceof Promise ? await found : found
      // One that is stopped hears of it only when it goes on.
      this.#send(isKind ? [signal, 'SIGCONT'] : ['SIGKILL'], table)
      if (isKind && (await this.#areGone(grace, undefined))) return { forced: false, left: [] }
      const gone = await this.#areGone(Infinity, PATIENCE)
      return { forced: true, left: gone ? [] : this.#left() }
    } finally {
      letGo()
    }
  }

  /** Windows knows whose child a process is, so the leader must go with the others, not before them. */
  #endOnWindows(): Promise<Ending> {
    const { command, args } = taskkill(this.#leader.pid, process.env)
    return new Promise((resolve) => {
      const finish = () => resolve({ forced: true, left: [] })
      if (this.#leader.hasEnded()) return finish()
      this.#leader.onEnd(finish)
      execFile(command, args, { windowsHide: true }, (error) => {
        if (error) send(this.#leader.pid, 'SIGKILL')
      })
    })
  }

  #send(signals: readonly NodeJS.Signals[], table: ProcessTable | undefined): void {
    const { pid } = this.#leader
    const isGroup = this.#hasGroup && this.#ownsGroup(table)
    const targets = isGroup ? [-pid] : this.#leader.hasEnded() ? [] : [pid]
    for (const member of table ? this.#membersIn(table) : []) {
      if (isGroup ? member.group !== pid : member.pid !== pid) targets.push(member.pid)
    }
    for (const signal of signals) for (const target of targets) send(target, signal)
  }

  /** The number of the group has not been given to another one. */
  #ownsGroup(table: ProcessTable | undefined): boolean {
    if (!this.#leader.hasEnded()) return true
    // Without a table one can but trust that so many processes have not been started meanwhile.
    return !table || !table.has(this.#leader.pid)
  }

  /** Who belongs to it, zombies left out. */
  #membersIn(table: ProcessTable): readonly ProcessEntry[] {
    const { pid } = this.#leader
    const isLed = this.#ownsGroup(table)
    const members = new Map<number, ProcessEntry>()
    const isMember = (entry: ProcessEntry) =>
      (isLed && this.#hasGroup && (entry.group === pid || entry.session === pid)) ||
      (entry.pid === pid && !this.#leader.hasEnded()) ||
      hasMark(entry.pid, this.#mark)
    const known = this.#known.filter(({ pid: one, started }) => table.get(one)?.started === started)
    for (const { pid: one } of known) members.set(one, table.get(one) as ProcessEntry)
    const children = new Map<number, ProcessEntry[]>()
    for (const entry of table.values()) {
      if (!members.has(entry.pid) && isMember(entry)) members.set(entry.pid, entry)
      const siblings = children.get(entry.parent)
      if (siblings) siblings.push(entry)
      else children.set(entry.parent, [entry])
    }
    // The set grows while it is walked.
    for (const [one] of members) for (const child of children.get(one) ?? []) members.set(child.pid, child)
    members.delete(process.pid)
    this.#known = [...members.values()].filter(({ isZombie }) => !isZombie)
    return this.#known
  }

  /** Without the table: whether the group, or anybody who was seen, seems to be there. */
  #seemThere(): boolean {
    const { pid } = this.#leader
    if (!this.#leader.hasEnded()) return true
    return (this.#hasGroup && exists(-pid)) || this.#known.some((member) => exists(member.pid))
  }

  /**
   * True as soon as none of them is there any more; false when so many milliseconds, or looks, have passed. With a number of
   * looks they are killed at each.
   */
  #areGone(ms: number, looks: number | undefined): Promise<boolean> {
    return new Promise((resolve) => {
      let isBusy = false
      let isOver = false
      let glances = 0
      let count = 0
      const finish = (gone: boolean) => {
        isOver = true
        stopPolls()
        stopTimer()
        resolve(gone)
      }
      const look = async () => {
        if (isBusy || isOver) return
        // Who seems to be there may be a zombie, which only the table tells.
        if (looks === undefined && ++glances > GLANCES && glances % GLANCES > 0 && this.#seemThere()) return
        isBusy = true
        const found = readTable()
        const table = found instanceof Promise ? await found : found
        isBusy = false
        if (isOver) return
        const isThere = table ? this.#membersIn(table).length > 0 : this.#seemThere()
        if (!isThere && this.#leader.hasEnded()) return finish(true)
        if (looks === undefined) return
        if (++count > looks) return finish(false)
        this.#send(['SIGKILL'], table)
      }
      const stopPolls = often(() => void look(), PACE)
      const stopTimer = after(ms, () => finish(false), false)
      this.#leader.onEnd(() => void look())
      void look()
    })
  }

  #left(): readonly number[] {
    const found = this.#known.map(({ pid }) => pid)
    return found.length > 0 ? found : [this.#leader.pid]
  }
}
