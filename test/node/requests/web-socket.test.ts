/** `fromWebSocket` with what each runtime has: the package `ws`, the platform's client, and the servers of Deno and Bun. */
import assert from 'node:assert/strict'
import { EventEmitter, getEventListeners, once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { describe, it } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { type CancellationToken, SimpleToken } from 'calloff'
import {
  type BunWebSocket,
  fromWebSocket,
  type WebSocketClose,
  type WebSocketLike,
  withWebSocketTokens,
} from 'calloff/node'
import { isBun, isDeno } from './runtime.js'

/** A socket of any kind, with what the tests need of it. */
interface Socket extends WebSocketLike {
  close(code?: number, reason?: string): void
  send(text: string): void
  readonly terminate?: () => void
}

interface Server {
  readonly url: string
  /** The next connection, as the server has it. */
  next(): Promise<WebSocketLike | BunWebSocket>
  stop(): Promise<unknown>
}

/** A list that is waited for. */
function inbox<T>(): { put(one: T): void; next(): Promise<T> } {
  const all: T[] = []
  const bell = new EventEmitter()
  return {
    put(one) {
      all.push(one)
      bell.emit('put')
    },
    async next() {
      while (all.length === 0) await once(bell, 'put')
      return all.shift() as T
    },
  }
}

interface WsServer extends EventEmitter {
  address(): AddressInfo
  close(): void
}
interface Ws {
  readonly WebSocketServer: new (options: { port: number; host: string }) => WsServer
  readonly WebSocket: new (url: string) => Socket & EventEmitter
}
// oxlint-disable-next-line typescript/no-unnecessary-type-assertion -- untyped on purpose: the tests want no types of it
const { WebSocketServer, WebSocket: WsSocket } = (await import('ws' as string)) as Ws

async function serveWs(): Promise<Server> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  const sockets = inbox<WebSocketLike>()
  server.on('connection', (socket: WebSocketLike) => sockets.put(socket))
  await once(server, 'listening')
  return {
    url: `ws://127.0.0.1:${server.address().port}`,
    next: sockets.next,
    stop: async () => server.close(),
  }
}

interface DenoServer {
  readonly addr: { readonly port: number }
  shutdown(): Promise<void>
}
declare const Deno: {
  serve(options: object, handler: (request: Request) => Response): DenoServer
  upgradeWebSocket(request: Request): { readonly socket: WebSocketLike; readonly response: Response }
}

async function serveDeno(): Promise<Server> {
  const sockets = inbox<WebSocketLike>()
  const server = Deno.serve({ port: 0, hostname: '127.0.0.1', onListen() {} }, (request) => {
    const { socket, response } = Deno.upgradeWebSocket(request)
    sockets.put(socket)
    return response
  })
  return { url: `ws://127.0.0.1:${server.addr.port}`, next: sockets.next, stop: () => server.shutdown() }
}

interface BunServer {
  readonly port: number
  upgrade(request: Request): boolean
  stop(now: boolean): Promise<void>
}
declare const Bun: { serve(options: object): BunServer }

const closedByHandler: unknown[] = []

async function serveBun(): Promise<Server> {
  const sockets = inbox<BunWebSocket>()
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch: (request: Request, self: BunServer) => (self.upgrade(request) ? undefined : new Response('none')),
    websocket: withWebSocketTokens({
      open: (socket: BunWebSocket) => sockets.put(socket),
      message() {},
      close: (socket: BunWebSocket, code: number) => void closedByHandler.push([code, fromWebSocket(socket).cancelled]),
    }),
  })
  return { url: `ws://127.0.0.1:${server.port}`, next: sockets.next, stop: () => server.stop(true) }
}

const servers: Readonly<Record<string, { readonly serve: () => Promise<Server>; readonly skip: string | false }>> = {
  'a server of ws': { serve: serveWs, skip: isDeno && 'Deno has its own' },
  'Deno.serve': { serve: serveDeno, skip: !isDeno && 'of Deno' },
  'Bun.serve': { serve: serveBun, skip: !isBun && 'of Bun' },
}

const platform = (globalThis as { readonly WebSocket?: new (url: string) => Socket }).WebSocket
const clients: Readonly<Record<string, { readonly connect: (url: string) => Socket; readonly skip: string | false }>> =
  {
    ws: { connect: (url) => new WsSocket(url), skip: isDeno && 'Deno has its own' },
    'the WebSocket of the platform': {
      connect: (url) => new (platform as NonNullable<typeof platform>)(url),
      skip: platform === undefined && 'Node has it from 22 on',
    },
  }

const opened = (socket: Socket) =>
  new Promise<void>((resolve) =>
    (socket as unknown as EventTarget).addEventListener('open', () => resolve(), { once: true }),
  )

async function ending(token: CancellationToken): Promise<readonly [kind: unknown, code: unknown, reason: unknown]> {
  const error = await token.wait()
  const { code, reason } = token.reason as WebSocketClose
  assert.ok(token.reason instanceof Error)
  assert.equal(error.cause, token.reason)
  return [error.kind, code, reason]
}

const listenersOf = (socket: unknown): number =>
  socket instanceof EventEmitter
    ? socket.listenerCount('close')
    : getEventListeners(socket as EventTarget, 'close').length

