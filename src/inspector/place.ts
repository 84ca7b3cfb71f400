/**
 * Where the sockets of inspected processes are: in the user's own folder, one file for each process.
 *
 * Invariants
 * IP1. A socket is made, asked and removed only in a folder that is this user's own (SF1, SF2 in socket-folder.ts). So
 *     each socket there was made by a process of this user.
 * IP2. The socket has the mode 0600. Until it has that mode, only the folder protects it, which no other user can enter.
 * IP3. A socket is removed only by its own process, or if its process is not there and the kernel refuses connections.
 *     The process id alone is not enough: it may be that of another container.
 */
import { randomBytes } from 'node:crypto'
import { lstatSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { makeOwnFolder, ownFolders } from '../system/runtime-folder.js'
import { isOwnFolder, isThere, LONGEST_SOCKET_PATH, presenceAt, removeSocket } from '../system/socket-folder.js'

const isWindows = process.platform === 'win32'
const NAME = /^(?:calloff-)?inspect-(\d{1,10})-[0-9a-f]{8}$/
const PIPES = '\\\\.\\pipe\\'

/** A socket, or a pipe on Windows, and the process that is in its name. */
export interface Place {
  readonly pid: number
  readonly folder: string
  readonly name: string
  readonly path: string
}

/** Returns a new place for this process, in a folder that is made if it does not exist. Errors: an `Error` if no folder can be used. */
export function newPlace(): Place {
  const { pid } = process
  const name = `inspect-${pid}-${randomBytes(4).toString('hex')}`
  if (isWindows) return { pid, folder: PIPES, name: `calloff-${name}`, path: `${PIPES}calloff-${name}` }
  const folder = ownFolders().find((one) => Buffer.byteLength(join(one, name)) <= LONGEST_SOCKET_PATH)
  if (folder === undefined) throw new Error('the path of every folder for its socket is too long')
  makeOwnFolder(folder)
  if (!isOwnFolder(folder)) throw new Error(`refusing to use ${folder}: another user can rename it`)
  return { pid, folder, name, path: join(folder, name) }
}

/** Removes the socket of this process. Throws nothing. */
export function removePlace({ folder, name }: Place): void {
  if (!isWindows) removeSocket(folder, name)
}

/**
 * Returns the places of the processes of this user that may be asked. Removes the sockets that processes which were
 * killed have left. One of those whose process id is that of another process now stays, and is left out.
 */
export async function findPlaces(): Promise<readonly Place[]> {
  const found: Place[] = []
  for (const folder of isWindows ? [PIPES] : ownFolders()) {
    for (const place of placesIn(folder)) {
      if (isWindows || (await presenceAt(place.path)) !== 'dead') found.push(place)
      else if (!isThere(place.pid)) removePlace(place)
    }
  }
  return found.toSorted((one, other) => one.pid - other.pid)
}

function placesIn(folder: string): Place[] {
  if (!isWindows && !isOwnFolder(folder)) return []
  let names: string[]
  try {
    names = readdirSync(folder)
  } catch {
    return []
  }
  return names.flatMap((name) => {
    const [, pid] = NAME.exec(name) ?? []
    const path = isWindows ? `${folder}${name}` : join(folder, name)
    return pid === undefined || !isSocket(path) ? [] : [{ pid: Number(pid), folder, name, path }]
  })
}

function isSocket(path: string): boolean {
  return isWindows || lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true
}
