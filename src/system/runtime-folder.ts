/** The user's own folder for sockets, in which no other user can put one. */
import { chmodSync, lstatSync, mkdirSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { isAbsolute, join } from 'node:path'
import process from 'node:process'

const isWindows = process.platform === 'win32'

/** Returns the URL at which the hub of this user listens. Makes no file. */
export function ownHub(): string {
  if (isWindows) return `pipe:calloff-${encodeURIComponent(userInfo().username)}`
  return urlOfSocket(join(ownFolder(), 'hub.sock'))
}

/** Returns the URL of a socket, in the form in which the server writes it. */
export function urlOfSocket(path: string): string {
  return `unix:${encodeURI(path).replaceAll(/[?#]/g, encodeURIComponent)}`
}

/**
 * Returns the folder. It is in the runtime directory that the system has made for this user, or, if there is none, in
 * the folder for temporary files.
 */
export function ownFolder(): string {
  return ownFolders()[0] as string
}

/** Returns all folders in which a process of this user may have put a socket, with {@link ownFolder} as the first. */
export function ownFolders(): string[] {
  const name = `calloff-${process.getuid?.() ?? userInfo().username}`
  const given = process.env['XDG_RUNTIME_DIR']
  const folders = given && isAbsolute(given) ? [join(given, 'calloff')] : []
  // A path of a socket may be too long in the others.
  for (const temporary of isWindows ? [tmpdir()] : [tmpdir(), '/tmp']) folders.push(join(temporary, name))
  return [...new Set(folders)]
}

/** Makes the folder, for this user alone. Errors: an `Error` if it exists and another user could change it. */
export function makeOwnFolder(folder: string = ownFolder()): string {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  refuseForeign(folder)
  return folder
}

/**
 * Checks the folder. Errors: an `Error` if it belongs to another user, who could put any socket there. A folder
 * that does not exist is no error.
 */
export function refuseForeign(folder: string): void {
  if (isWindows) return
  const found = lstatSync(folder, { throwIfNoEntry: false })
  if (!found) return
  const me = process.getuid?.()
  if (!found.isDirectory()) throw new Error(`refusing to use ${folder}: it is not a folder`)
  if (found.uid !== me) throw new Error(`refusing to use ${folder}: it belongs to user ${found.uid}, not to you`)
  if ((found.mode & 0o077) !== 0) chmodSync(folder, 0o700)
}
