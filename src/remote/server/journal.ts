/**
 * The journal: the file in which a server writes down what has to survive a crash.
 *
 * The file begins with a line that says what it is. Each record is its length (32 bits), the first 8 bytes of its SHA-256, and
 * itself: JSON.
 *
 * Invariants
 * JR1. A change is acknowledged once it is on the disk, and the lock was still ours after that (journal-lock.ts, JL3).
 * JR2. What was acknowledged is in the file at the journal's path, whenever the process or the machine stops. A file takes that path whole
 *      and flushed, by a rename.
 * JR3. Nothing is dropped in silence. Bytes that are no whole record are kept in a file beside the journal, and said; the whole records
 *      before and behind them are recovered.
 * JR4. A file that has grown to several times what lives is written anew, in slices, while the server goes on. A change of a topic that
 *      the new file has already goes into it behind (`late`); a change of another topic is seen when its turn comes.
 */
import { createHash, randomBytes } from 'node:crypto'
import { type FileHandle, open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import process from 'node:process'
import { turn } from '../../core/clock.js'
import { HubError } from '../contract/errors.js'
import { JournalLock } from './journal-lock.js'
import { removed } from '../../system/kernel-lock.js'
import type { Change, Recorder, Snapshot } from './store.js'

const HEADER = Buffer.from('calloff journal 1\n')
const SUM_BYTES = 8
const HEAD_BYTES = 4 + SUM_BYTES
/** A record is a mark at the most, with its reason. */
const LARGEST = 65_536
/** It is written anew when it is larger than this, and than so many times what it was when it was last written anew. */
const SMALL = 1_048_576
const GROWN = 4
/** How much is written anew in one slice: about 2 ms of work. */
const SLICE_BYTES = 65_536
const SLICE_RECORDS = 256

interface Waiting {
  readonly record: Buffer
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

/** A new file, complete but for what changes until it takes its place. */
interface Fresh {
  readonly file: FileHandle
  readonly size: number
  readonly snapshot: Snapshot
}

/** A journal that was opened. */
interface Opened {
  readonly journal: Journal
  /** What it says. */
  readonly changes: readonly Change[]
  /** Whether the file was made now. */
  readonly isNew: boolean
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
  #snapshot: (() => Snapshot) | undefined
  #rewriting: Promise<void> | undefined
  #fresh: Fresh | undefined
  /** Told once, when it can no longer be written. */
  onFailure: (error: Error) => void = () => {}

  private constructor(path: string, lock: JournalLock, file: FileHandle, size: number) {
    this.#path = path
    this.#lock = lock
    lock.onLost = (error) => this.#fail(error, [])
    this.#file = file
    this.#size = size
    this.#base = 0
  }

  /**
   * Opens a journal, or begins one; gives what it says.
   *
   * What is damaged is kept in a file of its own beside the journal, and said in a warning of the process (`CALLOFF_JOURNAL_DAMAGED`).
   *
   * Errors: `ERR_HUB_JOURNAL` if another server has it; `ERR_HUB_REFUSED` if the file is no journal.
   */
  static async open(path: string): Promise<Opened> {
    const lock = await JournalLock.take(path)
    try {
      return await Journal.#open(path, lock)
    } catch (error) {
      await lock.release()
      throw error
    }
  }

  static async #open(path: string, lock: JournalLock): Promise<Opened> {
    const content = await contentOf(path)
    if (content && !content.subarray(0, HEADER.length).equals(HEADER.subarray(0, content.length))) {
      throw new HubError('ERR_HUB_REFUSED', `${path} is not a journal that this version of calloff can read`)
    }
    const { changes, whole, damaged } = recordsIn(content ?? HEADER)
    if (damaged > 0) await keepDamaged(path, content as Buffer, changes.length, damaged)
    // A new file, so that an owner that was taken over writes to the old one (JL3).
    const bytes = [HEADER, ...whole]
    const size = bytes.reduce((sum, { length }) => sum + length, 0)
    let file: FileHandle
    try {
      file = await begin(newOf(path))
      await writeAll(file, bytes, 0)
      await replace(path, file)
    } catch (error) {
      await removed(newOf(path))
      // On a disk that is full a sound journal is still there to be read.
      if (content === undefined || damaged > 0 || content.length < HEADER.length) throw error
      file = await open(path, 'r+')
    }
    return { journal: new Journal(path, lock, file, size), changes, isNew: content === undefined }
  }

  /** Where to ask for what there is to say. A file that is large is written anew now, with what lives. */
  of(snapshot: () => Snapshot): void {
    this.#snapshot = snapshot
    this.#rewriteIfGrown()
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
    await this.#rewriting
    if (this.#fresh) await this.#drop(this.#fresh)
    await this.#file.close().catch(() => {})
    await this.#lock.release()
  }

  async #write(): Promise<void> {
    await Promise.resolve() // the rest of this turn comes along
    while ((this.#waiting.length > 0 || this.#fresh) && !this.#failure) {
      if (this.#fresh) await this.#switch(this.#fresh)
      const batch = this.#waiting
      this.#waiting = []
      if (batch.length === 0) continue
      try {
        const bytes = Buffer.concat(batch.map(({ record }) => record))
        await writeAll(this.#file, [bytes], this.#size)
        await this.#file.datasync()
        if (!(await this.#lock.isHeld())) throw new Error('another server has taken its lock')
        if (this.#failure) throw this.#failure
        this.#size += bytes.length
      } catch (error) {
        // After a failed flush it is not known what is on the disk, so there is no second try.
        this.#fail(error as Error, batch)
        break
      }
      for (const { resolve } of batch) resolve()
      this.#rewriteIfGrown()
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

  // ---- Writing anew

  #rewriteIfGrown(): void {
    if (this.#rewriting || this.#fresh || this.#failure || !this.#snapshot) return
    if (this.#size > Math.max(SMALL, this.#base * GROWN)) this.#rewriting = this.#rewrite(this.#snapshot)
  }

  /** Writes what lives to a new file, beside the server's work. Where that fails the old file goes on. */
  async #rewrite(begun: () => Snapshot): Promise<void> {
    let file: FileHandle | undefined
    let snapshot: Snapshot | undefined
    try {
      file = await begin(newOf(this.#path))
      let size = await writeAll(file, [HEADER], 0)
      // What was acknowledged in this turn is applied in the next one, and belongs into the snapshot.
      await new Promise<void>(turn)
      snapshot = begun()
      for (const slice of slicesOf(snapshot)) {
        if (this.#failure) throw this.#failure
        size += await writeAll(file, slice, size)
      }
      await file.datasync()
      this.#fresh = { file, size, snapshot }
      this.#writing ??= this.#write()
    } catch {
      snapshot?.end()
      await file?.close().catch(() => {})
      // On a full disk it would be in the way of what is still to be written.
      await removed(newOf(this.#path))
      this.#base = this.#size // not again with every record
    }
    this.#rewriting = undefined
  }

  /** Puts the new file in its place. Nothing is written to either meanwhile. */
  async #switch(fresh: Fresh): Promise<void> {
    const { file, snapshot } = fresh
    // What was acknowledged last is applied in this turn.
    await new Promise<void>(turn)
    try {
      const late = snapshot.end().map(encodeRecord)
      const size = fresh.size + (await writeAll(file, late, fresh.size))
      if (!(await this.#lock.isHeld())) throw new Error('another server has taken its lock')
      await replace(this.#path, file)
      const old = this.#file
      this.#file = file
      this.#size = this.#base = size
      this.#fresh = undefined
      await old.close()
    } catch {
      await this.#drop(fresh)
      this.#base = this.#size
    }
  }

  async #drop({ file, snapshot }: Fresh): Promise<void> {
    this.#fresh = undefined
    snapshot.end()
    await file.close().catch(() => {})
    await removed(newOf(this.#path))
  }
}

/** The records of a snapshot, as many at a time as may be written without a pause. */
function* slicesOf(snapshot: Snapshot): Iterable<Buffer[]> {
  let slice: Buffer[] = []
  let size = 0
  for (const change of snapshot) {
    const record = encodeRecord(change)
    slice.push(record)
    size += record.length
    if (size < SLICE_BYTES && slice.length < SLICE_RECORDS) continue
    yield slice
    slice = []
    size = 0
  }
  yield slice
}

// ---- Files

const newOf = (path: string): string => `${path}.new`

/** A new file; what an earlier server has left there is removed, and no link is followed. */
async function begin(path: string): Promise<FileHandle> {
  await removed(path)
  return open(path, 'wx+', 0o600)
}

/** Flushes a new file, and puts it in the place of the journal (JR2). */
async function replace(path: string, file: FileHandle): Promise<void> {
  await file.datasync()
  await rename(newOf(path), path)
  await syncFolder(dirname(path))
}

async function contentOf(path: string): Promise<Buffer | undefined> {
  let file: FileHandle
  try {
    file = await open(path, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  try {
    return await file.readFile()
  } finally {
    await file.close()
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

/** Writes all parts from a place on; returns how many bytes that were. */
async function writeAll(file: FileHandle, parts: readonly Uint8Array[], at: number): Promise<number> {
  const bytes = parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts)
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, at + done)
    done += bytesWritten
  }
  return bytes.length
}

/** Keeps a damaged journal as it is, and says so (JR3). */
async function keepDamaged(path: string, content: Buffer, records: number, damaged: number): Promise<void> {
  const kept = `${path}.damaged-${new Date().toISOString().replaceAll(':', '-')}-${randomBytes(3).toString('hex')}`
  const file = await open(kept, 'wx', 0o600)
  try {
    await writeAll(file, [content], 0)
    await file.datasync()
  } finally {
    await file.close()
  }
  process.emitWarning(
    `${damaged} bytes of the journal ${path} are not complete records, as after a crash or on a failing disk: ` +
      `${records} records were recovered, and a copy of the file is kept as ${kept}`,
    { type: 'JournalWarning', code: 'CALLOFF_JOURNAL_DAMAGED' },
  )
}

// ---- Records

const sumOf = (content: Uint8Array): Buffer => createHash('sha256').update(content).digest().subarray(0, SUM_BYTES)

function encodeRecord(change: Change): Buffer {
  const content = Buffer.from(JSON.stringify(change))
  const head = Buffer.alloc(4)
  head.writeUInt32BE(content.length)
  return Buffer.concat([head, sumOf(content), content])
}

/** What is found in a file. */
export interface Found {
  readonly changes: Change[]
  /** The bytes of the records. */
  readonly whole: Buffer[]
  /** How many bytes belong to no whole record. */
  readonly damaged: number
}

/** The records of a file: all that are whole, also behind bytes that are none. */
export function recordsIn(file: Buffer): Found {
  const changes: Change[] = []
  const whole: Buffer[] = []
  if (file.length < HEADER.length) return { changes, whole, damaged: file.length }
  let damaged = 0
  for (let at = HEADER.length; at < file.length;) {
    const record = recordAt(file, at)
    if (record) {
      changes.push(JSON.parse(record.subarray(HEAD_BYTES).toString()) as Change)
      whole.push(record)
      at += record.length
    } else {
      at++
      damaged++
    }
  }
  return { changes, whole, damaged }
}

const BRACE = 0x7b

/** The whole record that begins there, if one does. Most other places are told by a look at their first bytes. */
function recordAt(file: Buffer, at: number): Buffer | undefined {
  if (file.length - at <= HEAD_BYTES || file[at + HEAD_BYTES] !== BRACE) return undefined
  const length = file.readUInt32BE(at)
  const from = at + HEAD_BYTES
  if (length > LARGEST || from + length > file.length) return undefined
  const content = file.subarray(from, from + length)
  return sumOf(content).equals(file.subarray(at + 4, from)) ? file.subarray(at, from + length) : undefined
}
