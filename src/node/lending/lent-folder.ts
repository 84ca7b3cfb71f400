/**
 * The folders in which lent tokens have their sockets: for their owner alone, with the id of the lender's process in their names.
 * A lender that is killed leaves its folder behind. A borrower removes it, or the next lender.
 */
import { mkdtemp, readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import process from 'node:process'
import { after } from '../../core/clock.js'
import { isOwnFolder, LONGEST_SOCKET_PATH, presenceAt, removeSocketFolder } from '../../system/socket-folder.js'

const NAME = /^calloff-(\d+)-[^-]{6}$/
const SOCKET = 's'

/** How often a socket is tried before it counts as one that is in use, and the milliseconds in between. */
const TRIES = 5
const PACE = 20

/** The folders of this process, which are removed when it ends. */
const ours = new Set<string>()
let hasSwept = false

/** Makes a folder. Returns the path of the socket that is to be made in it. */
export async function makeFolder(): Promise<string> {
  const own = join(tmpdir(), `calloff-${process.pid}-`)
  const fits = Buffer.byteLength(own) + 6 + 1 + SOCKET.length <= LONGEST_SOCKET_PATH
  const folder = await mkdtemp(fits ? own : join('/tmp', basename(own)))
  if (ours.size === 0) process.on('exit', removeAll)
  ours.add(folder)
  if (!hasSwept) {
    hasSwept = true
    sweep(dirname(folder)).catch(() => {}) // what cannot be read or removed stays
  }
  return join(folder, SOCKET)
}

export function removeFolder(path: string): void {
  const folder = dirname(path)
  ours.delete(folder)
  if (ours.size === 0) process.off('exit', removeAll)
  removeSocketFolder(folder, SOCKET)
}

function removeAll(): void {
  for (const folder of ours) removeSocketFolder(folder, SOCKET)
}

/** Removes the socket of a lender, with its folder, if they are this user's own and no process listens there. */
export async function removeIfDead(path: string): Promise<void> {
  const folder = dirname(path)
  if (!NAME.test(basename(folder)) || basename(path) !== SOCKET || !isOwnFolder(folder)) return
  // Of a process that is being killed, the connections may end before the socket that listens.
  for (let tries = 0; tries < TRIES; tries++) {
    if ((await presenceAt(path)) === 'dead') return removeSocketFolder(folder, SOCKET)
    await new Promise<void>((resolve) => void after(PACE, resolve, true))
  }
}

/** Removes what lenders that were killed have left. Their process id alone does not tell: it may be of another container. */
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
