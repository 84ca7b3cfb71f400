/**
 * A lock that the kernel keeps: at most one process owns the files at a path.
 *
 * Invariants
 * KL1. The owner listens on a Unix socket of its own beside the path (`PATH-ID`; on Windows, on a pipe whose name
 *     stands for the path). As long as its process lives, even if it is busy or stopped, the kernel accepts
 *     connections. Once the process has ended, in any way, the kernel refuses them. Process ids are for messages only,
 *     because containers share them and systems use them again.
 * KL2. A process first listens and then looks for other listeners. It takes the lock only if no other process listens.
 *     So of two processes that try at the same time at most one takes the lock: the one that listened last sees the
 *     other one. If both see each other, the one with the larger id withdraws.
 * KL3. Only an owner removes the sockets of dead processes. A process may find that its own socket is gone (an owner
 *     took it for dead before it listened). Then it begins again.
 */
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readdir, rmdir, symlink } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { hostname, tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import process from 'node:process'
import { after } from '../core/clock.js'
import { removed } from './files.js'
import { LONGEST_SOCKET_PATH } from './socket-folder.js'

/** How often a process tries while others try too, and the largest number of milliseconds between two tries. */
const TRIES = 100
const MOMENT = 25
/** Milliseconds for an owner to answer which process it is. A stopped process does not answer. */
const WORD = 1_000

/** The owner of a lock, for messages. */
export interface Owner {
  readonly pid: number
  readonly host: string
  /** Different each time: 12 hexadecimal digits. */
  readonly id: string
}

/** Returns this process as an owner, with an id of its own. */
export function newOwner(): Owner {
  return { pid: process.pid, host: hostname(), id: randomBytes(6).toString('hex') }
}

/** The answer of the process that listens on a socket. */
interface Answer {
  readonly owner: Owner | undefined
  /** True if the process has the lock. False if it only tries to take it. */
  readonly isSettled: boolean
}

/**
 * Makes the error for a lock that another process has. The owner is undefined if it does not say which process it is.
 */
export type Refusal = (owner: Owner | undefined) => Error

export class KernelLock {
  readonly #server: Server
  readonly #socket: string | undefined
  #isSettled = false

  private constructor(owner: Owner, socket: string | undefined) {
    this.#socket = socket
    this.#server = createServer((asking) => {
      asking.on('error', () => {})
      asking.end(JSON.stringify({ owner, isSettled: this.#isSettled } satisfies Answer))
    })
    this.#server.on('error', () => {}) // errors of accepting a connection: the kernel continues to listen
    this.#server.unref()
  }

  /** Takes the lock. Rejects with the error of `refusal` if another process has it. */
  static async take(path: string, owner: Owner, refusal: Refusal): Promise<KernelLock> {
    if (process.platform === 'win32') return KernelLock.#takePipe(path, owner, refusal)
    const way = await wayTo(path)
    const name = `${basename(path)}-${owner.id}`
    try {
      for (let tries = 0; ; tries++) {
        const lock = new KernelLock(owner, join(dirname(path), name))
        if (!(await lock.#listen(way.to(name)))) return lock // this file system has no sockets, so there is no lock
        try {
          for (; tries < TRIES; tries++) {
            const { others, isThere } = await look(path, name, way.to)
            if (!isThere) break
            const settled = others.find(({ isSettled }) => isSettled)
            if (settled) throw refusal(settled.owner)
            if (others.length === 0) {
              lock.#isSettled = true
              await sweep(path, name, way.to)
              return lock
            }
            if (others.some((one) => one.owner === undefined || one.owner.id < owner.id)) break
            await pause(1)
          }
        } catch (error) {
          await lock.leave()
          throw error
        }
        await lock.leave()
        if (tries >= TRIES) throw refusal(undefined)
        await pause(1 + Math.random() * MOMENT)
      }
    } finally {
      await way.close()
    }
  }

  /** Takes the lock on Windows. Pipes are exclusive, and end with their process. */
  static async #takePipe(path: string, owner: Owner, refusal: Refusal): Promise<KernelLock> {
    const name = createHash('sha256').update(path.toLowerCase()).digest('hex').slice(0, 32)
    const pipe = `\\\\.\\pipe\\calloff-lock-${name}`
    const lock = new KernelLock(owner, undefined)
    lock.#isSettled = true
    try {
      await lock.#listen(pipe)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
      const answer = await ask(pipe)
      throw refusal(answer?.owner)
    }
    return lock
  }

  /** Listens. Resolves with false if the file system has no sockets. */
  #listen(path: string): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const failed = (error: NodeJS.ErrnoException) =>
        NO_SOCKETS.has(error.code ?? '') ? resolve(false) : reject(error)
      this.#server.once('error', failed)
      // Exclusive, because the workers of a cluster would share the socket otherwise.
      this.#server.listen({ path, exclusive: true }, () => {
        this.#server.off('error', failed)
        resolve(true)
      })
    })
  }

  async leave(): Promise<void> {
    if (this.#socket !== undefined) await removed(this.#socket)
    await new Promise<void>((resolve) => void this.#server.close(() => resolve()))
  }
}

const NO_SOCKETS = new Set(['EOPNOTSUPP', 'ENOTSUP', 'EPERM', 'EINVAL', 'ENOSYS'])

type PathOf = (name: string) => string

/** Finds the other listeners, and whether the own socket is still there. */
async function look(path: string, own: string, to: PathOf) {
  const names = await socketsOf(path)
  const answers = await Promise.all(names.map(async (name) => (name === own ? undefined : ask(to(name)))))
  return { isThere: names.includes(own), others: answers.filter((one) => one !== undefined) }
}

/** Removes the sockets on which no process listens any more. */
async function sweep(path: string, own: string, to: PathOf): Promise<void> {
  for (const name of await socketsOf(path)) {
    if (name !== own && !(await ask(to(name)))) await removed(join(dirname(path), name))
  }
}

async function socketsOf(path: string): Promise<string[]> {
  const stem = `${basename(path)}-`
  const names = await readdir(dirname(path))
  return names.filter((name) => name.startsWith(stem) && /^[0-9a-f]{12}$/.test(name.slice(stem.length)))
}

/**
 * Asks the process that listens on a socket. Resolves with undefined if the kernel refuses the connection: then no
 * process has the socket.
 */
function ask(path: string): Promise<Answer | undefined> {
  return new Promise((resolve) => {
    let text = ''
    const socket = connect(path)
    const done = (answer: Answer | undefined) => {
      stop()
      socket.destroy()
      resolve(answer)
    }
    const stop = after(WORD, () => done(SILENT), true)
    socket.setEncoding('utf8')
    socket.on('data', (part: string) => (text += part))
    socket.once('end', () => done(answerIn(text)))
    socket.once('error', ({ code }: NodeJS.ErrnoException) => {
      if (code === 'ECONNREFUSED' || code === 'ENOENT') done(undefined)
      // The process may be leaving at this moment.
      else done(code === 'ECONNRESET' || code === 'EPIPE' ? answerIn(text) : SILENT)
    })
  })
}

/** The answer of a process that does not answer, or whose socket may not be opened: it may have the lock. */
const SILENT: Answer = { owner: undefined, isSettled: true }

function answerIn(text: string): Answer {
  const { owner, isSettled } = fieldsOf(text)
  return { owner: ownerIn(owner), isSettled: isSettled === true }
}

/**
 * Returns paths of sockets that are short enough. If the folder's own path is too long, they lead through a link to it.
 */
async function wayTo(path: string): Promise<{ readonly to: PathOf; close(): Promise<void> }> {
  const folder = dirname(path)
  const length = Buffer.byteLength(join(folder, `${basename(path)}-${'x'.repeat(12)}`))
  if (length <= LONGEST_SOCKET_PATH) return { to: (name) => join(folder, name), close: async () => {} }
  const aside = await mkdtemp(join(Buffer.byteLength(tmpdir()) > 40 ? '/tmp' : tmpdir(), 'calloff-j-'))
  const link = join(aside, 'f')
  await symlink(folder, link)
  return {
    to: (name) => join(link, name),
    async close() {
      await removed(link)
      await rmdir(aside).catch(() => {})
    },
  }
}

const pause = (ms: number) => new Promise<void>((done) => void after(ms, done, true))

/** Returns the unchecked fields of an object in JSON. */
export function fieldsOf(text: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(text)) as Record<string, unknown>
  } catch {
    return {}
  }
}

export function ownerIn(value: unknown): Owner | undefined {
  const { pid, host, id } = Object(value) as { readonly [K in keyof Owner]?: unknown }
  if (!Number.isSafeInteger(pid) || typeof host !== 'string') return undefined
  return { pid: pid as number, host, id: typeof id === 'string' ? id : '' }
}
