import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { wordsOf } from './words.js'

/**
 * A list of checksums that appears whole or not at all: written beside its place, then renamed. Until `commit` the file
 * that was there stays as it is; `discard` leaves no trace.
 */
export class Manifest {
  readonly temporary: string
  readonly #path: string
  readonly #file: FileHandle
  #waiting = ''

  private constructor(path: string, temporary: string, file: FileHandle) {
    this.#path = path
    this.temporary = temporary
    this.#file = file
  }

  static async create(path: string): Promise<Manifest> {
    const temporary = `${path}.${process.pid}.tmp`
    return writing(path, async () => new Manifest(path, temporary, await open(temporary, 'wx')))
  }

  /** Adds a line in the format of `sha256sum`, which marks and escapes a name with a line break or a backslash in it. */
  async add(file: string, digest: string): Promise<void> {
    const escaped = file.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('\r', '\\r')
    this.#waiting += `${escaped === file ? '' : '\\'}${digest}  ${escaped}\n`
    if (this.#waiting.length > 64 * 1024) await this.#flush()
  }

  async commit(): Promise<void> {
    await this.#flush()
    await writing(this.#path, async () => {
      await this.#file.sync()
      await this.#file.close()
      await rename(this.temporary, this.#path)
    })
  }

  async discard(): Promise<void> {
    await this.#file.close()
    await rm(this.temporary, { force: true })
  }

  async #flush(): Promise<void> {
    await writing(this.#path, () => this.#file.appendFile(this.#waiting))
    this.#waiting = ''
  }
}

async function writing<T>(path: string, write: () => Promise<T>): Promise<T> {
  try {
    return await write()
  } catch (cause) {
    throw new Error(`cannot write ${path}: ${wordsOf(cause)}`, { cause })
  }
}
