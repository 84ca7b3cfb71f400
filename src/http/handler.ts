/**
 * The hub over HTTP. docs/reference/http.md is the contract.
 *
 * Invariants
 * HH1. Nothing is done, and nothing is said about a name, before the origin of the request is checked and `authorize` has allowed it.
 *      The id of a hold takes the place of `authorize`.
 * HH2. Every path through the handler ends with a response: it never rejects.
 * HH3. The state of a name is in the hub alone, so any server can answer any request. Only streams and holds belong to one server.
 */
import { now } from '../core/clock.js'
import { isCancellation } from '../core/errors.js'
import { wrongType } from '../core/arguments.js'
import { waitAfter } from '../core/backoff.js'
import { attempt, reasonOf } from '../core/reasons.js'
import { type Registration, TimeoutToken } from '../core/token.js'
import type { Topic } from '../remote/contract/engine.js'
import { HubError } from '../remote/contract/errors.js'
import type { Holder, Listing, Receipt, TokenHub } from '../remote/contract/hub.js'
import { keyOf } from '../remote/contract/topic.js'
import { readObject } from './body.js'
import { EventStreams } from './event-stream.js'
import { Feeds } from './feeds.js'
import { type Hold, Holds } from './holds.js'
import { type Asked, type HubHandlerOptions, type Settings, settingsOf } from './options.js'
import { checkOrigin, isPreflight, preflight } from './origins.js'
import { decodeCursor, encodeCursor } from './pages.js'
import { numberFrom, numberIn, type Parameters, parametersOf, prefixIn, topicIn } from './parameters.js'
import { Problem, unavailable } from './problem.js'
import { Slots } from './slots.js'
import { listingValue, receiptValue } from './values.js'

/** The longest time that a request waits for holders, in milliseconds. */
const LONGEST_WAIT = 60_000
/** How long the hub may take to answer, in milliseconds. */
const ANSWER = 10_000
/** The shortest and the longest pause between two reads of the holders of a name, in milliseconds. */
const FIRST_LOOK = 20
const LATEST_LOOK = 500
/** After how many seconds a client should ask an unreachable hub again. */
const RETRY_AFTER = 5
const TTL = { least: 1_000, most: 300_000, usual: 30_000 }
const PAGE = { most: 1_000, usual: 100 }

/** Answers HTTP requests for a hub. Made by `hubHandler`. */
export interface HubHandler {
  (request: Request): Promise<Response>
  /**
   * Ends all streams, and closes all holds. Later requests are answered as before. Call it when the server shuts down: a server ends
   * only when its open streams have ended. The hub stays open.
   */
  close(): void
}

/**
 * Returns a function that answers HTTP requests for a hub. It lists names, cancels them with a receipt, sends changes as server-sent
 * events, and holds tokens for programs in any language. It takes a `Request` and resolves with a `Response`, as Deno, Bun, Hono and
 * servers at the edge expect it. `toNodeListener` turns it into a listener for `node:http`. docs/reference/http.md describes the API.
 *
 * Security: `authorize` is required, and decides about each request; for `/v1/holds/…` the id of the hold does. A page of another
 * origin is refused unless `origins` lists it.
 *
 * What stays alive: nothing, a minute after the last stream, hold and request have ended. While a client watches, and for that minute,
 * the handler lists the names every `pace` milliseconds; streams of the same prefix or name share the lists. A hold keeps its token
 * open until the client has finished, or has been gone for its `ttl`. The hub stays open; its owner closes it.
 *
 * Errors: throws `TypeError` or `RangeError` for a wrong option. The function that it returns never rejects.
 *
 * @example
 * ```ts
 * import { hubHandler } from 'calloff/http'
 * import { connectHub, TokenServer } from 'calloff/remote'
 *
 * await using server = await TokenServer.listen({ port: 0 })
 * await using hub = await connectHub(server.url)
 * const handler = hubHandler(hub, {
 *   authorize: (request) => (request.headers.get('authorization') === 'Bearer secret' ? true : 401),
 * })
 * const request = new Request('http://localhost/v1/cancel?name=report-7', {
 *   method: 'POST',
 *   headers: { authorization: 'Bearer secret', 'content-type': 'application/json' },
 *   body: JSON.stringify({ reason: 'no longer wanted' }),
 * })
 * const response = await handler(request)
 * const receipt = await response.json()
 * console.log(response.status, receipt.mark.reason) // → 200 no longer wanted
 * ```
 */
