/**
 * A file in which a server writes down what has to survive a crash.
 *
 * The file begins with a line that says what it is. Each record is its length (32 bits), the first 8 bytes of its SHA-256, and
 * itself: JSON. What is cut off at the end by a crash, or does not match, ends the reading there, and is cut away: it was
 * never acknowledged. A file that has grown to many times what it says is written anew, beside, and put in its place at once.
 */
import { createHash } from 'node:crypto'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { HubError } from './errors.js'
import { JournalLock } from './journal-lock.js'
import type { Change, Recorder } from './store.js'

const HEADER = Buffer.from('calloff journal 1\n')
const SUM_BYTES = 8
/** A record is a mark at the most, with its reason. */
const LARGEST = 65_536
/** It is written anew when it is larger than this, and than so many times what it was when it was last written anew. */
const SMALL = 1_048_576
const GROWN = 4

interface Waiting {
  readonly record: Buffer
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

export class Journal implements Recorder {
  readonly #path: string
  readonly #lock: JournalLock
  #file: FileHandle
  #size: number
  /** How large it was when it was last written anew. */
  #base: number
  #waiting: Waiting[] = []
  #writing: Promise<void> | undefined
  #failure: Error | undefined
  /** What there is to say now, for when it is written anew. */
  #snapshot: () => Iterable<Change> = () => []
  /** Told once, when it can no longer be written. */
  onFailure: (error: Error) => void = () => {}

  private constructor(path: string, lock: JournalLock, file: FileHandle, size: number) {
    this.#path = path
    this.#lock = lock
    lock.onLost = (error) => this.#fail(error, [])
    this.#file = file
    this.#size = size
    this.#base = size
  }

  /** Opens a journal, or begins one; gives what it says. Rejects with `ERR_HUB_JOURNAL` if another server has it. */
  static async open(path: string): Promise<{ readonly journal: Journal; readonly changes: readonly Change[] }> {
    const lock = await JournalLock.take(path)
    try {
      return await Journal.#open(path, lock)
    } catch (error) {
      await lock.release()
      throw error
    }
  }

  static async #open(
    path: string,
    lock: JournalLock,
  ): Promise<{ readonly journal: Journal; readonly changes: readonly Change[] }> {
    await rm(newOf(path), { force: true }) // of a crash while it was written anew
    const file = await openOrBegin(path)
    try {
      const content = await file.readFile()
      if (content.length > 0 && !content.subarray(0, HEADER.length).equals(HEADER.subarray(0, content.length))) {
        throw new HubError('ERR_HUB_REFUSED', `${path} is not a journal of this version of calloff`)
      }
      const { changes, end } = recordsIn(content)
      if (end < content.length || end === 0) {
        await file.truncate(end)
        if (end === 0) await file.write(HEADER, 0, HEADER.length, 0)
        await file.datasync()
      }
      return { journal: new Journal(path, lock, file, Math.max(end, HEADER.length)), changes }
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /** Where to ask for what there is to say. */
  of(snapshot: () => Iterable<Change>): void {
    this.#snapshot = snapshot
  }

  /** Resolves once it is on the disk. What comes while the disk is busy goes together. */
  append(change: Change): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure)
    return new Promise((resolve, reject) => {
      this.#waiting.push({ record: encodeRecord(change), resolve, reject })
      this.#writing ??= this.#write()
    })
  }

  /** Waits for what is under way, and closes the file. */
  async close(): Promise<void> {
    await this.#writing
    this.#failure ??= new HubError('ERR_HUB_CLOSED', 'the server is closed')
    await this.#file.close().catch(() => {})
    await this.#lock.release()
  }

  async #write(): Promise<void> {
    await Promise.resolve() // the rest of this turn comes along
    while (this.#waiting.length > 0 && !this.#failure) {
      const batch = this.#waiting
      this.#waiting = []
      try {
        const bytes = Buffer.concat(batch.map(({ record }) => record))
        await writeAll(this.#file, bytes, this.#size)
        await this.#file.datasync()
        // Somebody else has taken the file over meanwhile.
        if (this.#failure) throw this.#failure
        this.#size += bytes.length
      } catch (error) {
        // After a failed flush nobody knows what is on the disk, so there is no second try.
        this.#fail(error as Error, batch)
        break
      }
      for (const { resolve } of batch) resolve()
      if (this.#size > Math.max(SMALL, this.#base * GROWN)) {
        // What was just acknowledged is applied in the turns that follow, and belongs into the snapshot.
        await new Promise((resolve) => void setImmediate(resolve))
        await this.#compact()
      }
    }
    this.#writing = undefined
  }

  #fail(error: Error, batch: readonly Waiting[]): void {
    const isFirst = !this.#failure
    this.#failure ??= new HubError('ERR_HUB_JOURNAL', `the journal cannot be written: ${error.message}`, {
      cause: error,
    })
    for (const { reject } of [...batch, ...this.#waiting]) reject(this.#failure)
    this.#waiting = []
    if (isFirst) this.onFailure(this.#failure)
  }

  /** Where that fails, the old file goes on. */
  async #compact(): Promise<void> {
    let file: FileHandle | undefined
    try {
      file = await open(newOf(this.#path), 'w', 0o600)
      const records = Array.from(this.#snapshot(), encodeRecord)
      const bytes = Buffer.concat([HEADER, ...records])
      await writeAll(file, bytes, 0)
      await file.datasync()
      await rename(newOf(this.#path), this.#path)
      const old = this.#file
      this.#file = file
      this.#size = this.#base = bytes.length
      await old.close()
      await syncFolder(dirname(this.#path))
    } catch {
      if (file && this.#file !== file) {
        await file.close().catch(() => {})
        // On a full disk it would be in the way of what is still to be written.
        await rm(newOf(this.#path), { force: true }).catch(() => {})
      }
      this.#base = this.#size // not again with every record
    }
  }
}

const newOf = (path: string): string => `${path}.new`

async function openOrBegin(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r+')
  } catch (error) {
    if ((error as { code?: string }).code !== 'ENOENT') throw error
    const file = await open(path, 'wx+', 0o600)
    await syncFolder(dirname(path))
    return file
  }
}

/** So that a new name survives a crash as well. Some systems cannot, and need not. */
async function syncFolder(path: string): Promise<void> {
  try {
    const folder = await open(path, 'r')
    try {
      await folder.sync()
    } finally {
      await folder.close()
    }
  } catch {
    // Windows
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, at + done)
    done += bytesWritten
  }
}

const sumOf = (content: Uint8Array): Buffer => createHash('sha256').update(content).digest().subarray(0, SUM_BYTES)

function encodeRecord(change: Change): Buffer {
  const content = Buffer.from(JSON.stringify(change))
  const head = Buffer.alloc(4)
  head.writeUInt32BE(content.length)
  return Buffer.concat([head, sumOf(content), content])
}

/** The records of a file, and where the last whole one ends; 0 if not even the header is whole. */
export function recordsIn(file: Buffer): { readonly changes: Change[]; readonly end: number } {
  const changes: Change[] = []
  if (file.length < HEADER.length) return { changes, end: 0 }
  let end = HEADER.length
  while (file.length - end >= 4 + SUM_BYTES) {
    const length = file.readUInt32BE(end)
    const from = end + 4 + SUM_BYTES
    if (length > LARGEST || from + length > file.length) break
    const content = file.subarray(from, from + length)
    if (!sumOf(content).equals(file.subarray(end + 4, from))) break
    changes.push(JSON.parse(content.toString()) as Change)
    end = from + length
  }
  return { changes, end }
}
