import { type NamesOf, optional, optionsOf, wrongType } from '../../core/arguments.js'
import type { Form } from '../../core/describe.js'
import type { CancellationKind } from '../../core/errors.js'
import { listenTo } from '../../core/foreign.js'
import { end, extrasOf } from '../../core/graph.js'
import { CancellationToken, SimpleToken, UNCLONABLE } from '../../core/token.js'
import { type Incoming, type Outgoing, watchResponse } from './response-end.js'

/** Options of `fromRequest`. */
export interface RequestOptions {
  /** The name in messages and in the text of the token. */
  readonly name?: string | undefined
}

export const REQUEST_OPTIONS: NamesOf<RequestOptions> = ['name']

/** A fetch-style request, recognised by its shape: of Bun, Deno, Node's undici, or a framework. */
export interface FetchRequest {
  readonly signal: AbortSignal
  readonly headers: { get(name: string): string | null }
}

/** The token of a request. The watcher of its response cancels it when the connection is lost. */
class RequestToken extends CancellationToken {
  /** Removes the listeners of the watcher. Undefined once the response has ended, or if its end cannot be observed. */
  stop: (() => void) | undefined

  constructor(name: string | undefined) {
    super(UNCLONABLE)
    if (name !== undefined) extrasOf(this).name = name
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
 * Returns a token for a request. It is cancelled, with kind `'disconnect'`, if and only if the connection is lost
 * before the response has finished. It is not cancelled when the body has been read, when the response is complete, or
 * when the connection is used again.
 *
 * For `node:http` and `node:http2`, and for frameworks that use them, pass the request and its response: express's
 * `req` and `res`, fastify's `request.raw` and `reply.raw`, koa's `ctx.req` and `ctx.res`, hono's `c.env.incoming` and
 * `c.env.outgoing` on Node. In an `'upgrade'` or `'connect'` event pass the socket as the response. It has finished
 * when the server has ended it. For Bun, Deno and others pass the `Request`. There `withRequestToken` can do more.
 *
 * Further calls for the same request return the same token. With another `name` they return a token of that name
 * derived from it. So derive before you cancel: `fromRequest(req, res).plus(new TimeoutToken(5_000))`.
 *
 * Timing: a disconnect before the call is detected, as long as the response has not been ended. The response has
 * finished when its last byte was passed to the system (HTTP/1) or to the HTTP/2 session. A response that the server
 * itself destroys counts as a lost connection, too. `reason` is the known cause: the error of the socket, the code of a
 * reset.
 *
 * Memory: two listeners on the response and one on the connection, however many requests are in its pipeline. Four
 * listeners on the stream of HTTP/2. All are removed when the response has ended. After that they no longer hold the
 * token.
 *
 * Errors: `TypeError` for a value that is no request, and for a request of Node without its response.
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
/**
 * Does the same for a fetch-style request: cancelled when its `signal` is aborted. docs/guides/http.md lists what each
 * platform guarantees.
 */
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

/** Marks the response as finished. From now on nothing cancels the token of the request. */
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

/** Checks more than `signal`: requests in newer versions of Node have a `signal` too, with another meaning. */
function isFetchStyle(value: unknown): value is FetchRequest {
  if (typeof value !== 'object' || value === null || isEmitter(value)) return false
  const { headers, signal } = value as Partial<FetchRequest>
  return typeof headers?.get === 'function' && typeof signal?.addEventListener === 'function'
}
