/**
 * The place of a server's Unix socket, or the name of its pipe on Windows.
 *
 * Invariants
 * SP1. Servers start at a path one after the other (kernel-lock.ts), so only one of them finds the path free.
 * SP2. A socket is replaced only if the kernel refuses to connect to it. A server that is busy or suspended keeps its socket.
 * SP3. The socket is made in a private folder and moved to its path when it is ready. No other user can reach it at any moment.
 * SP4. The file at the path is removed only if it is the file that this server made. The socket is made again only if that file, or no
 *      file, is at the path.
 */
import { chmod, lstat, mkdtemp, rename, rmdir, unlink } from 'node:fs/promises'
import type { Server } from 'node:net'
import { dirname, join, resolve } from 'node:path'
import process from 'node:process'
import { LONGEST_SOCKET_PATH, presenceAt, removeSocketFolder } from '../../system/socket-folder.js'
import { HubError } from '../contract/errors.js'
import { ifExists } from '../../system/files.js'
import { KernelLock, newOwner } from '../../system/kernel-lock.js'

const isPipe = process.platform === 'win32'

/** How many connections may wait to be accepted, if the system allows it. After a restart all clients connect at once. */
export const BACKLOG = 4_096

/** The file at the path of a server. */
export type SocketFile = 'ours' | 'gone' | 'of another'

export class SocketPlace {
  /** The device and the inode of the socket that this server made. */
  #file: readonly [dev: number, ino: number] | undefined

  /** Whether an earlier server at this path has died. */
  hasPredecessor = false

  private constructor(private readonly path: string) {}

  /** Errors: `RangeError` if the path is too long for a socket. */
  static at(path: string): SocketPlace {
    // An absolute path, so the URL means the same in every folder.
    const whole = isPipe ? path : resolve(path)
    const longest = Math.max(Buffer.byteLength(whole), Buffer.byteLength(join(dirname(whole), '.cXXXXXX', 's')))
    if (!isPipe && longest > LONGEST_SOCKET_PATH) {
      throw new RangeError(`path must be shorter to be the path of a socket, got ${JSON.stringify(path)}`)
    }
    return new SocketPlace(whole)
  }

  get url(): string {
    return isPipe ? `pipe:${this.path}` : `unix:${encodeURI(this.path).replaceAll(/[?#]/g, encodeURIComponent)}`
  }

  /**
   * Makes the server listen at the path.
   *
   * Errors: `ERR_HUB_REFUSED` if another server is listening there, or the file there is not a socket.
   */
  async listen(server: Server): Promise<void> {
    if (isPipe) return listening(server, () => server.listen({ path: pipeOf(this.path), backlog: BACKLOG }))
    const lock = await KernelLock.take(`${this.path}.start`, newOwner(), () => taken(this.path))
    try {
      await this.#checkPath()
      await this.#moveIntoPlace(server)
    } finally {
      await lock.leave()
    }
  }

  async #checkPath(): Promise<void> {
    const found = await ifExists(lstat(this.path))
    if (!found) return
    if (!found.isSocket()) throw new HubError('ERR_HUB_REFUSED', `${this.path} exists and is not a socket`)
    if ((await presenceAt(this.path)) !== 'dead') throw taken(this.path)
    this.hasPredecessor = true
  }

  async #moveIntoPlace(server: Server): Promise<void> {
    const folder = await mkdtemp(join(dirname(this.path), '.c'))
    const inside = join(folder, 's')
    try {
      await listening(server, () => server.listen({ path: inside, backlog: BACKLOG }))
      await chmod(inside, 0o600)
      const { dev, ino } = await lstat(inside)
      await rename(inside, this.path)
      this.#file = [dev, ino]
    } catch (error) {
      server.close()
      removeSocketFolder(folder, 's')
      throw error
    }
    await rmdir(folder).catch(() => {})
  }

  /** Returns which file is at the path now. A pipe cannot be removed. */
  async check(): Promise<SocketFile> {
    if (isPipe) return 'ours'
    const found = await ifExists(lstat(this.path))
    if (!found) return 'gone'
    return found.dev === this.#file?.[0] && found.ino === this.#file[1] ? 'ours' : 'of another'
  }

  /** Removes the socket if this server made it. Must be called while the server still listens, so no other server takes the path meanwhile. */
  async remove(): Promise<void> {
    if (!isPipe && (await this.check()) === 'ours') await unlink(this.path).catch(() => {})
  }
}

function taken(path: string): HubError {
  return new HubError('ERR_HUB_REFUSED', `another server is listening at ${path}`)
}

/** Resolves when the server listens. */
export function listening(server: Server, start: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.once('listening', () => {
      server.off('error', reject)
      resolve()
    })
    start()
  })
}

/** Returns the full name of a pipe on Windows. */
export function pipeOf(name: string): string {
  return name.startsWith('\\\\') ? name : `\\\\.\\pipe\\${name}`
}
