/**
 * Starts a hub on demand: a server in a process of its own. The server ends when no client has been connected for a
 * while.
 */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import process from 'node:process'
import { TimeoutToken } from '../../index.js'
import { presenceAt } from '../../system/socket-folder.js'
import { Failure } from '../terminal/errors.js'
import { JOURNAL_IN_USE } from '../terminal/exit-codes.js'
import type { Place } from './hub.js'
import { makeOwnFolder } from '../../system/runtime-folder.js'

const BIN = fileURLToPath(new URL('calloff.js', import.meta.url))
/** Milliseconds in which the server must listen. */
const START_TIMEOUT = 15_000
const IDLE = '1m'

/**
 * Starts a server that outlives this process. Resolves when it listens, or when another server listens there.
 *
 * The server keeps a journal beside its socket. So cancelled names stay cancelled when the server has ended and is
 * started again.
 *
 * Errors: {@link Failure} if the server cannot listen; the error of a timeout if no server listens after 15 s.
 */
export async function startServer({ url, isOwn }: Place): Promise<void> {
  if (isOwn) makeOwnFolder()
  const path = url.startsWith('unix:') ? decodeURIComponent(new URL(url).pathname) : undefined
  const journal = path === undefined ? undefined : `${path}.journal`
  const limit = new TimeoutToken(START_TIMEOUT, { name: 'the hub that was to be started' })
  const args = ['serve', '--listen', url, '--idle', IDLE, ...(journal === undefined ? [] : ['--journal', journal])]
  // This process may have been started under `calloff run`, which ends all processes that have its mark in this
  // variable. The server must not be one of them.
  const { CALLOFF_TREE: _mark, ...env } = process.env
  const server = spawn(process.execPath, [BIN, ...args], {
    detached: true,
    env,
    cwd: '/',
    stdio: ['ignore', 'pipe', 'pipe'],
    windowsHide: true,
  })
  let words = ''
  server.stderr.on('data', (chunk: Buffer) => (words += chunk.toString()))
  const listening = new Promise<number | null | undefined>((resolve, reject) => {
    server.once('error', reject)
    server.stdout.once('data', () => resolve(undefined))
    server.once('close', resolve)
  })
  try {
    const code = await limit.race(listening)
    // Two processes may start a server at once. One of the servers gets the journal and will listen soon. The other one
    // ends.
    if (code === JOURNAL_IN_USE && path !== undefined) await untilListening(path, limit)
    else if (code !== undefined && !(await isListening(path))) throw new Failure(notStarted(words, code))
  } finally {
    server.stdout.destroy()
    server.stderr.destroy()
    server.unref()
  }
}

async function isListening(path: string | undefined): Promise<boolean> {
  return path !== undefined && (await presenceAt(path)) === 'listening'
}

async function untilListening(path: string, limit: TimeoutToken): Promise<void> {
  while (!(await isListening(path))) await limit.sleep(20)
}

/** Returns the message for the user: the last line that the server wrote. */
function notStarted(words: string, code: number | null): string {
  const line = words
    .trim()
    .split('\n')
    .at(-1)
    ?.replace(/^calloff: /, '')
  return `the hub could not be started: ${line || `it ended with code ${code}`}`
}