export function hubHandler(hub: TokenHub, options: HubHandlerOptions): HubHandler {
  if (typeof (hub as Partial<TokenHub> | undefined)?.list !== 'function')
    throw wrongType('hub', 'a hub of connectHub', hub)
  const service = new Service(hub, settingsOf(options))
  const handle = (request: Request) => service.handle(request)
  return Object.assign(handle, { close: () => service.close() })
}

interface Call {
  readonly request: Request
  readonly url: URL
  readonly parameters: Parameters
}

/** What a path does. */
interface Operation {
  readonly method: 'GET' | 'POST'
  readonly parameters: readonly string[]
  readonly run: (call: Call) => Promise<Response> | Response
}

class Service {
  readonly #hub: TokenHub
  readonly #settings: Settings
  readonly #streams: EventStreams
  readonly #slots: Slots
  readonly #holds = new Holds()
  readonly #feeds: Feeds
  /** By path. */
  readonly #operations: ReadonlyMap<string, Operation>

  constructor(hub: TokenHub, settings: Settings) {
    this.#hub = hub
    this.#settings = settings
    const { heartbeat, limits } = settings
    this.#streams = new EventStreams({ heartbeat, stalled: limits.stalled, longest: limits.stream })
    this.#slots = new Slots(limits.streams, limits.streamsOfClient)
    this.#feeds = new Feeds(hub, { pace: settings.pace, kept: limits.changes })
    this.#operations = new Map<string, Operation>([
      ['/v1/names', { method: 'GET', parameters: ['prefix', 'after', 'limit'], run: (call) => this.#list(call) }],
      [
        '/v1/name',
        { method: 'GET', parameters: ['name', 'runId', 'until', 'timeout'], run: (call) => this.#readName(call) },
      ],
      ['/v1/cancel', { method: 'POST', parameters: ['name', 'runId'], run: (call) => this.#cancel(call) }],
      ['/v1/forget', { method: 'POST', parameters: ['name', 'runId'], run: (call) => this.#forget(call) }],
      [
        '/v1/events',
        { method: 'GET', parameters: ['prefix', 'name', 'runId', 'after'], run: (call) => this.#watch(call) },
      ],
      ['/v1/hold', { method: 'GET', parameters: ['name', 'runId', 'ttl', 'after'], run: (call) => this.#hold(call) }],
      ['/v1/holds/acknowledge', { method: 'POST', parameters: ['hold'], run: (call) => this.#acknowledge(call) }],
      ['/v1/holds/finish', { method: 'POST', parameters: ['hold'], run: (call) => this.#finish(call) }],
    ])
  }

  close(): void {
    this.#holds.close()
    this.#streams.end()
    this.#feeds.end()
  }

  async handle(request: Request): Promise<Response> {
    let cors: Readonly<Record<string, string>> = {}
    let response: Response
    try {
      const url = new URL(request.url)
      cors = checkOrigin(request, url, this.#settings.origins)
      response = isPreflight(request, cors) ? preflight() : await this.#dispatch(request, url)
    } catch (error) {
      response = this.#refusalOf(error).toResponse()
    }
    const { headers } = response
    if (!headers.has('cache-control')) headers.set('cache-control', 'no-store')
    headers.set('x-content-type-options', 'nosniff')
    headers.set('vary', 'Origin')
    for (const [name, value] of Object.entries(cors)) headers.set(name, value)
    return response
  }

  #refusalOf(error: unknown): Problem {
    // An error of the application may have traps that throw.
    const known = attempt(() => {
      if (error instanceof Problem) return error
      if (error instanceof HubError && error.code !== 'ERR_HUB_REFUSED')
        return unavailable('the hub is out of reach', RETRY_AFTER)
      return isCancellation(error) ? unavailable('the hub does not answer', RETRY_AFTER) : undefined
    })
    if (known) return known
    // An `onError` that throws must not leave the client without an answer.
    attempt(() => this.#settings.onError(error))
    const isRefused = attempt(() => error instanceof HubError)
    return isRefused ? unavailable('the hub has refused the request', RETRY_AFTER) : new Problem('internal')
  }

  async #dispatch(request: Request, url: URL): Promise<Response> {
    const { basePath } = this.#settings
    const operation = url.pathname.startsWith(`${basePath}/`)
      ? this.#operations.get(url.pathname.slice(basePath.length))
      : undefined
    if (!operation) throw new Problem('not-found')
    const { method } = operation
    if (request.method !== method) throw new Problem('method-not-allowed', undefined, { allow: method })
    return operation.run({ request, url, parameters: parametersOf(url, operation.parameters) })
  }

  async #authorize(
    request: Request,
    action: Asked['action'],
    about: Topic | { readonly prefix: string },
  ): Promise<void> {
    const asked = { action, name: undefined, runId: undefined, prefix: undefined, ...about }
    const time = new TimeoutToken(ANSWER)
    let answer: unknown
    try {
      answer = await time.race((async () => this.#settings.authorize(request, asked))())
    } catch (error) {
      if (!isCancellation(error, time)) throw error
      // oxlint-disable-next-line preserve-caught-error -- with that cause it would count as a cancellation
      throw new Error(`authorize has not answered for ${ANSWER} ms`)
    }
    if (answer === true) return
    if (answer === 401) throw new Problem('unauthenticated', undefined, { 'www-authenticate': 'Bearer' })
    throw new Problem('forbidden')
  }

  // ---- Names

  async #list({ request, parameters }: Call): Promise<Response> {
    const prefix = prefixIn(parameters)
    const limit = numberIn(parameters, 'limit', 1, PAGE.most, PAGE.usual)
    const after = decodeCursor(parameters.get('after'))
    await this.#authorize(request, 'list', { prefix })
    const listings = (await this.#listNames(prefix)).toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))
    const rest = after === undefined ? listings : listings.filter((one) => keyOf(one) > after)
    const page = rest.slice(0, limit)
    const last = rest.length > limit ? page.at(-1) : undefined
    return json(200, { names: page.map(listingValue), next: last ? encodeCursor(keyOf(last)) : null })
  }

  async #readName({ request, parameters }: Call): Promise<Response> {
    const topic = topicIn(parameters)
    const until = untilIn(parameters.get('until'))
    const timeout = numberIn(parameters, 'timeout', 0, LONGEST_WAIT, 0)
    await this.#authorize(request, 'read', topic)
    if (!until || timeout === 0) return json(200, listingValue(await this.#listingOf(topic)))
    // A client that leaves is not noticed here, so a wait counts as a stream.
    const give = this.#slots.take(this.#settings.clientOf(request))
    try {
      return json(200, listingValue(await this.#waitFor(topic, until, now() + timeout)))
    } finally {
      give()
    }
  }

  /** Returns the listing when no holder is behind the given state, or the time has passed. */
  async #waitFor(topic: Topic, until: 'acknowledged' | 'finished', end: number): Promise<Listing> {
    for (let looks = 0; ; looks++) {
      const listing = await this.#listingOf(topic)
      const isBehind = ({ state }: Holder) => state === 'open' || (until === 'finished' && state !== 'finished')
      const left = end - now()
      if (left <= 0 || !listing.holders.some(isBehind)) return listing
      await new TimeoutToken(Math.min(left, waitAfter(looks, FIRST_LOOK, LATEST_LOOK))).wait({ hold: false })
    }
  }

  /**
   * Waits until the hub is connected. A request that the hub kept until then would be sent later, although the client was told that it
   * failed. Rejects with a `Problem` if the hub is closed, and with the error of a `TimeoutToken` after `ANSWER`.
   */
  async #reach(): Promise<void> {
    if (this.#hub.state === 'connected') return
    this.#checkOpen()
    let listening: Registration | undefined
    const reached = new Promise<void>((resolve) => {
      listening = this.#hub.onEvent(({ type }) => {
        if (type === 'connected' || type === 'closed') resolve()
      })
    })
    try {
      await new TimeoutToken(ANSWER).race(reached)
    } finally {
      listening?.stop()
    }
    this.#checkOpen()
  }

  #checkOpen(): void {
    if (this.#hub.state === 'closed') throw unavailable('the hub is closed', RETRY_AFTER)
  }

  async #listNames(prefix: string): Promise<readonly Listing[]> {
    await this.#reach()
    return new TimeoutToken(ANSWER).race(this.#hub.list(prefix))
  }

  async #listingOf({ name, runId }: Topic): Promise<Listing> {
    const unused: Listing = { name, runId, state: 'live', mark: undefined, holders: [], lease: undefined }
    const listings = await this.#listNames(name)
    return listings.find((one) => one.name === name && one.runId === runId) ?? unused
  }

  // ---- Cancels

  async #cancel({ request, url, parameters }: Call): Promise<Response> {
    const topic = topicIn(parameters)
    await this.#authorize(request, 'cancel', topic)
    const { reason, timeout, until, ...others } = await this.#bodyOf(request)
    const [unknown] = Object.keys(others)
    if (unknown !== undefined)
      throw new Problem('bad-request', `the body has an unknown field ${JSON.stringify(unknown.slice(0, 100))}`)
    const wait = timeout === undefined ? 0 : numberFrom('timeout', timeout, 0, LONGEST_WAIT)
    // The reason may be in the form of core/reasons.ts, so that an error arrives as an error.
    const given = reasonOf(reason, 'a client over HTTP')
    const receipt = await this.#store(topic, given, wait, untilIn(until))
    this.#feeds.refresh(topic)
    const isOver = receipt.delivered && receipt.complete && receipt.finished === receipt.holders
    const link = new URL(`${this.#settings.basePath}/v1/name`, url)
    link.searchParams.set('name', topic.name)
    if (topic.runId) link.searchParams.set('runId', topic.runId)
    link.searchParams.set('until', 'finished')
    return json(isOver ? 200 : 202, receiptValue(receipt), isOver ? {} : { location: `${link.pathname}${link.search}` })
  }

  /** Cancels a name. The receipt comes when the cancel is stored, or after a while if it cannot be stored. */
  async #store({ name, runId }: Topic, reason: unknown, timeout: number, until: Until): Promise<Receipt> {
    const options = { runId, until: until ?? 'finished' } as const
    if (timeout > 0) return this.#hub.cancel(name, reason, { ...options, timeout })
    const patience = new TimeoutToken(ANSWER)
    const stored = this.#hub.cancel(name, reason, options)
    try {
      return await patience.race(stored)
    } catch (error) {
      if (!isCancellation(error, patience)) throw error
      // The hub keeps the cancel. The same cancel again returns a receipt at once.
      stored.catch(() => {})
      return this.#hub.cancel(name, reason, { ...options, timeout: 1 })
    }
  }

  async #forget({ request, parameters }: Call): Promise<Response> {
    const topic = topicIn(parameters)
    const { name, runId } = topic
    await this.#authorize(request, 'forget', topic)
    await this.#bodyOf(request)
    await this.#reach()
    await new TimeoutToken(ANSWER).race(this.#hub.forget(name, { runId }))
    this.#feeds.refresh(topic)
    return new Response(null, { status: 204 })
  }

  #bodyOf(request: Request): Promise<Record<string, unknown>> {
    const { body, bodyTime } = this.#settings.limits
    return readObject(request, body, bodyTime)
  }

  // ---- Streams

  async #watch({ request, parameters }: Call): Promise<Response> {
    const topic = parameters.has('name') ? topicIn(parameters) : undefined
    if (topic && parameters.has('prefix')) throw new Problem('bad-request', 'give a name or a prefix, not both')
    const prefix = topic ? topic.name : prefixIn(parameters)
    await this.#authorize(request, 'watch', topic ?? { prefix })
    this.#checkOpen()
    const give = this.#slots.take(this.#settings.clientOf(request))
    const source = this.#feeds.of(prefix, topic).follow(lastEventOf(request, parameters))
    const close = () => {
      source.close()
      give()
    }
    return this.#streams.respond({ ...source, close })
  }

  async #hold({ request, parameters }: Call): Promise<Response> {
    const { name, runId } = topicIn(parameters)
    const ttl = numberIn(parameters, 'ttl', TTL.least, TTL.most, TTL.usual)
    await this.#authorize(request, 'hold', { name, runId })
    const known = this.#holds.find(lastEventOf(request, parameters) ?? '')
    const isSame = known?.name === name && known.runId === runId
    const hold = isSame ? known : this.#openHold(request, { name, runId }, ttl)
    return this.#streams.respond(hold.stream())
  }

  #openHold(request: Request, { name, runId }: Topic, ttl: number): Hold {
    this.#checkOpen()
    const give = this.#slots.take(this.#settings.clientOf(request))
    try {
      return this.#holds.add(ttl, this.#hub.open(name, { runId }), give)
    } catch (error) {
      give()
      throw error
    }
  }

  async #acknowledge({ request, parameters }: Call): Promise<Response> {
    await this.#bodyOf(request)
    this.#holdIn(parameters).acknowledge()
    return new Response(null, { status: 204 })
  }

  async #finish({ request, parameters }: Call): Promise<Response> {
    await this.#bodyOf(request)
    this.#holdIn(parameters).close()
    return new Response(null, { status: 204 })
  }

  #holdIn(parameters: Parameters) {
    const hold = this.#holds.find(parameters.get('hold') ?? '')
    if (!hold) throw new Problem('not-found')
    return hold
  }
}

type Until = 'acknowledged' | 'finished' | undefined

function untilIn(value: unknown): Until {
  if (value === undefined || value === 'acknowledged' || value === 'finished') return value
  throw new Problem('bad-request', 'until must be "acknowledged" or "finished"')
}

function lastEventOf(request: Request, parameters: Parameters): string | undefined {
  return request.headers.get('last-event-id') ?? parameters.get('after')
}

function json(status: number, value: object, headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(JSON.stringify(value), { status, headers: { 'content-type': 'application/json', ...headers } })
}
