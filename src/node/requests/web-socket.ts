import { type NamesOf, optional, optionsOf, wrongType } from '../../core/arguments.js'
import { now, turn } from '../../core/clock.js'
import type { Form } from '../../core/describe.js'
import type { CancellationKind } from '../../core/errors.js'
import { Cancellation, giveRule, extrasOf, settle, subscribe } from '../../core/graph.js'
import { CancellationToken, SimpleToken, UNCLONABLE } from '../../core/token.js'

/** A WebSocket, recognised by its shape: that of the platform, on either side, or one of the package `ws`. */
export interface WebSocketLike {
  /** 0 connecting, 1 open, 2 closing, 3 closed. */
  readonly readyState: number
  send: unknown
  close: unknown
  addEventListener(type: 'close', listener: (event: WebSocketCloseEvent) => void): void
  addEventListener(type: 'error', listener: () => void): void
  removeEventListener(type: 'close', listener: (event: WebSocketCloseEvent) => void): void
  removeEventListener(type: 'error', listener: () => void): void
}

/** The close event of a WebSocket. */
export interface WebSocketCloseEvent {
  readonly code: number
  readonly reason: string
}

/** A connection of `Bun.serve`, which has no events of its own. */
export interface BunWebSocket {
  readonly readyState: number
  send: unknown
  close: unknown
}

/** Options of `fromWebSocket`. */
export interface WebSocketOptions {
  /** The name in messages and in the text of the token. */
  readonly name?: string | undefined
}

const WEB_SOCKET_OPTIONS: NamesOf<WebSocketOptions> = ['name']

/** Why a WebSocket has closed: the reason of its token. */
export interface WebSocketClose extends Error {
  /**
   * The close code: 1000 for a normal close, 1001 when the page has gone, 1006 for a lost connection. Undefined if the
   * socket closed before `fromWebSocket` was called.
   */
  readonly code: number | undefined
  /** The reason that the peer sent. May be empty. */
  readonly reason: string
}

const OPEN = 1
/** The code of a connection that ended without a close frame. Deno reports 0 if it could not connect. */
const LOST = 1006

/** Calls `closed` when the socket has closed. Returns a function that stops this. */
type Watch = (closed: (event: Partial<WebSocketCloseEvent>) => void) => () => void

/** The token of a WebSocket, cancelled when the socket has closed. */
class WebSocketToken extends CancellationToken {
  readonly #watch: Watch

  constructor(name: string | undefined, watch: Watch) {
    super(UNCLONABLE)
    this.#watch = watch
    if (name !== undefined) extrasOf(this).name = name
    giveRule(this)
    // It hears of the close as long as it lives, whether or not it is polled or has listeners.
    subscribe(this, undefined, true)
  }

  readonly closed = ({ code, reason = '' }: Partial<WebSocketCloseEvent>): void => {
    settle(this, new Cancellation(this, 'disconnect', closeOf(code === 0 ? LOST : code, reason), now()))
  }

  /** @internal */
  override arm(): void {
    extrasOf(this).disarm = this.#watch(this.closed)
  }

  /** @internal */
  override explain(kind: CancellationKind): string {
    return kind === 'disconnect' ? 'lost its WebSocket' : super.explain(kind)
  }

  /** @internal */
  override form(): Form {
    return { call: 'fromWebSocket', own: ['socket'] }
  }
}

function closeOf(code: number | undefined, reason: string): WebSocketClose {
  const how = code === undefined ? 'is closed' : `has closed with code ${code}`
  const error = new Error(`the WebSocket ${how}${reason ? `: ${reason}` : ''}`)
  return Object.assign(error, { name: 'WebSocketClose', code, reason })
}

/** The one token of each socket. */
const known = new WeakMap<object, WebSocketToken>()

