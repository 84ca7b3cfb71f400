/**
 * That a journal has one server at a time: a file beside it, which says who has it.
 *
 * Invariants
 * K1. The file appears whole, with its content (`link`), so nobody ever reads half of it.
 * K2. On one machine the system knows whether the owner lives: by its process id, and by when that process began, since ids are
 *     used again. In a container every server may be process 1, so for one's own id what is open here is what counts.
 * K3. An owner on another machine (a shared disk, another container) cannot be asked. It touches the file every so often; one
 *     that is watched for several times as long and does not move is taken over.
 * K4. Who takes it over does so one at a time, by another file (`….door`), and looks again before the old file is taken away: by
 *     then it may be that of one who was quicker. An owner that finds the file to be somebody else's, as after a sleep, is told.
 */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { link, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { resolve } from 'node:path'
import process from 'node:process'
import { after } from '../core/clock.js'
import { HubError } from './errors.js'

/** Milliseconds between two touches; how long one that is elsewhere is watched. */
const TOUCH = 1_000
const WATCH = 5_000
/** Milliseconds until somebody else is through the door. */
const MOMENT = 5

interface Owner {
  readonly pid: number
  readonly host: string
  /** When its process began, where the system tells; else empty. */
  readonly began: string
  /** Different each time. */
  readonly id: string
}

/** The locks that are held by this very process. */
const mine = new Set<string>()

export class JournalLock {
  readonly #path: string
  readonly #text: string
  #stopTouching = () => {}
  /** Told once, when it is found to be somebody else's. */
  onLost: (error: HubError) => void = () => {}

  private constructor(path: string, text: string) {
    this.#path = path
    this.#text = text
    this.#touch()
  }

  /** Rejects with `ERR_HUB_JOURNAL` if a server that lives has it. */
  static async take(journal: string): Promise<JournalLock> {
    const path = `${resolve(journal)}.lock`
    const id = randomBytes(12).toString('hex')
    const owner: Owner = { pid: process.pid, host: hostname(), began: beganOf(process.pid), id }
    const text = JSON.stringify(owner)
    const own = `${path}.${id}`
    try {
      await writeFile(own, text, { mode: 0o600 })
      mine.add(id)
      while (!(await isLinked(own, path))) await takeAway(path, own, journal)
      return new JournalLock(path, text)
    } catch (error) {
      mine.delete(id)
      throw error
    } finally {
      await rm(own, { force: true })
    }
  }

  async release(): Promise<void> {
    this.#stopTouching()
    mine.delete(idOf(this.#text))
    if ((await textOf(this.#path)) === this.#text) await rm(this.#path, { force: true })
  }

  #touch(): void {
    const touch = async () => {
      if ((await textOf(this.#path)) !== this.#text) {
        this.onLost(new HubError('ERR_HUB_JOURNAL', `${this.#path} is somebody else's by now`))
        return
      }
      const time = new Date()
      await utimes(this.#path, time, time)
      this.#touch()
    }
    this.#stopTouching = after(TOUCH, () => void touch().catch(() => this.#touch()), false)
  }
}

async function isLinked(own: string, path: string): Promise<boolean> {
  try {
    await link(own, path)
    return true
  } catch (error) {
    if ((error as { code?: string }).code === 'EEXIST') return false
    throw error
  }
}

/** Takes the lock of somebody who is no more away. */
async function takeAway(path: string, own: string, journal: string): Promise<void> {
  const text = await textOf(path)
  if (text === undefined) return
  if (await isInUse(path, text)) {
    const owner = ownerOf(text)
    const who = owner ? `process ${owner.pid} on ${owner.host}` : 'somebody'
    throw new HubError('ERR_HUB_JOURNAL', `the journal ${journal} is that of a server in ${who}`)
  }
  const door = `${path}.door`
  if (await isLinked(own, door)) {
    if ((await textOf(path)) === text) await rm(path, { force: true })
    await rm(door, { force: true })
    return
  }
  const inside = await textOf(door)
  if (inside === undefined) return
  if (await isInUse(door, inside)) await pause(MOMENT)
  else await rm(door, { force: true }) // of one who has died there
}

async function isInUse(path: string, text: string): Promise<boolean> {
  const owner = ownerOf(text)
  return owner?.host === hostname() ? isAlive(owner) : isTouched(path, text)
}

const pause = (ms: number) => new Promise<void>((done) => void after(ms, done, true))

function isAlive({ pid, began, id }: Owner): boolean {
  if (pid === process.pid) return mine.has(id)
  try {
    process.kill(pid, 0)
  } catch (error) {
    // Of another user, it lives as well.
    if ((error as { code?: string }).code === 'ESRCH') return false
  }
  return began === '' || began === beganOf(pid)
}

async function isTouched(path: string, text: string): Promise<boolean> {
  const timeOf = async () => (await stat(path)).mtimeMs
  try {
    const before = await timeOf()
    await pause(WATCH)
    return (await timeOf()) !== before || (await textOf(path)) !== text
  } catch {
    return false // It has gone.
  }
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return undefined
    throw error
  }
}

function ownerOf(text: string): Owner | undefined {
  try {
    const { pid, host, began, id } = (JSON.parse(text) ?? {}) as Record<string, unknown>
    if (typeof pid !== 'number' || !Number.isSafeInteger(pid) || typeof host !== 'string') return undefined
    return { pid, host, began: typeof began === 'string' ? began : '', id: typeof id === 'string' ? id : '' }
  } catch {
    return undefined
  }
}

const idOf = (text: string): string => ownerOf(text)?.id ?? ''

/** When a process began, counted by the system since it was started itself, and which start that was: Linux alone tells. */
function beganOf(pid: number): string {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${fields[19] ?? ''}`
  } catch {
    return ''
  }
}
