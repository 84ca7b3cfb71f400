/** Finds and connects the hub that the options name. */
import process from 'node:process'
import { resolve } from 'node:path'
import { isCancellation, TimeoutToken } from '../../index.js'
import type { HubOptions, TokenHub } from '../../remote/index.js'
import { carrierOf } from '../../remote/registry/schemes.js'
import { formatDuration } from '../terminal/duration.js'
import { Failure, messageOf, UsageError } from '../terminal/errors.js'
import type { ParsedArguments } from '../arguments/parse.js'
import { ownFolder, ownHub, refuseForeign, urlOfSocket } from '../../system/runtime-folder.js'
import { printMessage } from '../terminal/output.js'
import { visible } from '../terminal/visible.js'

const LONGEST_NAME = 256
/** How long the hub may take to answer, unless `--hub-timeout` says otherwise. */
const TIMEOUT = 10_000

/** Where the hub is. */
export interface Place {
  readonly url: string
  /** Whether it is the user's own hub, because no URL was given. */
  readonly isOwn: boolean
}

/** Returns the text that says where the hub is or must listen: from the option, else from the environment. */
export function hubText(given: ParsedArguments, option: 'hub' | 'listen'): string | undefined {
  return given.text(option) ?? (process.env['CALLOFF_HUB'] || undefined)
}

/** Parses the URL. Errors: {@link UsageError} if the text is not the URL of a hub. */
export function placeOf(given: ParsedArguments): Place {
  const text = hubText(given, 'hub')
  return text === undefined ? { url: ownHub(), isOwn: true } : { url: urlOf(text), isOwn: false }
}

function badUrl(what: string): UsageError {
  return new UsageError(`the hub must be a URL such as unix:/run/hub.sock or tcp://localhost:4747, ${what}`)
}

/** A path of a socket may be relative. */
export function urlOf(text: string): string {
  const scheme = /^[a-z]+:/i.exec(text)?.[0].toLowerCase()
  if (scheme === undefined) throw badUrl(`got ${JSON.stringify(text)}`)
  const carrier = carrierOf(text)
  if (carrier === undefined) throw badUrl(`and ${scheme} is not supported`)
  if (scheme === 'unix:') {
    const path = text.slice(scheme.length).replace(/^\/\/(?=\/)/, '')
    if (path === '' || path.startsWith('//')) throw badUrl(`got ${JSON.stringify(text)}`)
    return path.startsWith('/') ? `unix:${path}` : urlOfSocket(resolve(path))
  }
  try {
    const { port } = new URL(text)
    if (carrier === 'port' && port === '') throw badUrl(`and ${scheme} needs a port`)
  } catch (error) {
    // The URL may contain a password.
    throw error instanceof UsageError ? error : badUrl('and the given text is not a URL')
  }
  return text
}

/** Returns the URL for messages, without a password. */
export function shownPlace(url: string): string {
  if (carrierOf(url) === 'socket') return visible(url)
  const { protocol, host, pathname } = new URL(url)
  return visible(`${protocol}//${host}${pathname === '/' ? '' : pathname}`)
}

/** Checks names. Errors: {@link UsageError} for a text that cannot be a name. */
export function checkName(name: string, what = 'a name'): string {
  const bytes = Buffer.byteLength(name)
  if (bytes < 1 || bytes > LONGEST_NAME)
    throw new UsageError(`${what} must have 1 to ${LONGEST_NAME} bytes, got ${bytes}`)
  return name
}

/** Returns the given run id, as options of the hub. */
export function runIdOf(given: ParsedArguments): { readonly runId?: string } {
  const runId = given.text('run-id')
  return runId === undefined ? {} : { runId: checkName(runId, 'the run id') }
}

/** Returns how long the hub may take to answer, in milliseconds. */
export function timeoutOf(given: ParsedArguments): number {
  const timeout = given.duration('hub-timeout') ?? TIMEOUT
  if (timeout < 1) throw new UsageError('--hub-timeout must be 1ms or more')
  return timeout
}

