import { type NamesOf, optional, optionsOf, wrongType } from '../../core/arguments.js'
import type { Form } from '../../core/describe.js'
import type { CancellationKind } from '../../core/errors.js'
import { listenTo } from '../../core/foreign.js'
import { end, hubOf } from '../../core/graph.js'
import { CancellationToken, SimpleToken, UNCLONABLE } from '../../core/token.js'
import { type Incoming, type Outgoing, watchResponse } from './response-end.js'

/** What `fromRequest` takes beside the request. */
export interface RequestOptions {
  /** For messages and for the text of the token. */
  readonly name?: string | undefined
}

export const REQUEST_OPTIONS: NamesOf<RequestOptions> = ['name']

/** A fetch-style request, seen by its shape: of Bun, Deno, Node's undici, or a framework's own. */
export interface FetchRequest {
  readonly signal: AbortSignal
  readonly headers: { get(name: string): string | null }
}

/** Cancelled when the connection is lost, by whoever watches the response. */
class RequestToken extends CancellationToken {
  /** Takes away what watches; undefined once the response has ended, or where that cannot be seen. */
  stop: (() => void) | undefined

  constructor(name: string | undefined) {
    super(UNCLONABLE)
    if (name !== undefined) hubOf(this).name = name
  }

  readonly finished = (): void => {
    this.stop?.()
    this.stop = undefined
  }

  readonly lost = (reason: unknown): void => {
    this.finished()
    end(this, 'disconnect', reason)
  }

  /** @internal */
  override explain(kind: CancellationKind): string {
    return kind === 'disconnect' ? 'lost its connection before the response had finished' : super.explain(kind)
  }

  /** @internal */
  override form(): Form {
    return { call: 'fromRequest', own: ['request'] }
  }
}

/** The one token of each response, or of each fetch-style request. */
const known = new WeakMap<object, RequestToken>()

/**
 * A request as a token: cancelled, kind `'disconnect'`, if and only if its connection is lost before the response has
 * finished. Not when the body has been read, not when the response is whole, not when the connection is used again.
 *
 * For `node:http` and `node:http2`, and what stands on them, it takes the request and its response: express's `req` and
 * `res`, fastify's `request.raw` and `reply.raw`, koa's `ctx.req` and `ctx.res`, hono's `c.env.incoming` and
 * `c.env.outgoing` on Node. In an `'upgrade'` or `'connect'` event it takes the socket for the response, which has finished
 * when the server has ended it. For Bun, Deno and others it takes the `Request`; there `withRequestToken` can do more.
 *
 * Called again for the same request it gives the same token; with another `name`, a token of that name derived from it. So
 * derive before you cancel: `fromRequest(req, res).plus(new TimeoutToken(5_000))`.
 *
 * Timing: a disconnect that came before the call is remembered, as long as the response has not been ended. The response
 * has finished when its last byte was given to the system (HTTP/1) or to the HTTP/2 session. That the server itself destroys a
 * response is a lost connection, too. `reason` is what is known of it: the socket's error, the code of a reset.
 *
 * Memory: two listeners on the response and one on the connection, whatever the number of requests in its pipeline; four on
 * the stream of HTTP/2. All are gone when the response has ended, and with them all that held the token.
 *
 * Errors: `TypeError` for what is no request, and for one of Node's that comes without its response.
 *
 * @example
 * ```ts
 * import { once } from 'node:events'
 * import { createServer, get } from 'node:http'
 * import type { AddressInfo } from 'node:net'
 * import { fromRequest } from 'calloff/node'
 *
 * const server = createServer(async (req, res) => {
 *   const token = fromRequest(req, res, { name: 'report' })
 *   client.destroy() // the user closes the page
 *   console.log((await token.wait()).kind) // → disconnect
 *   server.close()
 * }).listen(0)
 * await once(server, 'listening')
 * const client = get({ port: (server.address() as AddressInfo).port }).on('error', () => {})
 * ```
 */
export function fromRequest(request: Incoming, response: Outgoing, options?: RequestOptions): CancellationToken
/** The same for a fetch-style request, cancelled when its `signal` is aborted. docs/http.md says what each platform promises. */
export function fromRequest(request: FetchRequest, options?: RequestOptions): CancellationToken
export function fromRequest(
  request: Incoming | FetchRequest,
  second?: Outgoing | RequestOptions,
  third?: RequestOptions,
): CancellationToken {
  if (!isFetchStyle(request)) {
    if (!isEmitter(request)) throw wrongType('request', 'a request of node:http or node:http2, or a Request', request)
    if (!isEmitter(second)) throw wrongType('response', "the request's response, or its socket", second)
    return tokenOf(second, third, (token) => watchResponse(request, second, token))
  }
  return tokenOf(request, second as RequestOptions | undefined, (token) => {
    token.stop = watchSignal(request.signal, token.lost)
  })
}

/** From now on nothing cancels the request's token: its response has finished. */
export function finish(request: FetchRequest): void {
  known.get(request)?.finished()
}

function tokenOf(
  key: object,
  options: RequestOptions | undefined,
  watch: (token: RequestToken) => void,
): CancellationToken {
  const name = optional('name', 'string', optionsOf(options, REQUEST_OPTIONS).name)
  let token = known.get(key)
  if (!token) {
    known.set(key, (token = new RequestToken(name)))
    watch(token)
  }
  return name === undefined || name === token.name ? token : new SimpleToken({ name }, token)
}

function watchSignal(signal: AbortSignal, lost: (reason: unknown) => void): (() => void) | undefined {
  const listener = () => lost(signal.reason)
  if (signal.aborted) {
    listener()
    return undefined
  }
  return listenTo(signal, listener)
}

const isEmitter = (value: unknown): value is { on: unknown } =>
  typeof value === 'object' && value !== null && typeof (value as { on?: unknown }).on === 'function'

/** Not by `signal` alone: Node's requests have one of late, which means something else. */
function isFetchStyle(value: unknown): value is FetchRequest {
  if (typeof value !== 'object' || value === null || isEmitter(value)) return false
  const { headers, signal } = value as Partial<FetchRequest>
  return typeof headers?.get === 'function' && typeof signal?.addEventListener === 'function'
}
