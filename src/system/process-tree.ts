/**
 * A child process with all processes that it has started: one tree that can be ended.
 *
 * The members
 * 1. The leader, which this process has started, and its process group and session. The system keeps them together,
 *    even if processes in between end. One call signals the whole group.
 * 2. The descendants of any member. They can leave the group (`setsid`, a shell with job control), but they keep their
 *    parent.
 * 3. On Linux, every process that was started with the mark in its environment. Every process passes the mark on to its
 *    children. A daemon that has left the group, and whose parent has ended (the double fork), is recognised only by
 *    the mark. Jenkins does the same.
 *
 * The process ids
 * The system gives the id of a process or group to another one once its owner has ended. It may have used all other ids
 * meanwhile.
 * 4. Members are remembered with the time of their start. They are checked again just before they are signalled.
 * 5. The group is ours until the leader has ended. After that it is ours as long as a remembered member, or a process
 *    with the mark, is in it: a group with members keeps its id. If the leader has left no group behind, its id is
 *    never used again.
 *
 * The end
 * 6. The tree has ended when the leader has ended and two checks in a row find no member for certain. A check is
 *    certain if no process was started unseen while the table was read, and no process in the table was just being
 *    started or ending, which hides the mark. On a machine where no check is ever certain, several checks that find no
 *    member are enough.
 * 7. A process that must be killed is killed at the moment when it is found, not when the table is complete. This
 *    catches processes that fork faster than the whole table can be read.
 *
 * These processes escape: one that has left the group, was not the child of a member at any check, and has no mark (it
 * has cleared its environment, or the system does not tell); one that runs as another user, which this process may not
 * signal; one that the kernel does not release.
 */
import { execFile } from 'node:child_process'
import process from 'node:process'
import { after, keepAlive, often, turn } from '../core/clock.js'
import {
  hasMark,
  isStill,
  type ProcessEntry,
  type ProcessTable,
  readEntryNow,
  readTable,
  readTableNow,
} from './process-table.js'
import { taskkill } from './taskkill.js'

/** What a tree needs to know of its leader, a child process. */
export interface Leader {
  readonly pid: number
  /** The time of its start in the table, if that was read before. Otherwise it is read at once. */
  readonly started?: string | undefined
  /** Whether it has ended. Then the system may have given its id to another process. */
  hasEnded(): boolean
  /** Calls back when it has ended, but never during this call. */
  onEnd(callback: () => void): void
}

/** How to recognise a tree, and how to end it. */
export interface TreeOptions {
  /** Whether the leader has a group, and a session, of its own. */
  readonly hasGroup: boolean
  /** The text in the environment that marks the processes of the tree. */
  readonly mark: string
  /** The signal that asks the processes to end. */
  readonly signal: NodeJS.Signals
  /** Milliseconds from then on until they are killed. 0 kills without asking, `Infinity` never kills. */
  readonly grace: number
}

/** The result of ending a tree. */
export interface Ending {
  /** True if asking was not enough. */
  readonly forced: boolean
  /** The ids of the processes that could not be ended. */
  readonly left: readonly number[]
}

/** Milliseconds between two checks of whether the tree has ended. The end of the leader is noticed at once. */
const PACE = 10
/**
 * The first `GLANCES` checks read the table. After these only every 20th does, as long as a member seems to be there.
 */
const GLANCES = 20
/** The number of checks after which a process that does not die when it is killed is given up: 5 s. */
const PATIENCE = 500
/**
 * The number of checks in a row that must find no member. A check that was certain counts for `SURE`, so two of them
 * are enough.
 */
const EMPTY = 20
const SURE = 10

const isWindows = process.platform === 'win32'

/** Signals one process, or a group by its negative id. Returns false if it does not exist, or may not be signalled. */
function send(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal)
  } catch {
    return false
  }
}

