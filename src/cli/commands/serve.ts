import { resolve } from 'node:path'
import process from 'node:process'
import { anyOf, type CancellationToken, SimpleToken, TimeoutToken } from '../../index.js'
import { ProcessSignalToken } from '../../node/index.js'
import { connectHub, type ServerOptions, type TokenHub, TokenServer } from '../../remote/index.js'
import { toJson } from '../terminal/describe.js'
import { formatDuration } from '../terminal/duration.js'
import { FAILED, JOURNAL_IN_USE, OK } from '../terminal/exit-codes.js'
import { Failure, messageOf, UsageError } from '../terminal/errors.js'
import type { ParsedArguments } from '../arguments/parse.js'
import { connect, hubText, placeOf, shownPlace, urlOf } from '../connect/hub.js'
import { readOrMakeKey, usualKeyFile } from '../connect/key-file.js'
import { type Address, addressFrom, isLoopback } from '../page/address.js'
import { linkOf, noteAddress, pageToken } from '../page/link.js'
import { makeOwnFolder, ownHub } from '../../system/runtime-folder.js'
import { printMessage, printResult } from '../terminal/output.js'
import { visible } from '../terminal/visible.js'

/** `calloff serve`. */
export async function serve(given: ParsedArguments): Promise<number> {
  using stopped = new ProcessSignalToken('SIGTERM', 'SIGINT', 'SIGHUP')
  const { server, hub, page, url } = await start(given)
  if (given.has('json')) {
    printResult(`${toJson({ event: 'ready', url, pid: process.pid, ...(page && { page: page.link }) })}\n`)
  } else printResult(`ready ${visible(url)}\n${page ? `page ${page.link}\n` : ''}`)
  using failed = new SimpleToken({ name: 'failed' })
  server?.closed.catch((error: unknown) => failed.cancel(error))
  using idle = new SimpleToken({ name: 'idle' })
  const over = anyOf(stopped, failed, idle)
  const within = given.duration('idle')
  // The connection of the page itself does not count.
  const isUsed = () => (server?.connections ?? 0) > (page ? 1 : 0) || page?.isUsed() === true
  if (within !== undefined) endWhenIdle(isUsed, within, idle, over).catch(() => {}) // it ended for another reason
  await over.wait()
  page?.close()
  await hub?.close({ timeout: CLOSE_TIMEOUT }).catch((error: unknown) => printMessage(messageOf(error)))
  await server?.close().catch(() => {})
  if (failed.cancelled) {
    printMessage(messageOf(failed.reason))
    return FAILED
  }
  return OK
}

/** Milliseconds in which a cancel of the page must be delivered at the end. */
const CLOSE_TIMEOUT = 2_000

interface Started {
  /** Undefined if the hub is elsewhere. */
  readonly server?: TokenServer
  readonly hub?: TokenHub
  readonly page?: { readonly link: string; isUsed(): boolean; close(): void }
  /** Where the hub is. */
  readonly url: string
}

/** Starts the server of the hub, unless the hub is elsewhere, and the page, if it is wanted. */
async function start(given: ParsedArguments): Promise<Started> {
  const http = given.text('http')
  const elsewhere = given.text('hub')
  if (http === undefined) {
    if (elsewhere !== undefined) throw new UsageError('--hub needs --http: the page is served for a hub that is there')
    const { server } = await listen(given)
    return { server, url: server.url }
  }
  const address = addressFrom(http)
  if (elsewhere !== undefined) {
    for (const option of ['listen', 'journal']) {
      if (given.text(option) !== undefined)
        throw new UsageError(`--hub and --${option} exclude each other: that hub has its server`)
    }
    const hub = await connect(given)
    return { hub, page: await pageFor(hub, address), url: shownPlace(placeOf(given).url) }
  }
  const { server, key } = await listen(given)
  try {
    const hub = await connectHub(server.url, key === undefined ? {} : { key })
    return { server, hub, page: await pageFor(hub, address), url: server.url }
  } catch (error) {
    await server.close().catch(() => {})
    throw error
  }
}

/** Serves the page. If that fails, the hub is closed. */
async function pageFor(hub: TokenHub, address: Address): Promise<NonNullable<Started['page']>> {
  try {
    const token = pageToken()
    // Loaded only now: most servers have no page.
    const { servePage } = await import('../page/serve-page.js')
    const page = await servePage(hub, address, token)
    if (!isLoopback(address.host)) printMessage('the page is served without encryption: put a proxy with TLS before it')
    const takeBack = noteAddress(page.url)
    const close = () => {
      takeBack()
      page.close()
    }
    return { link: linkOf(page.url, token), isUsed: () => page.isUsed(), close }
  } catch (error) {
    await hub.close({ timeout: CLOSE_TIMEOUT }).catch(() => {})
    throw error instanceof Failure ? error : new Failure(`the page cannot be served: ${messageOf(error)}`)
  }
}

async function listen(given: ParsedArguments): Promise<{ server: TokenServer; key: ServerOptions['key'] }> {
  const journal = given.text('journal')
  const where = whereOf(given)
  try {
    const server = await TokenServer.listen({
      ...where,
      ...(journal === undefined ? {} : { journal: resolve(journal) }),
    })
    return { server, key: where.key }
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

/** Cancels `idle` when the server has not been used for `within` milliseconds. */
async function endWhenIdle(isUsed: () => boolean, within: number, idle: CancellationToken, over: CancellationToken) {
  let quiet = new TimeoutToken(within)
  while (!quiet.cancelled) {
    await over.sleep(Math.min(1_000, Math.max(10, within / 10)))
    if (isUsed()) quiet = new TimeoutToken(within)
  }
  idle.cancel(`no client was connected for ${formatDuration(within)}`)
}
