import { resolve } from 'node:path'
import process from 'node:process'
import { anyOf, type CancellationToken, SimpleToken, TimeoutToken } from '../../index.js'
import { ProcessSignalToken } from '../../node/index.js'
import { type ServerOptions, TokenServer } from '../../remote/index.js'
import { toJson } from '../terminal/describe.js'
import { formatDuration } from '../terminal/duration.js'
import { FAILED, JOURNAL_IN_USE, OK } from '../terminal/exit-codes.js'
import { Failure, messageOf, UsageError } from '../terminal/errors.js'
import type { ParsedArguments } from '../arguments/parse.js'
import { hubText, urlOf } from '../connect/hub.js'
import { readOrMakeKey, usualKeyFile } from '../connect/key-file.js'
import { makeOwnFolder, ownHub } from '../../system/runtime-folder.js'
import { printMessage, printResult } from '../terminal/output.js'
import { visible } from '../terminal/visible.js'

/** `calloff serve`. */
export async function serve(given: ParsedArguments): Promise<number> {
  using stopped = new ProcessSignalToken('SIGTERM', 'SIGINT', 'SIGHUP')
  const server = await listen(given)
  const { url } = server
  printResult(given.has('json') ? `${toJson({ event: 'ready', url, pid: process.pid })}\n` : `ready ${visible(url)}\n`)
  using failed = new SimpleToken({ name: 'failed' })
  server.closed.catch((error: unknown) => failed.cancel(error))
  using idle = new SimpleToken({ name: 'idle' })
  const over = anyOf(stopped, failed, idle)
  const within = given.duration('idle')
  if (within !== undefined) endWhenIdle(server, within, idle, over).catch(() => {}) // it ended for another reason
  await over.wait()
  await server.close().catch(() => {})
  if (failed.cancelled) {
    printMessage(messageOf(failed.reason))
    return FAILED
  }
  return OK
}

async function listen(given: ParsedArguments): Promise<TokenServer> {
  const journal = given.text('journal')
  const options = { ...whereOf(given), ...(journal === undefined ? {} : { journal: resolve(journal) }) }
  try {
    return await TokenServer.listen(options)
  } catch (error) {
    if (error instanceof Failure) throw error
    const isInUse = (error as { readonly code?: unknown }).code === 'ERR_HUB_JOURNAL'
    throw new Failure(`cannot listen: ${messageOf(error)}`, isInUse ? JOURNAL_IN_USE : FAILED)
  }
}

/** Where to listen, and with which key. */
function whereOf(given: ParsedArguments): ServerOptions {
  const listen = hubText(given, 'listen')
  const file = given.text('key-file') ?? (process.env['CALLOFF_KEY_FILE'] || undefined)
  if (listen === undefined) makeOwnFolder()
  const url = new URL(listen === undefined ? ownHub() : urlOf(listen))
  if (url.protocol === 'unix:' || url.protocol === 'pipe:') {
    const path = decodeURIComponent(url.pathname)
    // The permissions of the file decide which users may connect. A key is used only if the user gave a file for it.
    return file === undefined ? { path } : { path, key: keyFrom(file) }
  }
  if (url.protocol !== 'tcp:') {
    const where = given.text('listen') === undefined ? 'serve with CALLOFF_HUB' : '--listen'
    throw new UsageError(`${where} takes unix:PATH or tcp://HOST:PORT, not ${url.protocol}`)
  }
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port), key: keyFrom(file ?? usualKeyFile()) }
}

function keyFrom(file: string): string {
  const { key, isNew } = readOrMakeKey(resolve(file))
  if (isNew) printMessage(`made a key in ${resolve(file)}; the other machines need a copy`)
  return key
}

/** Cancels `idle` when no client has been connected for `within` milliseconds. */
async function endWhenIdle(server: TokenServer, within: number, idle: CancellationToken, over: CancellationToken) {
  let quiet = new TimeoutToken(within)
  while (!quiet.cancelled) {
    await over.sleep(Math.min(1_000, Math.max(10, within / 10)))
    if (server.connections > 0) quiet = new TimeoutToken(within)
  }
  idle.cancel(`no client was connected for ${formatDuration(within)}`)
}