/** Whether the process or group exists, even if it may not be signalled. */
function exists(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** One reading of the table, or of the part that has been read so far. */
interface Look {
  readonly table: ProcessTable | undefined
  /** Whether the leader had ended before the table was read. If not, its id in the table is its own. */
  readonly hadEnded: boolean
  /** Whether a process has the mark, for the processes that were checked. */
  readonly marks: Map<ProcessEntry, boolean | undefined>
}

const keyOf = ({ pid, started }: ProcessEntry) => `${pid} ${started}`

export class ProcessTree {
  readonly #leader: Leader
  readonly #options: TreeOptions
  /** The members that were seen. */
  #known: readonly ProcessEntry[] = []
  /** Those members that were in the group when it was signalled. */
  readonly #inGroup = new Set<string>()
  /**
   * When the leader was started, in the unit of the table. Undefined if the system does not report it synchronously.
   */
  readonly #born: number | undefined
  /** The leader has ended, and its group too. The id may belong to another group by now. */
  #isGroupGone = false
  /** The system has a table. So a table that cannot be read at the moment proves nothing. */
  #hasTable = false
  #isEnding = false
  /** The tree must be killed, without asking and without further waiting. */
  #isHurried = false
  /** Ends the wait for the processes that were asked. */
  #cutShort: (() => void) | undefined

  constructor(leader: Leader, options: TreeOptions) {
    this.#leader = leader
    this.#options = options
    const started = leader.started ?? readEntryNow(leader.pid)?.started
    this.#born = started === undefined ? undefined : Number(started)
    if (options.hasGroup) leader.onEnd(() => this.#rememberGroup())
  }

  /**
   * Asks all members to end, kills the rest after the grace, and resolves when all have ended. On Linux they have been
   * asked when this call returns.
   */
  async end(): Promise<Ending> {
    const { signal, grace } = this.#options
    const letGo = keepAlive()
    this.#isEnding = true
    try {
      if (isWindows) return await this.#endOnWindows()
      const isKind = grace > 0 && !this.#isHurried
      // Does not wait unless it must: this process may be about to end.
      const found = this.#look(isKind ? undefined : (part) => this.#send(['SIGKILL'], part))
      const look = found instanceof Promise ? await found : found
      // A stopped process receives the signal only when it continues.
      if (isKind) this.#send([signal, 'SIGCONT'], look)
      if (isKind && (await this.#areGone(this.#isHurried ? 0 : grace, undefined))) return { forced: false, left: [] }
      const gone = await this.#areGone(Infinity, PATIENCE)
      return { forced: true, left: gone ? [] : this.#left() }
    } finally {
      letGo()
    }
  }

  /** From now on the present or a later ending kills. */
  hurry(): void {
    this.#isHurried = true
    this.#cutShort?.()
  }

  /**
   * For the end of this process. Asks the members in this very call, as far as they are known without waiting. If they
   * have been asked before, they are killed, because no process will do so later.
   */
  abandon(): void {
    if (isWindows) return
    const signals: readonly NodeJS.Signals[] = this.#isEnding ? ['SIGKILL'] : [this.#options.signal, 'SIGCONT']
    const reached = new Set<string>()
    const hadEnded = this.#leader.hasEnded()
    const marks: Look['marks'] = new Map()
    const act = (table?: ProcessTable) => this.#send(signals, { hadEnded, table, marks }, reached)
    if (!readTableNow(act)) act()
    // A member may just have left the group.
    else readTableNow(act)
  }

  /** Reads the table. Calls `act` whenever there is more of it, and at least once. */
  #look(act?: (look: Look) => void): Look | Promise<Look> {
    const hadEnded = this.#leader.hasEnded()
    const marks: Look['marks'] = new Map()
    const found = readTable(act && ((part) => act({ hadEnded, table: part, marks })))
    const lookAt = (table: ProcessTable | undefined): Look => {
      const look = { hadEnded, table, marks }
      if (!table) act?.(look)
      return look
    }
    return found instanceof Promise ? found.then(lookAt) : lookAt(found)
  }

  /**
   * Called when the leader has just ended. While the leader lived, the group was ours. So its present members are
   * remembered, and identify the group later.
   */
  #rememberGroup(): void {
    if (isWindows || !exists(-this.#leader.pid)) {
      this.#isGroupGone = true
      return
    }
    const remember = ({ table }: Look) => {
      if (!table || this.#isGroupGone) return
      const here = new Set(this.#known.map(keyOf))
      const more = [...table.values()].filter((entry) => this.#isInGroup(entry) && !here.has(keyOf(entry)))
      this.#known = [...this.#known, ...more]
    }
    const found = this.#look()
    if (found instanceof Promise) void found.then(remember)
    else remember(found)
  }

  /**
   * Windows finds the children of a process by their parent. So the leader must end together with its children, not
   * before them.
   */
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

  /**
   * Signals the group, and each member outside of it, except those in `reached`. Adds the signalled ones to `reached`.
   */
  #send(signals: readonly NodeJS.Signals[], look: Look, reached = new Set<string>()): void {
    const { pid } = this.#leader
    const members = this.#membersIn(look)
    const reach = (target: number, key: string) => {
      if (reached.has(key)) return
      reached.add(key)
      for (const signal of signals) send(target, signal)
    }
    const isGroup = this.#hasGroupIn(look, members)
    const hasEnded = this.#leader.hasEnded()
    if (isGroup) reach(-pid, 'group')
    // The id belongs to the leader until it has ended. The leader may be missing from the table.
    else if (!hasEnded) reach(pid, 'leader')
    for (const member of members) {
      if (isGroup && member.group === pid) this.#inGroup.add(keyOf(member))
      else if ((member.pid !== pid || hasEnded) && isStill(member)) reach(member.pid, keyOf(member))
    }
  }

  /**
   * Signals members that have left the group between the reading of the table and the signal: they have not received
   * it.
   */
  #askThoseWhoLeft(members: readonly ProcessEntry[]): void {
    for (const member of members) {
      if (member.group === this.#leader.pid || !this.#inGroup.delete(keyOf(member)) || !isStill(member)) continue
      send(member.pid, this.#options.signal)
      send(member.pid, 'SIGCONT')
    }
  }

  /** Whether the id of the group can be signalled now, and reaches no other group. */
  #hasGroupIn({ table }: Look, members: readonly ProcessEntry[]): boolean {
    if (!this.#options.hasGroup || this.#isGroupGone) return false
    // Without a table, calloff can only trust that the system has not used all other ids since the leader ended.
    if (!this.#leader.hasEnded() || !table) return true
    return members.some((member) => member.group === this.#leader.pid && isStill(member))
  }

  #isInGroup({ group, session }: ProcessEntry): boolean {
    return group === this.#leader.pid || session === this.#leader.pid
  }

  /** Whether the group in this table is ours. */
  #ownsGroup(table: ProcessTable, look: Look): boolean {
    if (!this.#options.hasGroup || this.#isGroupGone) return false
    if (!look.hadEnded) return true
    if (table.has(this.#leader.pid)) this.#isGroupGone = true
    if (this.#isGroupGone) return false
    const isOurs = (entry: ProcessEntry) => this.#isInGroup(entry) && this.#isMarked(entry, look)
    return (
      this.#known.some((one) => {
        const entry = table.get(one.pid)
        return entry?.started === one.started && this.#isInGroup(entry)
      }) || [...table.values()].some(isOurs)
    )
  }

  /**
   * Whether the process was started with the mark. A process that is older than the leader was not, and is not checked.
   */
  #isMarked(entry: ProcessEntry, { marks }: Look): boolean {
    if (entry.isZombie || (this.#born !== undefined && Number(entry.started) < this.#born)) return false
    if (!marks.has(entry)) marks.set(entry, hasMark(entry.pid, this.#options.mark))
    return marks.get(entry) ?? false
  }

  /** Returns the members, without zombies. */
  #membersIn(look: Look): readonly ProcessEntry[] {
    const { table, hadEnded } = look
    if (!table) return []
    const { pid } = this.#leader
    const isLed = this.#ownsGroup(table, look)
    const members = new Map<number, ProcessEntry>()
    const isMember = (entry: ProcessEntry) =>
      (isLed && this.#isInGroup(entry)) || (entry.pid === pid && !hadEnded) || this.#isMarked(entry, look)
    for (const { pid: one, started } of this.#known) {
      const entry = table.get(one)
      if (entry?.started === started) members.set(one, entry)
    }
    const children = new Map<number, ProcessEntry[]>()
    for (const entry of table.values()) {
      if (!members.has(entry.pid) && isMember(entry)) members.set(entry.pid, entry)
      const siblings = children.get(entry.parent)
      if (siblings) siblings.push(entry)
      else children.set(entry.parent, [entry])
    }
    // The map grows while it is iterated.
    for (const [one] of members) for (const child of children.get(one) ?? []) members.set(child.pid, child)
    members.delete(process.pid)
    this.#known = [...members.values()].filter(({ isZombie }) => !isZombie)
    return this.#known
  }

  /** Whether no process can have been missed. */
  #isSure({ table, marks }: Look): boolean {
    if (!table) return !this.#hasTable
    this.#hasTable = true
    return table.isWhole && [...marks.values()].every((mark) => mark !== undefined)
  }

  /** Without the table: whether the group, or a member that was seen, seems to be there. */
  #seemThere(): boolean {
    const { pid } = this.#leader
    if (!this.#leader.hasEnded()) return true
    const hasGroup = this.#options.hasGroup && !this.#isGroupGone
    return (hasGroup && exists(-pid)) || this.#known.some((member) => exists(member.pid))
  }

  /**
   * Resolves with true as soon as no member is there any more. Resolves with false when `ms` milliseconds, or `looks`
   * checks, have passed. With `looks`, members are killed at each check.
   */
  #areGone(ms: number, looks: number | undefined): Promise<boolean> {
    return new Promise((resolve) => {
      let isBusy = false
      let isOver = false
      let glances = 0
      let count = 0
      let empty = 0
      const finish = (gone: boolean) => {
        isOver = true
        stopPolls()
        stopTimer()
        resolve(gone)
      }
      const look = async () => {
        if (isBusy || isOver) return
        // A member that seems to be there may be a zombie. Only the table tells.
        if (looks === undefined && ++glances > GLANCES && glances % GLANCES > 0 && this.#seemThere()) return
        isBusy = true
        const found = this.#look(looks === undefined ? undefined : (part) => this.#send(['SIGKILL'], part))
        const seen = found instanceof Promise ? await found : found
        isBusy = false
        if (isOver) return
        const members = this.#membersIn(seen)
        const isThere = !this.#leader.hasEnded() || (seen.table ? members.length > 0 : this.#seemThere())
        empty = isThere ? 0 : empty + (this.#isSure(seen) ? SURE : 1)
        if (empty >= EMPTY) return finish(true)
        if (empty === SURE) turn(() => void look())
        if (looks === undefined) return this.#askThoseWhoLeft(members)
        if (++count > looks) return finish(false)
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
