/**
 * The folders in which lent tokens have their sockets: for their owner alone, with the number of the lender's process in their
 * names. A lender that is killed leaves his behind; it is taken away by those to whom he had lent, or by the next lender.
 */
import { rmSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import process from 'node:process'
import { after } from '../core/clock.js'

/** The longest path of a socket that all systems take, in bytes. */
const LONGEST_PATH = 103
const NAME = /^calloff-(\d+)-[^-]{6}$/
const SOCKET = 's'

/** Whether a socket is dead is looked at so often, with so many milliseconds in between. */
const LOOKS = 5
const PACE = 20

/** Those of this process, which go when it ends. */
const ours = new Set<string>()
let hasSwept = false

/** Makes a folder; gives the path of the socket in it. */
export async function makeFolder(): Promise<string> {
  const own = join(tmpdir(), `calloff-${process.pid}-`)
  const fits = Buffer.byteLength(own) + 6 + 1 + SOCKET.length <= LONGEST_PATH
  const folder = await mkdtemp(fits ? own : join('/tmp', basename(own)))
  if (ours.size === 0) process.on('exit', removeAll)
  ours.add(folder)
  if (!hasSwept) {
    hasSwept = true
    sweep(dirname(folder)).catch(() => {}) // what cannot be read or removed stays
  }
  return join(folder, SOCKET)
}

export async function removeFolder(path: string): Promise<void> {
  const folder = dirname(path)
  ours.delete(folder)
  if (ours.size === 0) process.off('exit', removeAll)
  await rm(folder, { recursive: true, force: true })
}

function removeAll(): void {
  for (const folder of ours) rmSync(folder, { recursive: true, force: true })
}

/** Takes a socket away, with its folder, unless somebody listens there. */
export async function removeIfDead(path: string): Promise<void> {
  const folder = dirname(path)
  if (!NAME.test(basename(folder)) || basename(path) !== SOCKET) return
  // Of a process that is being killed, the connections may go before the socket that listens.
  for (let looks = 0; looks < LOOKS; looks++) {
    if (await isDead(path)) return rm(folder, { recursive: true, force: true })
    await new Promise<void>((resolve) => void after(PACE, resolve, true))
  }
}

function isDead(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path)
    probe.once('connect', () => {
      probe.destroy()
      resolve(false)
    })
    probe.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code === 'ECONNREFUSED' || code === 'ENOENT'))
  })
}

/** What lenders that were killed have left. The number alone does not tell: it may be of another container. */
async function sweep(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const [, pid] = NAME.exec(name) ?? []
    if (pid !== undefined && !isThere(Number(pid))) await removeIfDead(join(folder, name, SOCKET))
  }
}

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