/**
 * Returns a token for a WebSocket. It is cancelled, with kind `'disconnect'`, when the socket has closed, from either
 * side and in any way: by a close frame, a lost connection or an error. The reason is a {@link WebSocketClose} with the
 * close code.
 *
 * It accepts the `WebSocket` of the platform (of a client, and of `Deno.upgradeWebSocket`) and those of the package
 * `ws`, on both sides. The sockets of `Bun.serve` have no events. For these, wrap the handlers in
 * {@link withWebSocketTokens}.
 *
 * Further calls for the same socket return the same token. With another `name` they return a token of that name derived
 * from it.
 *
 * Timing: cancelled at once if the socket is closing or closed already, else in its `'close'` event. If the peer
 * vanishes without a close frame, the token is cancelled when the platform notices that. Pings help the platform to
 * notice.
 *
 * Memory: one listener on the socket. It is removed when the token is cancelled, for any reason. Nothing is left then.
 *
 * Errors: `TypeError` for a value that is no WebSocket, and for a socket of `Bun.serve` whose handlers are not wrapped.
 *
 * @example
 * ```ts
 * import { once } from 'node:events'
 * import type { AddressInfo } from 'node:net'
 * import { WebSocket, WebSocketServer } from 'ws'
 * import { fromWebSocket } from 'calloff/node'
 *
 * const server = new WebSocketServer({ port: 0 })
 * server.on('connection', async (socket) => {
 *   const token = fromWebSocket(socket)
 *   const error = await token.wait()
 *   console.log(error.kind, String(token.reason)) // → disconnect WebSocketClose: the WebSocket has closed with code 1000: enough
 *   server.close()
 * })
 * await once(server, 'listening')
 * const client = new WebSocket(`ws://localhost:${(server.address() as AddressInfo).port}`)
 * client.on('open', () => client.close(1000, 'enough'))
 * ```
 */
export function fromWebSocket(socket: WebSocketLike | BunWebSocket, options?: WebSocketOptions): CancellationToken {
  if (!isSocket(socket)) throw wrongType('socket', 'a WebSocket', socket)
  const name = optional('name', 'string', optionsOf(options, WEB_SOCKET_OPTIONS).name)
  const token = known.get(socket) ?? watched(socket, name)
  return name === undefined || name === token.name ? token : new SimpleToken({ name }, token)
}

function watched(socket: WebSocketLike | BunWebSocket, name: string | undefined): WebSocketToken {
  if (!('addEventListener' in socket)) {
    throw new TypeError(
      'socket must come from handlers that went through withWebSocketTokens(), since it has no events',
    )
  }
  return keep(socket, name, (closed) => {
    // Node 22's own WebSocket reports only an error if it could not connect. One of `ws` also reports the close. There
    // a listener would hide the error from the owner of the socket.
    const failed = 'on' in socket ? undefined : () => turn(() => closed({ code: LOST }))
    socket.addEventListener('close', closed)
    if (failed) socket.addEventListener('error', failed)
    return () => {
      socket.removeEventListener('close', closed)
      if (failed) socket.removeEventListener('error', failed)
    }
  })
}

function keep(socket: BunWebSocket, name: string | undefined, watch: Watch): WebSocketToken {
  const token = new WebSocketToken(name, watch)
  known.set(socket, token)
  if (socket.readyState > OPEN) token.closed({})
  return token
}

/** The handlers of `Bun.serve({ websocket })`, as far as they matter here. */
export interface BunWebSocketHandlers<Socket> {
  open?(socket: Socket): void | Promise<void>
  close?(socket: Socket, code: number, reason: string): void | Promise<void>
}

/**
 * Wraps the handlers for `Bun.serve({ websocket })`. In all of the returned handlers `fromWebSocket(socket)` returns
 * the socket's token.
 *
 * Timing: the token is cancelled before the `close` handler is called.
 *
 * Errors: `TypeError` for a value that is no object of handlers.
 *
 * @example
 * ```ts no-run
 * import { fromWebSocket, withWebSocketTokens } from 'calloff/node'
 *
 * interface Socket {
 *   readonly readyState: number
 *   send(text: string): void
 *   close(): void
 * }
 * const websocket = withWebSocketTokens({
 *   async open(socket: Socket) {
 *     for await (const tick of fromWebSocket(socket).every(1_000)) socket.send(`${tick}`)
 *   },
 *   message(_socket: Socket, _message: unknown) {},
 * })
 * // Bun.serve({ fetch: (request, server) => server.upgrade(request) ? undefined : new Response('no WebSocket'), websocket })
 * ```
 */
export function withWebSocketTokens<Socket extends BunWebSocket, Handlers extends BunWebSocketHandlers<Socket>>(
  handlers: Handlers & BunWebSocketHandlers<Socket>,
): Handlers {
  if (typeof handlers !== 'object' || handlers === null) throw wrongType('handlers', 'an object of handlers', handlers)
  return {
    ...handlers,
    open(socket: Socket) {
      keep(socket, undefined, () => () => {})
      return handlers.open?.(socket)
    },
    close(socket: Socket, code: number, reason: string) {
      known.get(socket)?.closed({ code, reason })
      return handlers.close?.(socket, code, reason)
    },
  }
}

/** An EventSource, a data channel and a request also have a state, but are no sockets. */
function isSocket(value: unknown): value is WebSocketLike | BunWebSocket {
  const { readyState, send, close } = Object(value) as Partial<WebSocketLike>
  return typeof readyState === 'number' && typeof send === 'function' && typeof close === 'function'
}
