import { resolve } from 'node:path'
import { type CancellationToken, isCancellation, SimpleToken } from 'calloff'
import { hashFile } from './hash.js'
import { inOrder } from './in-order.js'
import { Manifest } from './manifest.js'
import type { Progress } from './progress.js'
import { type Complain, walk } from './walk.js'
import { printable, wordsOf } from './words.js'

const AT_ONCE = 8

/** What the job works on. */
export interface Job {
  readonly folders: readonly string[]
  readonly manifest: string
  readonly progress: Progress
  /** Calls all of it off. */
  readonly token: CancellationToken
  /** The part of `token` that counts files: polled once for each. */
  readonly budget: CancellationToken
}

/**
 * Hashes all files and writes the manifest. Gives the number of files and folders that could not be read.
 * Rejects with the error of the token if it is cancelled; then there is nothing left of it on the disk.
 */
export async function run({ folders, manifest: path, progress, token, budget }: Job): Promise<number> {
  let unreadable = 0
  const complain: Complain = (of, error) => {
    // An unreadable file is no reason to stop; to be cancelled is.
    if (isCancellation(error, token)) throw error
    unreadable++
    progress.say(`cannot read ${printable(of)}: ${wordsOf(error)}`)
  }

  const manifest = await Manifest.create(path)
  const files = filesOf(folders, [path, manifest.temporary], token, complain)
  using showing = new SimpleToken(token)
  const shown = progress.show(showing)
  try {
    const hashed = inOrder(files, AT_ONCE, async (file) => {
      progress.current = file
      try {
        return { file, digest: await hashFile(file, token, (n) => (progress.bytes += n)) }
      } catch (error) {
        complain(file, error)
        return { file, digest: undefined }
      }
    })
    for await (const { file, digest } of hashed) {
      if (digest === undefined) continue
      budget.check() // a direct poll, the only one, so this counts files and nothing else
      await manifest.add(file, digest)
      progress.files++
    }
    if (progress.files === 0 && unreadable > 0) throw new Error('nothing could be read, so nothing was written')
    await manifest.commit()
    return unreadable
  } catch (error) {
    await manifest.discard()
    throw error
  } finally {
    showing.cancel()
    await shown
  }
}

async function* filesOf(
  folders: readonly string[],
  except: readonly string[],
  token: CancellationToken,
  complain: Complain,
) {
  const own = new Set(except.map((path) => resolve(path)))
  for (const folder of folders) {
    for await (const file of walk(folder, token, complain)) {
      if (!own.has(resolve(file))) yield file
    }
  }
}
