/** A hub that is started when it is needed, and ends when it is not. */
import { spawn } from 'node:child_process'
import { connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import process from 'node:process'
import { TimeoutToken } from '../../index.js'
import { Failure } from '../terminal/errors.js'
import type { Place } from './hub.js'
import { makeOwnFolder } from './runtime-folder.js'

const BIN = fileURLToPath(new URL('calloff.js', import.meta.url))
/** Milliseconds for it to listen. */
const PATIENCE = 15_000
const IDLE = '1m'

/**
 * Starts one that outlives this process; resolves when it listens, or when it has found that another one does.
 *
 * It keeps a journal beside its socket: what was called off stays so when it has ended and is started again.
 */
export async function startServer({ url, isOwn }: Place): Promise<void> {
  if (isOwn) makeOwnFolder()
  const path = url.startsWith('unix:') ? decodeURIComponent(new URL(url).pathname) : undefined
  const journal = path === undefined ? undefined : `${path}.journal`
  const patience = new TimeoutToken(PATIENCE, { name: 'the hub that was to be started' })
  const args = ['serve', '--listen', url, '--idle', IDLE, ...(journal === undefined ? [] : ['--journal', journal])]
  // Not one of the processes that a `calloff run` around us would end.
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
  const started = new Promise<void>((listens, fails) => {
    server.once('error', fails)
    server.stdout.once('data', () => listens())
    // One that finds another one there ends with an error, which is none.
    server.once('close', (code) => {
      if (words.includes('is listening at')) listens()
      else if (path !== undefined && words.includes('is that of a server in process')) listens(answers(path, patience))
      else fails(new Failure(trouble(words, code)))
    })
  })
  try {
    await patience.race(started)
  } finally {
    server.stdout.destroy()
    server.stderr.destroy()
    server.unref()
  }
}

/** One that is just being started by somebody else has the journal, and listens soon. */
async function answers(path: string, token: TimeoutToken): Promise<void> {
  for (;;) {
    const isThere = await new Promise<boolean>((resolve) => {
      const probe = connect(path)
      probe.once('error', () => resolve(false))
      probe.once('connect', () => {
        probe.destroy()
        resolve(true)
      })
    })
    if (isThere) return
    await token.sleep(20)
  }
}

function trouble(words: string, code: number | null): string {
  const line = words
    .trim()
    .split('\n')
    .at(-1)
    ?.replace(/^calloff: /, '')
  return `the hub could not be started: ${line || `it ended with code ${code}`}`
}