/**
 * Connects, runs the task, and closes the connection.
 *
 * Errors: {@link Failure} if the hub does not answer in time. `unknown` is the part of its message about what is not
 * known then.
 */
export async function atHub<T>(
  given: ParsedArguments,
  unknown: string,
  task: (hub: TokenHub) => Promise<T>,
): Promise<T> {
  const hub = await connect(given)
  try {
    return await answered(given, unknown, task(hub))
  } finally {
    await close(hub)
  }
}

/** Resolves with the answer of the hub. Errors: {@link Failure} if the hub does not answer in time. */
export async function answered<T>(given: ParsedArguments, unknown: string, answer: Promise<T>): Promise<T> {
  const timeout = timeoutOf(given)
  using limit = new TimeoutToken(timeout)
  try {
    return await limit.race(answer)
  } catch (error) {
    if (!isCancellation(error, limit)) throw error
    const where = shownPlace(placeOf(given).url)
    throw new Failure(`the hub at ${where} did not answer within ${formatDuration(timeout)}: ${unknown}`)
  }
}

/** Connects. Errors: a {@link Failure} that says what the user can do about it. */
export async function connect(given: ParsedArguments, more: HubOptions = {}): Promise<TokenHub> {
  const place = placeOf(given)
  const timeout = timeoutOf(given)
  const key = await keyOf(given, place.url)
  const { connectHub } = await import('../../remote/index.js')
  const options = { timeout, ...(key === undefined ? {} : { key }) }
  const attempt = () => connectHub(place.url, { ...options, ...more })
  if (place.isOwn) refuseForeign(ownFolder())
  if (!given.has('start')) return await orFail(attempt, place)
  if (carrierOf(place.url) !== 'socket') {
    throw new UsageError('--start works only for a hub at a socket of this machine')
  }
  try {
    return await connectHub(place.url, options)
  } catch (error) {
    if ((error as { readonly code?: unknown }).code !== 'ERR_HUB_UNREACHABLE') throw explained(error, place)
  }
  const { startServer } = await import('./start-server.js')
  await startServer(place)
  return await orFail(attempt, place)
}

async function keyOf(given: ParsedArguments, url: string): Promise<string | undefined> {
  const file = given.text('key-file') ?? (process.env['CALLOFF_KEY_FILE'] || undefined)
  const carrier = carrierOf(url)
  if (carrier === 'adapter') return undefined
  const { readKey, usualKeyFile } = await import('./key-file.js')
  if (file !== undefined) {
    const key = readKey(file)
    if (key === undefined) throw new Failure(`the key file ${file} does not exist`)
    return key
  }
  return carrier === 'port' ? readKey(usualKeyFile()) : undefined
}

async function orFail(attempt: () => Promise<TokenHub>, place: Place): Promise<TokenHub> {
  try {
    return await attempt()
  } catch (error) {
    throw explained(error, place)
  }
}

/** Returns the failure, with what the user can do about it as far as that is known. */
function explained(error: unknown, { url, isOwn }: Place): Failure {
  const where = shownPlace(url)
  const { code } = error as { readonly code?: unknown }
  const words = messageOf(error)
  if (code === 'ERR_HUB_AUTH')
    return new Failure(`the key does not match the hub at ${where}; give its key with --key-file`)
  if (code !== 'ERR_HUB_UNREACHABLE') return new Failure(words)
  if (isOwn) return new Failure(`no hub is listening at ${where}; start one with calloff serve, or use --start`)
  return new Failure(`the hub at ${where} cannot be reached: ${words}`)
}

/** Closes the hub, and prints a message if a cancel or another message could not be delivered. */
export async function close(hub: TokenHub, timeout = 2_000): Promise<void> {
  try {
    await hub.close({ timeout })
  } catch (error) {
    printMessage(messageOf(error))
  }
}
