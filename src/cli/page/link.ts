/**
 * The link to the page for operators: the address of the running server, and the token that the server checks. Both are in files in the
 * user's own folder. The token stays the same, so that a link works again when the server has been started again.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { makeOwnFolder, ownFolder, refuseForeign } from '../../system/runtime-folder.js'
import { readKey, readOrMakeKey } from '../connect/key-file.js'

const tokenFile = (folder: string): string => join(folder, 'page-token')
const addressFile = (folder: string): string => join(folder, 'page-address')

/** Returns the token: 32 random bytes as text. Makes it on first use. Other users cannot read its file. */
export function pageToken(): string {
  return readOrMakeKey(tokenFile(makeOwnFolder())).key
}

/** Returns the link. The part after # is not sent to the server, so it is in no log. */
export function linkOf(url: string, token: string): string {
  return `${url}#token=${token}`
}

/** Writes the address of the page into a file, for `calloff ui`. Returns a function that removes the file. */
export function noteAddress(url: string): () => void {
  const file = addressFile(makeOwnFolder())
  const note = `${process.pid} ${url}\n`
  writeFileSync(file, note, { mode: 0o600 })
  return () => {
    // Another server may have written its own address since.
    if (readIfThere(file) === note) rmSync(file, { force: true })
  }
}

/** Returns the URL of the page and its token, or undefined if no server of this user serves one. */
export function notedPage(): { readonly url: string; readonly token: string } | undefined {
  const folder = ownFolder()
  refuseForeign(folder)
  const [, pid, url] = /^(\d+) (http:\S+)\n$/.exec(readIfThere(addressFile(folder)) ?? '') ?? []
  if (pid === undefined || url === undefined || !isRunning(Number(pid))) return undefined
  const token = readKey(tokenFile(folder))
  return token === undefined ? undefined : { url, token }
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

/** Whether the server runs. One that was killed has left its address; another program may listen there now, and must not get the token. */
function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
