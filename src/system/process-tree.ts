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
 * Whose number it is
 * A number is given to another process, or group, once its owner is gone: the system may have gone through all numbers meanwhile.
 * 4. Members are remembered with the time of their start, and looked at again just before they are signalled.
 * 5. The group is ours until the leader has ended. After that it is ours as long as a remembered member, or one with the mark, is in
 *    it: a group with members keeps its number. Where the leader has left no group behind, its number is never used again.
 *
 * When it is gone
 * 6. When the leader has ended and nobody is found at two looks in a row that were sure: nothing was started unseen while the table was read, and
 *    nobody in it was just being started or ending, which hides the mark. On a machine where that never comes to be, several
 *    looks that find nobody are enough.
 * 7. Who is to be killed is killed at the moment it is found, not when the table is complete: what forks faster than all of it can be
 *    read is caught by that.
 *
 * What gets away: a process that has left the group, was not there as anybody's child when somebody looked, and has no mark
 * (it has cleared its environment, or the system does not tell); one that runs as another user, which we may not signal; one
 * that the kernel does not let go of.
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

/** A child process, as far as ending it goes. */
export interface Leader {
  readonly pid: number
  /** As the table has it, where that was asked before; else it is asked at once. */
  readonly started?: string | undefined
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
/** So many looks in a row that find nobody are enough. One that was sure counts for several, so two of them are enough. */
const EMPTY = 20
const SURE = 10

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

/** One look at the table, or at as much of it as has been read. */
interface Look {
  readonly table: ProcessTable | undefined
  /** Whether the leader had ended before the table was read: else its number in there is its own. */
  readonly hadEnded: boolean
  /** Who has the mark, as far as that was asked. */
  readonly marks: Map<ProcessEntry, boolean | undefined>
}

const keyOf = ({ pid, started }: ProcessEntry) => `${pid} ${started}`

export class ProcessTree {
  readonly #leader: Leader
  readonly #options: TreeOptions
  /** Who was seen to belong to it. */
  #known: readonly ProcessEntry[] = []
  /** Of these, who was in the group when it was signalled. */
  readonly #inGroup = new Set<string>()
  /** When the leader was started, in the table's count; undefined where the system does not tell at once. */
  readonly #born: number | undefined
  /** The leader has ended, and its group with it: the number may be another one's by now. */
  #isGroupGone = false
  /** The system has a table, so one that cannot be read just now says nothing. */
  #hasTable = false
  #isEnding = false
  /** It is to be killed: it is not asked, and not waited for any longer. */
  #isHurried = false
  /** Ends the wait for those that were asked. */
  #cutShort: (() => void) | undefined

  constructor(leader: Leader, options: TreeOptions) {
    this.#leader = leader
    this.#options = options
    const started = leader.started ?? readEntryNow(leader.pid)?.started
    this.#born = started === undefined ? undefined : Number(started)
    if (options.hasGroup) leader.onEnd(() => this.#rememberGroup())
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
      const found = this.#look(isKind ? undefined : (part) => this.#send(['SIGKILL'], part))
      const look = found instanceof Promise ? await found : found
      // One that is stopped hears of it only when it goes on.
      if (isKind) this.#send([signal, 'SIGCONT'], look)
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
    const reached = new Set<string>()
    const hadEnded = this.#leader.hasEnded()
    const marks: Look['marks'] = new Map()
    const act = (table?: ProcessTable) => this.#send(signals, { hadEnded, table, marks }, reached)
    if (!readTableNow(act)) act()
    // Somebody may just have left the group.
    else readTableNow(act)
  }

  /** Reads the table. `act` is told as soon as there is more of it, and at least once. */
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

  /** The leader has just ended: while it was there the group was ours, and who is in it now is known by that later on. */
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

  /** Signals the group, and each member outside of it, but for those in `reached`, to which it adds them. */
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
    // Its number is its own until then, and it may be hidden from the table.
    else if (!hasEnded) reach(pid, 'leader')
    for (const member of members) {
      if (isGroup && member.group === pid) this.#inGroup.add(keyOf(member))
      else if ((member.pid !== pid || hasEnded) && isStill(member)) reach(member.pid, keyOf(member))
    }
  }

  /** Who has left the group between the look at the table and the signal has not had it. */
  #askThoseWhoLeft(members: readonly ProcessEntry[]): void {
    for (const member of members) {
      if (member.group === this.#leader.pid || !this.#inGroup.delete(keyOf(member)) || !isStill(member)) continue
      send(member.pid, this.#options.signal)
      send(member.pid, 'SIGCONT')
    }
  }

  /** Whether the number of the group can be signalled now, and reaches nobody else. */
  #hasGroupIn({ table }: Look, members: readonly ProcessEntry[]): boolean {
    if (!this.#options.hasGroup || this.#isGroupGone) return false
    // Without a table one can but trust that the system has not gone through all numbers since the leader has ended.
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

  /** Whether it was started with the mark. What is older than the leader was not, and is not asked. */
  #isMarked(entry: ProcessEntry, { marks }: Look): boolean {
    if (entry.isZombie || (this.#born !== undefined && Number(entry.started) < this.#born)) return false
    if (!marks.has(entry)) marks.set(entry, hasMark(entry.pid, this.#options.mark))
    return marks.get(entry) ?? false
  }

  /** Who belongs to it, zombies left out. */
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
    // The set grows while it is walked.
    for (const [one] of members) for (const child of children.get(one) ?? []) members.set(child.pid, child)
    members.delete(process.pid)
    this.#known = [...members.values()].filter(({ isZombie }) => !isZombie)
    return this.#known
  }

  /** Whether nobody can have been overlooked. */
  #isSure({ table, marks }: Look): boolean {
    if (!table) return !this.#hasTable
    this.#hasTable = true
    return table.isWhole && [...marks.values()].every((mark) => mark !== undefined)
  }

  /** Without the table: whether the group, or anybody who was seen, seems to be there. */
  #seemThere(): boolean {
    const { pid } = this.#leader
    if (!this.#leader.hasEnded()) return true
    const hasGroup = this.#options.hasGroup && !this.#isGroupGone
    return (hasGroup && exists(-pid)) || this.#known.some((member) => exists(member.pid))
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
      let empty = 0
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
