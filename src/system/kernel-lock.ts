/**
 * A lock that the kernel keeps: one process at a time has what is at a path.
 *
 * Invariants
 * KL1. The owner listens on a Unix socket of its own beside the path (`PATH-ID`; on Windows, on a pipe whose name stands for the path). As
 *      long as its process lives, even if it is busy or stopped, a connection is taken; once it has ended, in whatever way, it is refused.
 *      Process ids, which containers share and systems use again, are for messages only.
 * KL2. A process listens first and looks for others then, and it takes the lock only if no other listens. So of two that try at the same
 *      time at most one takes it: the one that listened last sees the other one. Of two that see each other, the larger id withdraws.
 * KL3. Only an owner removes the sockets of the dead. A process whose own socket is gone when it looks (it was taken for dead before it
 *      listened) begins again.
 */
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, rmdir, symlink, unlink } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import process from 'node:process'
import { after } from '../core/clock.js'
import { LONGEST_SOCKET_PATH } from './socket-folder.js'

/** How often a process tries beside others that try, and the most milliseconds between two tries. */
const TRIES = 100
const MOMENT = 25
/** Milliseconds for an owner to say which process it is; one that is stopped says nothing. */
const WORD = 1_000

/** Who has a lock, for messages. */
export interface Owner {
  readonly pid: number
  readonly host: string
  /** Different each time: 12 hexadecimal digits. */
  readonly id: string
}

/** What the one behind a socket says. */
interface Answer {
  readonly owner: Owner | undefined
  /** It has the lock, and does not only try to take it. */
  readonly isSettled: boolean
}

/** Makes the error for a lock that another process has; it may not say which one. */
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
    this.#server.on('error', () => {}) // of accepting: the kernel goes on listening
    this.#server.unref()
  }

  /** Rejects with what `refusal` makes if another process has it. */
  static async take(path: string, owner: Owner, refusal: Refusal): Promise<KernelLock> {
    if (process.platform === 'win32') return KernelLock.#takePipe(path, owner, refusal)
    const way = await wayTo(path)
    const name = `${basename(path)}-${owner.id}`
    try {
      for (let tries = 0; ; tries++) {
        const lock = new KernelLock(owner, join(dirname(path), name))
        if (!(await lock.#listen(way.to(name)))) return lock // this file system has no sockets: there is no lock
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

  /** Pipes are exclusive, and gone with their process. */
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

  /** False where the file system takes no sockets. */
  #listen(path: string): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const failed = (error: NodeJS.ErrnoException) =>
        NO_SOCKETS.has(error.code ?? '') ? resolve(false) : reject(error)
      this.#server.once('error', failed)
      // Exclusive, since the workers of a cluster would share it.
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

/** The others that listen, and whether one's own socket is still there. */
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

/** What the one behind a socket says; undefined if the kernel refuses, so that nobody has it. */
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
      // It may just be leaving.
      else done(code === 'ECONNRESET' || code === 'EPIPE' ? answerIn(text) : SILENT)
    })
  })
}

/** One that is there and says nothing, or may not be asked: for all we know it has the lock. */
const SILENT: Answer = { owner: undefined, isSettled: true }

function answerIn(text: string): Answer {
  const { owner, isSettled } = fieldsOf(text)
  return { owner: ownerIn(owner), isSettled: isSettled === true }
}

/** Sockets by paths that are short enough: through a link to their folder, where that is far. */
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

/** Removes a file, if it is there. */
export async function removed(path: string): Promise<void> {
  await unlink(path).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  })
}

/** The fields of an object in JSON, none of them checked. */
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
