/**
 * The lock of a journal: one server at a time.
 *
 * Invariants
 * JL1. The owner listens on a Unix socket of its own beside the journal (`….lock-ID`; on Windows, on a pipe whose name stands for the
 *      journal). The kernel keeps it: as long as the process lives, even if it is busy or stopped, a connection is taken; once it has
 *      ended, in whatever way, it is refused. Process ids, which containers share and systems use again, are for messages only.
 * JL2. A server listens first and looks for others then, and it takes the lock only if no other listens. So of two that try at the same
 *      time at most one takes it: the one that listened last sees the other one. Of two that see each other, the larger id withdraws.
 * JL3. Only an owner removes the sockets of the dead. A server whose own socket is gone when it looks (it was taken for dead before it
 *      listened) begins again.
 * JL4. Sockets say nothing of a process on another machine that shares the disk. So the file `….lock` names the owner and its kernel, and
 *      the owner touches it. A file of another kernel is watched for a while, and the lock is taken if it does not move.
 * JL5. An owner that was asleep meanwhile finds that `….lock` is no longer its own. The journal asks so before it acknowledges anything,
 *      and each new owner writes to a new file: an owner that was taken over acknowledges nothing and destroys nothing.
 */
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rename, rmdir, stat, symlink, unlink, utimes, writeFile } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { hostname, tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import process from 'node:process'
import { after } from '../core/clock.js'
import { HubError } from './errors.js'
import { LONGEST_SOCKET_PATH } from '../system/socket-folder.js'

/** Milliseconds between two touches; how long a lock of another kernel is watched. */
const TOUCH = 1_000
const WATCH = 5_000
/** How often a server tries beside others that try, and the most milliseconds between two tries. */
const TRIES = 100
const MOMENT = 25
/** Milliseconds for an owner to say which process it is; one that is stopped says nothing. */
const WORD = 1_000

/** What `….lock` says. Of an older version, or damaged, any of it may be missing. */
interface Owner {
  readonly pid: number
  readonly host: string
  /** Which start of which machine: no two are the same. */
  readonly kernel: string | undefined
  readonly id: string
}

/** What the one behind a socket says. */
interface Answer {
  readonly owner: Owner | undefined
  /** It has the lock, and does not only try to take it. */
  readonly isSettled: boolean
}

export class JournalLock {
  readonly #path: string
  readonly #text: string
  readonly #stand: Stand
  #stopTouching = () => {}
  /** Told once, when the lock is found to be another server's. */
  onLost: (error: HubError) => void = () => {}

  private constructor(path: string, text: string, stand: Stand) {
    this.#path = path
    this.#text = text
    this.#stand = stand
    this.#touch()
  }

  /** Rejects with `ERR_HUB_JOURNAL` if another server has the lock. */
  static async take(journal: string): Promise<JournalLock> {
    const path = `${resolve(journal)}.lock`
    const owner: Owner = { pid: process.pid, host: hostname(), kernel: kernel(), id: randomBytes(6).toString('hex') }
    const text = JSON.stringify(owner)
    const stand = await Stand.take(path, owner, journal)
    try {
      await outlast(path, journal)
      const written = `${path}.${owner.id}`
      await writeFile(written, text, { mode: 0o600, flag: 'wx' })
      await rename(written, path)
      return new JournalLock(path, text, stand)
    } catch (error) {
      await stand.leave()
      throw error
    }
  }

  /** Whether no other server has taken the lock meanwhile: JL5. */
  async isHeld(): Promise<boolean> {
    return (await textOf(this.#path)) === this.#text
  }

  async release(): Promise<void> {
    this.#stopTouching()
    if (await this.isHeld()) await removed(this.#path)
    await this.#stand.leave()
  }

  #touch(): void {
    const touch = async () => {
      if (!(await this.isHeld())) return this.onLost(taken(this.#path))
      const time = new Date()
      await utimes(this.#path, time, time)
      this.#touch()
    }
    this.#stopTouching = after(TOUCH, () => void touch().catch(() => this.#touch()), false)
  }
}

function taken(path: string): HubError {
  return new HubError('ERR_HUB_JOURNAL', `another server has taken the lock ${path}`)
}

function inUse(journal: string, owner: Owner | undefined): HubError {
  const who = owner ? `in process ${owner.pid} on ${owner.host}` : 'that does not answer'
  return new HubError('ERR_HUB_JOURNAL', `the journal ${journal} is that of a server ${who}`)
}

// ---- Sockets: JL1 to JL3

/** The socket that a server holds while it has the lock, or tries to. */
class Stand {
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

  static async take(path: string, owner: Owner, journal: string): Promise<Stand> {
    if (process.platform === 'win32') return Stand.#takePipe(path, owner, journal)
    const way = await wayTo(path)
    const name = `${basename(path)}-${owner.id}`
    try {
      for (let tries = 0; ; tries++) {
        const stand = new Stand(owner, join(dirname(path), name))
        if (!(await stand.#listen(way.to(name)))) return stand // this file system has no sockets: `….lock` must do
        try {
          for (; tries < TRIES; tries++) {
            const { others, isThere } = await look(path, name, way.to)
            if (!isThere) break
            const settled = others.find(({ isSettled }) => isSettled)
            if (settled) throw inUse(journal, settled.owner)
            if (others.length === 0) {
              stand.#isSettled = true
              await sweep(path, name, way.to)
              return stand
            }
            if (others.some((one) => one.owner === undefined || one.owner.id < owner.id)) break
            await pause(1)
          }
        } catch (error) {
          await stand.leave()
          throw error
        }
        await stand.leave()
        if (tries >= TRIES) throw inUse(journal, undefined)
        await pause(1 + Math.random() * MOMENT)
      }
    } finally {
      await way.close()
    }
  }

  /** Pipes are exclusive, and gone with their process. */
  static async #takePipe(path: string, owner: Owner, journal: string): Promise<Stand> {
    const name = createHash('sha256').update(path.toLowerCase()).digest('hex').slice(0, 32)
    const pipe = `\\\\.\\pipe\\calloff-journal-${name}`
    const stand = new Stand(owner, undefined)
    stand.#isSettled = true
    try {
      await stand.#listen(pipe)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
      const answer = await ask(pipe)
      throw inUse(journal, answer?.owner)
    }
    return stand
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
  const answers = await Promise.all(names.map((name) => (name === own ? undefined : ask(to(name)))))
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

// ---- The file: JL4 and JL5

/** Waits until it is clear that no server on another machine has the lock; rejects if one has. */
async function outlast(path: string, journal: string): Promise<void> {
  const text = await textOf(path)
  if (text === undefined) return
  const owner = ownerIn(fieldsOf(text))
  const isHere = owner && (owner.kernel === undefined ? owner.host === hostname() : owner.kernel === kernel())
  if (!isHere && (await isTouched(path, text))) throw inUse(journal, owner)
}

async function isTouched(path: string, text: string): Promise<boolean> {
  const timeOf = async () => (await stat(path)).mtimeMs
  try {
    const before = await timeOf()
    await pause(WATCH)
    return (await timeOf()) !== before || (await textOf(path)) !== text
  } catch {
    return false // It is gone.
  }
}

const pause = (ms: number) => new Promise<void>((done) => void after(ms, done, true))

async function removed(path: string): Promise<void> {
  await unlink(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
  })
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function fieldsOf(text: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(text)) as Record<string, unknown>
  } catch {
    return {}
  }
}

function ownerIn(value: unknown): Owner | undefined {
  const { pid, host, kernel, id } = Object(value) as { readonly [K in keyof Owner]?: unknown }
  if (!Number.isSafeInteger(pid) || typeof host !== 'string') return undefined
  return {
    pid: pid as number,
    host,
    kernel: typeof kernel === 'string' ? kernel : undefined,
    id: typeof id === 'string' ? id : '',
  }
}

/** Which start of which machine this is. Containers on one machine share it, even those that are called alike. */
function kernel(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return hostname()
  }
}
