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

/** How to know a tree, and how to end it. */
export interface TreeOptions {
  /** The leader has a group, and session, of its own. */
  readonly hasGroup: boolean
  /** Stands in the environment it was started with. */
  readonly mark: string
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

interface Look {
  readonly table: ProcessTable | undefined
  /** Whether the leader had ended before the table was read: else its number in there is its own. */
  readonly hadEnded: boolean
}

const keyOf = ({ pid, started }: ProcessEntry) => `${pid} ${started}`

export class ProcessTree {
  readonly #leader: Leader
  readonly #options: TreeOptions
  /** Who was seen to belong to it. */
  #known: readonly ProcessEntry[] = []
  /** Of these, who was in the group when it was signalled. */
  readonly #inGroup = new Set<string>()
  #isEnding = false
  /** It is to be killed: it is not asked, and not waited for any longer. */
  #isHurried = false
  /** Ends the wait for those that were asked. */
  #cutShort: (() => void) | undefined

  constructor(leader: Leader, options: TreeOptions) {
    this.#leader = leader
    this.#options = options
  }

  /**
   * Asks all of them to end, kills what is left after the grace, and resolves when they are gone. On Linux they have been
   * asked when this returns.
   */
  async end(): Promise<Ending> {
    const { signal, grace } = this.#options
    const letGo = keepAlive()
    this.#isEnding = true
    try {
      if (isWindows) return await this.#endOnWindows()
      const isKind = grace > 0 && !this.#isHurried
      // No waiting where there is none to be done: the canceller may be about to leave.
      const found = this.#look()
      const look = found instanceof Promise ? await found : found
      // One that is stopped hears of it only when it goes on.
      this.#send(isKind ? [signal, 'SIGCONT'] : ['SIGKILL'], look)
      if (isKind && (await this.#areGone(this.#isHurried ? 0 : grace, undefined))) return { forced: false, left: [] }
      const gone = await this.#areGone(Infinity, PATIENCE)
      return { forced: true, left: gone ? [] : this.#left() }
    } finally {
      letGo()
    }
  }

  /** From now on an ending, under way or to come, kills. */
  hurry(): void {
    this.#isHurried = true
    this.#cutShort?.()
  }

  /**
   * For when this process ends: asks them in this very call, as far as they can be known without waiting. If they have been
   * asked before they are killed, for nobody will do so later.
   */
  abandon(): void {
    if (isWindows) return
    const signals: readonly NodeJS.Signals[] = this.#isEnding ? ['SIGKILL'] : [this.#options.signal, 'SIGCONT']
    const lookNow = () => ({ hadEnded: this.#leader.hasEnded(), table: readTableNow() })
    const reached = this.#send(signals, lookNow())
    // Somebody may just have left the group.
    this.#send(signals, lookNow(), reached)
  }

  #look(): Look | Promise<Look> {
    const hadEnded = this.#leader.hasEnded()
    const table = readTable()
    return table instanceof Promise ? table.then((read) => ({ hadEnded, table: read })) : { hadEnded, table }
  }

  /** Windows knows whose child a process is, so the leader must go with the others, not before them. */
  #endOnWindows(): Promise<Ending> {
    const { pid } = this.#leader
    const { command, args } = taskkill(pid, process.env)
    return new Promise((resolve) => {
      const finish = () => resolve({ forced: true, left: [] })
      if (this.#leader.hasEnded()) return finish()
      this.#leader.onEnd(finish)
      execFile(command, args, { windowsHide: true }, (error) => error && send(pid, 'SIGKILL'))
    })
  }

  /** Signals the group, and each member outside of it, but for those in `skipped`; gives whom, the group by its negative number. */
  #send(signals: readonly NodeJS.Signals[], look: Look, skipped?: ReadonlySet<number>): ReadonlySet<number> {
    const { pid } = this.#leader
    const isGroup = this.#options.hasGroup && this.#ownsGroup(look)
    const targets = new Set(isGroup ? [-pid] : this.#leader.hasEnded() ? [] : [pid])
    for (const member of this.#membersIn(look)) {
      if (isGroup && member.group === pid) this.#inGroup.add(keyOf(member))
      else targets.add(member.pid)
    }
    for (const signal of signals) for (const target of targets) if (!skipped?.has(target)) send(target, signal)
    return targets
  }

  /** Who has left the group between the look at the table and the signal has not had it. */
  #askThoseWhoLeft(members: readonly ProcessEntry[]): void {
    for (const member of members) {
      if (member.group === this.#leader.pid || !this.#inGroup.delete(keyOf(member))) continue
      send(member.pid, this.#options.signal)
      send(member.pid, 'SIGCONT')
    }
  }

  /** The number of the group has not been given to another one. */
  #ownsGroup({ hadEnded, table }: Look): boolean {
    // Without a table one can but trust that so many processes have not been started meanwhile.
    return !hadEnded || !table?.has(this.#leader.pid)
  }

  /** Who belongs to it, zombies left out. */
  #membersIn(look: Look): readonly ProcessEntry[] {
    const { table, hadEnded } = look
    if (!table) return []
    const { pid } = this.#leader
    const isLed = this.#options.hasGroup && this.#ownsGroup(look)
    const members = new Map<number, ProcessEntry>()
    const isMember = (entry: ProcessEntry) =>
      (isLed && (entry.group === pid || entry.session === pid)) ||
      (entry.pid === pid && !hadEnded) ||
      hasMark(entry.pid, this.#options.mark)
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
    return (this.#options.hasGroup && exists(-pid)) || this.#known.some((member) => exists(member.pid))
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
        const found = this.#look()
        const seen = found instanceof Promise ? await found : found
        isBusy = false
        if (isOver) return
        const members = this.#membersIn(seen)
        const isThere = seen.table ? members.length > 0 : this.#seemThere()
        if (!isThere && this.#leader.hasEnded()) return finish(true)
        if (looks === undefined) return this.#askThoseWhoLeft(members)
        if (++count > looks) return finish(false)
        this.#send(['SIGKILL'], seen)
      }
      if (looks === undefined) this.#cutShort = () => finish(false)
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
