/**
 * The journal: the file in which a server stores the changes that must survive a crash.
 *
 * The file begins with a line that names its format. Each record is its length (32 bits), the first 8 bytes of its SHA-256, and its
 * JSON.
 *
 * Invariants
 * JR1. A change is acknowledged only when it is on the disk and this server still had the lock afterwards (journal-lock.ts, JL3).
 * JR2. Every acknowledged change is in the file at the path of the journal, whenever the process or the machine stops. A new file takes
 *      that path by a rename, complete and flushed.
 * JR3. Nothing is dropped silently. If bytes are not a complete record, a copy of the file is kept beside the journal and a warning
 *      is emitted. The complete records before and after those bytes are recovered.
 * JR4. A file that has grown to several times the live state is compacted in slices, while the server goes on. If the new file has passed
 *      a topic, a change of that topic is appended to it (`late`). Otherwise the snapshot itself contains the change.
 */
import { createHash, randomBytes } from 'node:crypto'
import { type FileHandle, open, readFile, rename, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import process from 'node:process'
import { turn } from '../../core/clock.js'
import { HubError } from '../contract/errors.js'
import { JournalLock } from './journal-lock.js'
import { ifExists, removed } from '../../system/files.js'
import type { Change, Recorder, Snapshot } from './changes.js'

const HEADER = Buffer.from('calloff journal 1\n')
const SUM_BYTES = 8
const HEAD_BYTES = 4 + SUM_BYTES
/** The largest record is a mark with its reason. */
const LARGEST = 65_536
/** The file is compacted when it is larger than this, and larger than this many times its size after the last compaction. */
const SMALL = 1_048_576
const GROWN = 4
/** The bytes of one slice of a compaction: about 2 ms. */
const SLICE_BYTES = 65_536
const SLICE_RECORDS = 256

interface Waiting {
  readonly record: Buffer
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

/** A new file, complete except for the changes until it replaces the old one. */
interface NewFile {
  readonly file: FileHandle
  readonly size: number
  readonly snapshot: Snapshot
}

/** A journal that was opened. */
interface Opened {
  readonly journal: Journal
  /** The changes that it contains. */
  readonly changes: readonly Change[]
  /** Whether the file is new. */
  readonly isNew: boolean
}

export class Journal implements Recorder {
  /** The size of the file after the last compaction. */
  #base: number
  #waiting: Waiting[] = []
  #writing: Promise<void> | undefined
  #failure: Error | undefined
  /** Takes a snapshot of the present state, for a compaction. */
  #snapshot: (() => Snapshot) | undefined
  #rewriting: Promise<void> | undefined
  #newFile: NewFile | undefined
  /** Called once, when the journal can no longer be written. */
  onFailure: (error: Error) => void = () => {}

  private constructor(
    private readonly path: string,
    private readonly lock: JournalLock,
    private file: FileHandle,
    private size: number,
  ) {
    lock.onLost = (error) => this.#fail(error, [])
    this.#base = 0
  }

  /**
   * Opens a journal, or creates one, and returns its changes.
   *
   * If the journal is damaged, a copy of it is kept beside it, and the process emits a warning (`CALLOFF_JOURNAL_DAMAGED`).
   *
   * Errors: `ERR_HUB_JOURNAL` if another server has the journal; `ERR_HUB_REFUSED` if the file is not a journal, or if its folder does
   * not exist.
   */
  static async open(path: string): Promise<Opened> {
    await checkPlace(path)
    const lock = await JournalLock.take(path)
    try {
      return await Journal.#open(path, lock)
    } catch (error) {
      await lock.release()
      throw error
    }
  }

  static async #open(path: string, lock: JournalLock): Promise<Opened> {
    const content = await ifExists(readFile(path))
    if (content && !content.subarray(0, HEADER.length).equals(HEADER.subarray(0, content.length))) {
      throw new HubError('ERR_HUB_REFUSED', `${path} is not a journal that this version of calloff can read`)
    }
    const { changes, whole, damaged } = recordsIn(content ?? HEADER)
    if (damaged > 0) await keepDamaged(path, content as Buffer, changes.length, damaged)
    // A new file, so an owner that lost the lock writes to the old file (JL3).
    const bytes = [HEADER, ...whole]
    const size = bytes.reduce((sum, { length }) => sum + length, 0)
    let file: FileHandle
    try {
      file = await createNew(newOf(path))
      await writeAll(file, bytes, 0)
      await replace(path, file)
    } catch (error) {
      await removed(newOf(path))
      // On a full disk an undamaged journal can still be read.
      if (content === undefined || damaged > 0 || content.length < HEADER.length) throw error
      file = await open(path, 'r+')
    }
    return { journal: new Journal(path, lock, file, size), changes, isNew: content === undefined }
  }

  /** Sets the source of snapshots. A large file is compacted now. */
  of(snapshot: () => Snapshot): void {
    this.#snapshot = snapshot
    this.#rewriteIfGrown()
  }

  /** Resolves when the change is on the disk. Changes that arrive while the disk is busy are written together. */
  append(change: Change): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure)
    return new Promise((resolve, reject) => {
      this.#waiting.push({ record: encodeRecord(change), resolve, reject })
      this.#writing ??= this.#write()
    })
  }

  /** Waits for pending writes and closes the file. */
  async close(): Promise<void> {
    await this.#writing
    this.#failure ??= new HubError('ERR_HUB_CLOSED', 'the server is closed')
    await this.#rewriting
    if (this.#newFile) await this.#drop(this.#newFile)
    await this.file.close().catch(() => {})
    await this.lock.release()
  }

  async #write(): Promise<void> {
    await Promise.resolve() // changes of the rest of this turn are written together
    while ((this.#waiting.length > 0 || this.#newFile) && !this.#failure) {
      if (this.#newFile) await this.#switch(this.#newFile)
      const batch = this.#waiting
      this.#waiting = []
      if (batch.length === 0) continue
      try {
        const bytes = Buffer.concat(batch.map(({ record }) => record))
        await writeAll(this.file, [bytes], this.size)
        await this.file.datasync()
        if (!(await this.lock.isHeld())) throw new Error('another server has taken its lock')
        if (this.#failure) throw this.#failure
        this.size += bytes.length
      } catch (error) {
        // After a failed flush the content of the disk is unknown, so there is no second attempt.
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

  // ---- Compaction

  #rewriteIfGrown(): void {
    if (this.#rewriting || this.#newFile || this.#failure || !this.#snapshot) return
    if (this.size > Math.max(SMALL, this.#base * GROWN)) this.#rewriting = this.#rewrite(this.#snapshot)
  }

  /** Writes the live state to a new file while the server goes on. If that fails, the old file stays in use. */
  async #rewrite(begun: () => Snapshot): Promise<void> {
    let file: FileHandle | undefined
    let snapshot: Snapshot | undefined
    try {
      file = await createNew(newOf(this.path))
      let size = await writeAll(file, [HEADER], 0)
      // Changes that were acknowledged in this turn are applied in the next. They belong in the snapshot.
      await new Promise<void>(turn)
      snapshot = begun()
      for (const slice of slicesOf(snapshot)) {
        if (this.#failure) throw this.#failure
        size += await writeAll(file, slice, size)
      }
      await file.datasync()
      this.#newFile = { file, size, snapshot }
      this.#writing ??= this.#write()
    } catch {
      snapshot?.end()
      await file?.close().catch(() => {})
      // On a full disk the new file would take room that further records need.
      await removed(newOf(this.path))
      this.#base = this.size // so the next record does not start another attempt
    }
    this.#rewriting = undefined
  }

  /** Moves the new file to the path of the journal. Neither file is written meanwhile. */
  async #switch(newFile: NewFile): Promise<void> {
    const { file, snapshot } = newFile
    // The last acknowledged changes are applied in this turn.
    await new Promise<void>(turn)
    try {
      const late = snapshot.end().map(encodeRecord)
      const size = newFile.size + (await writeAll(file, late, newFile.size))
      if (!(await this.lock.isHeld())) throw new Error('another server has taken its lock')
      await replace(this.path, file)
      const old = this.file
      this.file = file
      this.size = this.#base = size
      this.#newFile = undefined
      await old.close()
    } catch {
      await this.#drop(newFile)
      this.#base = this.size
    }
  }

  async #drop({ file, snapshot }: NewFile): Promise<void> {
    this.#newFile = undefined
    snapshot.end()
    await file.close().catch(() => {})
    await removed(newOf(this.path))
  }
}

/** Yields the records of a snapshot, in pieces that may be written without a pause. */
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

/** Creates a new file. A file that an earlier server left there is removed, and no link is followed. */
async function createNew(path: string): Promise<FileHandle> {
  await removed(path)
  return open(path, 'wx+', 0o600)
}

/** Flushes a new file and moves it to the path of the journal (JR2). */
async function replace(path: string, file: FileHandle): Promise<void> {
  await file.datasync()
  await rename(newOf(path), path)
  await syncFolder(dirname(path))
}

/** Flushes the folder, so that a new name survives a crash. Some systems cannot do that, and need not. */
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

/** Writes all parts, beginning at a position. Returns the number of bytes. */
async function writeAll(file: FileHandle, parts: readonly Uint8Array[], at: number): Promise<number> {
  const bytes = parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts)
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, at + done)
    done += bytesWritten
  }
  return bytes.length
}

/** Keeps a copy of a damaged journal and emits a warning (JR3). */
async function keepDamaged(path: string, content: Buffer, records: number, damaged: number): Promise<void> {
  const kept = `${path}.damaged-${new Date().toISOString().replaceAll(':', '-')}-${randomBytes(3).toString('hex')}`
  const file = await open(kept, 'wx', 0o600)
  try {
    await file.writeFile(content)
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

/** The content of a journal file. */
export interface JournalContent {
  readonly changes: Change[]
  /** The bytes of the complete records. */
  readonly whole: Buffer[]
  /** The number of bytes that belong to no complete record. */
  readonly damaged: number
}

/** Returns all complete records of a file, including those after damaged bytes. */
export function recordsIn(file: Buffer): JournalContent {
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

/** Returns the complete record that begins at a position, if one does. The first bytes rule out most other positions. */
function recordAt(file: Buffer, at: number): Buffer | undefined {
  if (file.length - at <= HEAD_BYTES || file[at + HEAD_BYTES] !== BRACE) return undefined
  const length = file.readUInt32BE(at)
  const from = at + HEAD_BYTES
  if (length > LARGEST || from + length > file.length) return undefined
  const content = file.subarray(from, from + length)
  return sumOf(content).equals(file.subarray(at + 4, from)) ? file.subarray(at, from + length) : undefined
}

/** Checked first: the error of the lock, which lies in the same folder, would name a file that the caller does not know. */
async function checkPlace(path: string): Promise<void> {
  const folder = dirname(path)
  const parent = await ifExists(stat(folder))
  if (parent?.isDirectory() !== true) {
    throw new HubError('ERR_HUB_REFUSED', `the folder of the journal ${path} does not exist: ${folder}`)
  }
  const file = await ifExists(stat(path))
  if (file?.isDirectory() === true) throw new HubError('ERR_HUB_REFUSED', `the journal ${path} is a folder, not a file`)
}
