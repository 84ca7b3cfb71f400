/**
 * The lock of a journal: one server at a time.
 *
 * Invariants
 * JL1. On one machine the kernel keeps the lock (kernel-lock.ts).
 * JL2. The kernel does not know processes on other machines that share the disk. So the file `….lock` names the owner and its kernel, and
 *      the owner touches the file regularly. A file of another kernel is watched for a while. The lock is taken over if no touch is seen.
 * JL3. An owner that was suspended meanwhile finds that `….lock` is no longer its own. The journal checks this before it acknowledges
 *      anything, and each new owner writes to a new file. So an owner that lost the lock acknowledges nothing and destroys nothing.
 */
import { readFileSync } from 'node:fs'
import { readFile, rename, stat, utimes, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { resolve } from 'node:path'
import { after } from '../../core/clock.js'
import { pause } from '../contract/deferred.js'
import { HubError } from '../contract/errors.js'
import { ifExists, removed } from '../../system/files.js'
import { fieldsOf, KernelLock, newOwner, type Owner, ownerIn } from '../../system/kernel-lock.js'

/** Milliseconds between two touches, and how long a lock of another kernel is watched. */
const TOUCH = 1_000
const WATCH = 5_000
export class JournalLock {
  #stopTouching = () => {}
  /** Called once, when another server has taken the lock. */
  onLost: (error: HubError) => void = () => {}

  private constructor(
    private readonly path: string,
    private readonly text: string,
    private readonly kernelLock: KernelLock,
  ) {
    this.#touch()
  }

  /** Rejects with `ERR_HUB_JOURNAL` if another server has the lock. */
  static async take(journal: string): Promise<JournalLock> {
    const path = `${resolve(journal)}.lock`
    const owner = newOwner()
    const text = JSON.stringify({ ...owner, kernel: kernel() })
    const kernelLock = await KernelLock.take(path, owner, (other) => inUse(journal, other))
    try {
      await outlast(path, journal)
      const written = `${path}.${owner.id}`
      await writeFile(written, text, { mode: 0o600, flag: 'wx' })
      await rename(written, path)
      return new JournalLock(path, text, kernelLock)
    } catch (error) {
      await kernelLock.leave()
      throw error
    }
  }

  /** Whether this server still has the lock (JL3). */
  async isHeld(): Promise<boolean> {
    return (await textOf(this.path)) === this.text
  }

  async release(): Promise<void> {
    this.#stopTouching()
    if (await this.isHeld()) await removed(this.path)
    await this.kernelLock.leave()
  }

  #touch(): void {
    const touch = async () => {
      if (!(await this.isHeld())) return this.onLost(taken(this.path))
      const time = new Date()
      await utimes(this.path, time, time)
      this.#touch()
    }
    this.#stopTouching = after(TOUCH, () => void touch().catch(() => this.#touch()), false)
  }
}

function taken(path: string): HubError {
  return new HubError('ERR_HUB_JOURNAL', `another server has taken the lock ${path}`)
}

function inUse(journal: string, owner: Owner | undefined): HubError {
  const user = owner ? `process ${owner.pid} on ${owner.host}` : 'a server that does not answer'
  return new HubError('ERR_HUB_JOURNAL', `the journal ${journal} is in use by ${user}`)
}

/** Waits until it is certain that no server on another machine has the lock. Rejects if one has. */
async function outlast(path: string, journal: string): Promise<void> {
  const text = await textOf(path)
  if (text === undefined) return
  const fields = fieldsOf(text)
  const owner = ownerIn(fields)
  // An older version wrote no kernel.
  const isHere = owner && (fields['kernel'] === undefined ? owner.host === hostname() : fields['kernel'] === kernel())
  if (!isHere && (await isTouched(path, text))) throw inUse(journal, owner)
}

async function isTouched(path: string, text: string): Promise<boolean> {
  const timeOf = async () => (await stat(path)).mtimeMs
  try {
    const before = await timeOf()
    await pause(WATCH)
    return (await timeOf()) !== before || (await textOf(path)) !== text
  } catch {
    return false // The file is gone.
  }
}

const textOf = (path: string) => ifExists(readFile(path, 'utf8'))

/** Identifies the machine and its boot. Containers on one machine share it, even with equal host names. */
function kernel(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return hostname()
  }
}
