import type { Dirent } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { CancellationToken } from 'calloff'

/** Told of everything that could not be read; the walk goes on. */
export type Complain = (path: string, error: unknown) => void

/**
 * The paths of all files in and below a folder, always in the same order. Links to files count as files; links to folders
 * are not followed, so a walk ends even where links go in circles. Devices, pipes and sockets are left out.
 */
export async function* walk(top: string, token: CancellationToken, complain: Complain): AsyncGenerator<string> {
  const folders = [top]
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    await token.checkpoint() // also where there is nothing but empty folders
    const below: string[] = []
    for (const entry of await entriesOf(folder, complain)) {
      const path = join(folder, entry.name)
      if (entry.isDirectory()) below.push(path)
      else if (entry.isFile() || (entry.isSymbolicLink() && (await leadsToFile(path, complain)))) yield path
    }
    folders.push(...below.toReversed())
  }
}

async function entriesOf(folder: string, complain: Complain): Promise<Dirent[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true })
    return entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  } catch (error) {
    complain(folder, error)
    return []
  }
}

async function leadsToFile(link: string, complain: Complain): Promise<boolean> {
  try {
    return (await stat(link)).isFile()
  } catch (error) {
    complain(link, error)
    return false
  }
}
