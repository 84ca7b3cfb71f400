/**
 * The folders for the sockets of lent tokens. Only their owner can open them, and their names contain the id of the
 * lender's process. A lender that is killed leaves its folder behind. A borrower or the next lender removes it.
 */
import { mkdtemp, readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import process from 'node:process'
import { after } from '../../core/clock.js'
import {
  isOwnFolder,
  isThere,
  LONGEST_SOCKET_PATH,
  presenceAt,
  removeSocketFolder,
} from '../../system/socket-folder.js'

const NAME = /^calloff-(\d+)-[^-]{6}$/
const SOCKET = 's'

/** How often a socket is tried before it counts as one in use, and the milliseconds between two tries. */
const TRIES = 5
const PACE = 20

/** The folders of this process. They are removed when the process ends. */
const ours = new Set<string>()
let hasSwept = false

/** Makes a folder. Returns the path for the socket in it. */
export async function makeFolder(): Promise<string> {
  const own = join(tmpdir(), `calloff-${process.pid}-`)
  const fits = Buffer.byteLength(own) + 6 + 1 + SOCKET.length <= LONGEST_SOCKET_PATH
  const folder = await mkdtemp(fits ? own : join('/tmp', basename(own)))
  if (ours.size === 0) process.on('exit', removeAll)
  ours.add(folder)
  if (!hasSwept) {
    hasSwept = true
    sweep(dirname(folder)).catch(() => {}) // a folder that cannot be read or removed stays
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

/** Removes the socket of a lender, with its folder, if both belong to this user and no process listens there. */
export async function removeIfDead(path: string): Promise<void> {
  const folder = dirname(path)
  if (!NAME.test(basename(folder)) || basename(path) !== SOCKET || !isOwnFolder(folder)) return
  // When a process is being killed, its connections may end before its listening socket.
  for (let tries = 0; tries < TRIES; tries++) {
    if ((await presenceAt(path)) === 'dead') return removeSocketFolder(folder, SOCKET)
    await new Promise<void>((resolve) => void after(PACE, resolve, true))
  }
}

/**
 * Removes the folders of lenders that were killed. The process id alone is not enough: it may be that of another
 * container.
 */
async function sweep(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const [, pid] = NAME.exec(name) ?? []
    if (pid !== undefined && !isThere(Number(pid))) await removeIfDead(join(folder, name, SOCKET))
  }
}
