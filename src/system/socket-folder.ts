/**
 * Folders that hold one Unix socket each, and how they are removed.
 *
 * All users share the folder for temporary files: another user may have put a folder, or a link, of any name there. So
 * nothing is removed by its name alone.
 *
 * Invariants
 * SF1. A folder is touched only if it is a real folder, belongs to this user, and no other user may write in it.
 * SF2. Its parent must be a folder in which no other user can rename it: the parent belongs to this user or to root,
 *     and it is sticky or no other user may write in it. So the folder that was checked is the folder that is removed.
 * SF3. Only our own files are removed: the socket by `unlink`, then the folder by `rmdir`. Neither follows a link, and
 *     a folder with other content stays.
 */
import { lstatSync, rmdirSync, statSync, type Stats, unlinkSync } from 'node:fs'
import { connect } from 'node:net'
import { dirname, join } from 'node:path'
import process from 'node:process'

/** The longest path of a socket that all systems accept, in bytes. */
export const LONGEST_SOCKET_PATH = 103

const GROUP_OR_OTHERS_WRITE = 0o022
const STICKY = 0o1000

/** What the system reports about the path of a socket. */
export type Presence =
  /** A process accepts connections. */
  | 'listening'
  /** The system refuses connections, or nothing is there: no process has the socket. */
  | 'dead'
  /** Unknown: a process that is busy, or a socket that this user may not open. */
  | 'unknown'

/** Connects to a socket, to find out whether a process listens there. Does not keep the connection. */
export function presenceAt(path: string): Promise<Presence> {
  return new Promise((resolve) => {
    const probe = connect(path)
    probe.once('connect', () => {
      probe.destroy()
      resolve('listening')
    })
    probe.once('error', ({ code }: NodeJS.ErrnoException) =>
      resolve(code === 'ECONNREFUSED' || code === 'ENOENT' ? 'dead' : 'unknown'),
    )
  })
}

/**
 * Returns whether the folder is this user's own, in a place where it stays so: SF1 and SF2. Returns false if it does
 * not exist.
 */
export function isOwnFolder(folder: string): boolean {
  try {
    const found = lstatSync(folder)
    const parent = statSync(dirname(folder))
    return found.isDirectory() && isMine(found) && !isOpen(found) && isKeptBy(parent)
  } catch {
    return false
  }
}

/** Removes the socket and then its folder, if both are ours. Leaves everything else unchanged. Throws nothing. */
export function removeSocketFolder(folder: string, socket: string): void {
  if (!removeSocket(folder, socket)) return
  try {
    rmdirSync(folder)
  } catch {
    // It holds other files, or it is removed already.
  }
}

/**
 * Removes the socket alone, if it and its folder are ours. Returns whether the folder is. Leaves everything else
 * unchanged. Throws nothing.
 */
export function removeSocket(folder: string, socket: string): boolean {
  if (!isOwnFolder(folder)) return false
  const path = join(folder, socket)
  try {
    const found = lstatSync(path)
    if (found.isSocket() && isMine(found)) unlinkSync(path)
  } catch {
    // It was never made, or it is removed already.
  }
  return true
}

/** Returns whether a process with this id is there, of any user. */
export function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function isMine({ uid }: Stats): boolean {
  return process.getuid === undefined || uid === process.getuid()
}

function isOpen({ mode }: Stats): boolean {
  return process.platform !== 'win32' && (mode & GROUP_OR_OTHERS_WRITE) !== 0
}

function isKeptBy(parent: Stats): boolean {
  return (isMine(parent) || parent.uid === 0) && (!isOpen(parent) || (parent.mode & STICKY) !== 0)
}
