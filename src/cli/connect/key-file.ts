/** The key of a hub over TCP, in a file. */
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, isAbsolute, join } from 'node:path'
import process from 'node:process'
import { Failure } from '../terminal/errors.js'

/** Returns the default path of the key file. */
export function usualKeyFile(): string {
  const given = process.env['XDG_CONFIG_HOME']
  const config = given && isAbsolute(given) ? given : join(homedir(), '.config')
  return join(config, 'calloff', 'key')
}

/**
 * Reads the key from a file. Returns undefined if the file does not exist. Errors: {@link Failure} if other users can
 * read it, or if it contains no key.
 */
export function readKey(file: string): string | undefined {
  let text: string
  try {
    const { mode, uid } = statSync(file)
    // As in ssh: the permissions of a file of another user are not checked, since an administrator may have chosen
    // them.
    if (uid === process.getuid?.() && (mode & 0o077) !== 0) {
      throw new Failure(
        `refusing to use the key in ${file}: other users can read it; run chmod 600 on it, and better make a new key`,
      )
    }
    text = readFileSync(file, 'utf8').trim()
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return undefined
    throw error instanceof Failure ? error : new Failure(`the key file cannot be read: ${message}`)
  }
  if (Buffer.byteLength(text) < LEAST_BYTES)
    throw new Failure(`the key in ${file} is shorter than ${LEAST_BYTES} bytes`)
  return text
}

/** Reads the key from a file. Makes the file if it does not exist. */
export function readOrMakeKey(file: string): { readonly key: string; readonly isNew: boolean } {
  const found = readKey(file)
  if (found !== undefined) return { key: found, isNew: false }
  const key = randomBytes(32).toString('base64url')
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
    writeFileSync(file, `${key}\n`, { mode: 0o600, flag: 'wx' })
  } catch (error) {
    // Another server has made the file at the same moment.
    const other = (error as NodeJS.ErrnoException).code === 'EEXIST' ? readKey(file) : undefined
    if (other !== undefined) return { key: other, isNew: false }
    throw new Failure(`the key file cannot be made: ${(error as Error).message}`)
  }
  return { key, isNew: true }
}

/** The least length of a key that the server accepts, in bytes. */
const LEAST_BYTES = 16
