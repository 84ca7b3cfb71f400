import { unlink } from 'node:fs/promises'

/** Resolves with undefined if the file does not exist. */
export async function ifExists<T>(found: Promise<T>): Promise<T | undefined> {
  try {
    return await found
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Removes a file, if it exists. */
export async function removed(path: string): Promise<void> {
  await ifExists(unlink(path))
}