for (const [serverName, { serve, skip }] of Object.entries(servers)) {
  for (const [clientName, { connect, skip: skipClient }] of Object.entries(clients)) {
    describe(`fromWebSocket with ${serverName} and ${clientName}`, () => {
      const no = skip || skipClient
      const meet = async (run: (there: WebSocketLike | BunWebSocket, client: Socket) => Promise<void>) => {
        const server = await serve()
        const client = connect(server.url)
        try {
          await opened(client)
          await run(await server.next(), client)
        } finally {
          client.close()
          await server.stop()
        }
      }

      it('both sides are cancelled by a normal close of the client, with its code and reason', { skip: no }, () =>
        meet(async (there, client) => {
          const tokens = [fromWebSocket(there), fromWebSocket(client)]
          assert.deepEqual(
            tokens.map(({ cancelled }) => cancelled),
            [false, false],
          )
          client.close(4001, 'enough')
          assert.deepEqual(await ending(tokens[0] as CancellationToken), ['disconnect', 4001, 'enough'])
          assert.equal((await ending(tokens[1] as CancellationToken))[0], 'disconnect')
          assert.match(
            tokens[0]?.error?.message ?? '',
            /^token lost its WebSocket: the WebSocket has closed with code 4001: enough$/,
          )
        }),
      )

      it('and by one of the server', { skip: no }, () =>
        meet(async (there, client) => {
          const tokens = [fromWebSocket(there), fromWebSocket(client)]
          ;(there as Socket).close(4002, 'full')
          assert.deepEqual(await ending(tokens[1] as CancellationToken), ['disconnect', 4002, 'full'])
          assert.equal((await ending(tokens[0] as CancellationToken))[0], 'disconnect')
        }),
      )

      it('a connection that is lost', { skip: no || (clientName !== 'ws' && 'only ws can cut it') }, () =>
        meet(async (there, client) => {
          const token = fromWebSocket(there)
          client.terminate?.()
          assert.deepEqual((await ending(token)).slice(0, 2), ['disconnect', 1006])
        }),
      )

      it('one that is closing, or closed, is cancelled at once', { skip: no }, () =>
        meet(async (there, client) => {
          const before = fromWebSocket(there)
          client.close()
          assert.deepEqual([fromWebSocket(client).cancelled, fromWebSocket(client).kind], [true, 'disconnect'])
          await before.wait()
          assert.equal(fromWebSocket(there), before)
        }),
      )

      it(
        'one socket has one token; a name makes one below it; nothing is left when it is cancelled',
        { skip: no },
        () =>
          meet(async (there, client) => {
            const before = listenersOf(client)
            const token = fromWebSocket(client, { name: 'chat' })
            assert.equal(fromWebSocket(client), token)
            const other = fromWebSocket(client, { name: 'other' })
            assert.deepEqual([other.name, other === token], ['other', false])
            assert.equal(String(token), "fromWebSocket(socket, { name: 'chat' })")
            if (!isDeno && !isBun) assert.equal(listenersOf(client), before + 1)
            token.cancel('enough')
            assert.equal(listenersOf(client), before)
            assert.deepEqual([other.cancelled, other.reason], [true, 'enough'])
            const derived = new SimpleToken(fromWebSocket(there))
            client.close()
            assert.equal((await derived.wait()).kind, 'disconnect')
            assert.equal(token.reason, 'enough')
          }),
      )
    })
  }
}

describe('fromWebSocket of a client', () => {
  for (const [name, { connect, skip }] of Object.entries(clients)) {
    it(`that cannot connect: ${name}`, { skip }, async () => {
      const socket = connect('ws://127.0.0.1:1')
      // A failure is for its owner to handle, as ever.
      ;(socket as unknown as EventTarget).addEventListener('error', () => {})
      assert.deepEqual((await ending(fromWebSocket(socket))).slice(0, 2), ['disconnect', 1006])
    })
  }
})

describe('Bun.serve', () => {
  it(
    'the token is over when the handler of the close is called, which is called as well',
    { skip: !isBun && 'of Bun' },
    async () => {
      closedByHandler.length = 0
      const server = await serveBun()
      const client = clients['ws']?.connect(server.url) as Socket
      await opened(client)
      const token = fromWebSocket(await server.next())
      client.close(4003)
      await token.wait()
      await turn()
      assert.deepEqual(closedByHandler, [[4003, true]])
      await server.stop()
    },
  )
})

describe('what is no WebSocket is refused', () => {
  for (const [what, value] of [
    ['nothing', undefined],
    ['a signal', new AbortController().signal],
    ['an emitter', new EventEmitter()],
    ['what has a state that is text', { readyState: 'open', send() {}, close() {} }],
  ] as const) {
    it(what, () => {
      assert.throws(() => fromWebSocket(value as never), {
        name: 'TypeError',
        message: /^socket must be a WebSocket, got/,
      })
    })
  }

  it('a socket without events whose handlers are not wrapped', () => {
    assert.throws(() => fromWebSocket({ readyState: 1, send() {}, close() {} }), {
      name: 'TypeError',
      message: /withWebSocketTokens/,
    })
    assert.throws(() => withWebSocketTokens(5 as never), { name: 'TypeError', message: /^handlers must be/ })
    assert.throws(() => fromWebSocket({ readyState: 1, send() {}, close() {} }, { nam: 'x' } as never), {
      name: 'TypeError',
      message: /did you mean "name"/,
    })
  })
})
