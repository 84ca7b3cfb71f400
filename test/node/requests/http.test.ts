/** `fromRequest(req, res)` over `node:http`: a real server, and clients that are sockets. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { describe, it } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { type CancellationToken, SimpleToken } from 'calloff'
import { fromRequest } from 'calloff/node'
import { Client, GET, post } from './client.js'
import { listenersOf } from './listeners.js'
import { isBun, isDeno } from './runtime.js'

/** A request on the side of the server. */
interface Exchange {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  readonly socket: Socket
  readonly token: CancellationToken
  /** How many listeners of ours are left. */
  readonly left: () => number
}

/** A server, and the requests it has got; `answer` is called with each, after `fromRequest`. */
class Site {
  readonly server: Server
  readonly #got: Exchange[] = []
  #more: (() => void) | undefined

  private constructor(answer: (exchange: Exchange, index: number) => void) {
    this.server = createServer((req, res) => {
      const { socket } = req
      let token!: CancellationToken
      const left = listenersOf([req, res, socket], () => (token = fromRequest(req, res)))
      const exchange = { req, res, socket, token, left }
      answer(exchange, this.#got.push(exchange) - 1)
      this.#more?.()
    })
  }

  static async open(answer: (exchange: Exchange, index: number) => void = () => {}): Promise<Site> {
    const site = new Site(answer)
    site.server.listen(0, '127.0.0.1')
    await once(site.server, 'listening')
    return site
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port
  }

  /** The request of that number, once it has come. */
  async request(index = 0): Promise<Exchange> {
    while (this.#got.length <= index) await new Promise<void>((resolve) => (this.#more = resolve))
    return this.#got[index]!
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.closeAllConnections()
    await new Promise((resolve) => this.server.close(resolve))
  }
}

/** Everything that comes with the close of a connection has come. */
async function closed(socket: Socket): Promise<void> {
  // Not `once` of node:events, which fails with the errors of a socket that is closed in the middle of something.
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve))
  for (let i = 0; i < 5; i++) await turn()
}

async function assertLost({ token, left, socket }: Exchange): Promise<void> {
  assert.ok(left() > 0 || token.cancelled, 'it listened')
  const error = await token.wait({ timeout: 120_000 })
  assert.equal(error.kind, 'disconnect')
  assert.match(error.message, /^token lost its connection before the response had finished/)
  assert.equal(token.signal.reason, error)
  await closed(socket)
  assert.equal(left(), 0)
}

/** The client goes now that all is done, which changes nothing. */
async function assertWhole({ token, left, socket }: Exchange, client: Client): Promise<void> {
  client.leave()
  await closed(socket)
  assert.equal(token.cancelled, false)
  assert.equal(left(), 0)
}

const big = Buffer.alloc(30_000_000, 'x')
const never = (): void => {}
const read = ({ req }: Exchange): void => void req.resume()

interface Case {
  readonly title: string
  readonly request: string
  readonly answer: (exchange: Exchange) => void
}

const losses: readonly Case[] = [
  { title: 'GET', request: GET, answer: never },
  { title: 'POST, its body read', request: post('hello'), answer: read },
  { title: 'POST, its body not read', request: post('hello'), answer: never },
  { title: 'half way through an upload', request: post('hello', 500), answer: read },
  { title: 'half way through an upload that is not read', request: post('hello', 500), answer: never },
  { title: 'server-sent events', request: GET, answer: ({ res }) => void res.write('data: 1\n\n') },
  { title: 'a large response, written and not taken', request: GET, answer: ({ res }) => void res.write(big) },
  { title: 'a large response, ended and not taken', request: GET, answer: ({ res }) => void res.end(big) },
]

describe('a client of node:http that leaves', () => {
  for (const { title, request, answer } of losses) {
    for (const way of ['leave', 'reset'] as const) {
      it(`${title} (${way === 'leave' ? 'closed' : 'reset'})`, async () => {
        await using site = await Site.open(answer)
        const client = await Client.connect(site.port)
        const slow = title.includes('not taken')
        if (slow) client.pause()
        client.send(request)
        const exchange = await site.request()
        if (title.includes('body read')) await once(exchange.req, 'close')
        else if (!slow && title.includes('events')) await client.got('data: 1')
        assert.equal(exchange.token.cancelled, false)
        client[way]()
        await assertLost(exchange)
      })
    }
  }
})

const stream = ({ res }: Exchange): void => {
  res.write('data: 1\n\n')
  setTimeout(() => res.end('data: end\n\n'), 20)
}

const wholes: readonly (Case & { readonly expected: string })[] = [
  { title: 'GET', request: GET, answer: ({ res }) => void res.end('answer'), expected: 'answer' },
  {
    title: 'POST, answered when its body has been read',
    request: post('hello'),
    answer: ({ req, res }) => void req.resume().on('close', () => setTimeout(() => res.end('answer'), 20)),
    expected: 'answer',
  },
  {
    title: 'POST, answered before its body has come',
    request: post('hello', 500),
    answer: ({ res }) => void res.end('answer'),
    expected: 'answer',
  },
  { title: 'server-sent events that end', request: GET, answer: stream, expected: 'data: end' },
  {
    title: 'HEAD',
    request: GET.replace('GET', 'HEAD'),
    answer: ({ res }) => void res.setHeader('x-head', 'yes').end('no body'),
    expected: '\r\n\r\n',
  },
  { title: '204', request: GET, answer: ({ res }) => void res.writeHead(204).end(), expected: '\r\n\r\n' },
  {
    title: 'the last of a connection (Connection: close)',
    request: GET.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'),
    answer: ({ res }) => void res.end('answer'),
    expected: 'answer',
  },
  {
    title: 'HTTP/1.0',
    request: GET.replace('HTTP/1.1', 'HTTP/1.0'),
    answer: ({ res }) => void res.end('answer'),
    expected: 'answer',
  },
  {
    title: 'a connection that the server closes as soon as all is written',
    request: GET,
    answer: ({ res, socket }) => void res.end('answer', () => socket.destroySoon()),
    expected: 'answer',
  },
]

describe('a response of node:http that ends', () => {
  for (const { title, request, answer, expected } of wholes) {
    it(title, async () => {
      await using site = await Site.open(answer)
      const client = (await Client.connect(site.port)).send(request)
      const exchange = await site.request()
      await client.got(expected)
      await assertWhole(exchange, client)
    })
  }

  it('is cancelled before code that has watched the response for longer hears of its end', async () => {
    const seen: boolean[] = []
    const server = createServer((req, res) => {
      res.on('close', () => seen.push(token.cancelled))
      const token = fromRequest(req, res)
      socket.destroy()
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
    socket.write('GET / HTTP/1.1\r\nhost: localhost\r\n\r\n')
    while (seen.length === 0) await turn()
    server.close()
    assert.deepEqual(seen, [true])
  })

  it('a large one, to a client that is slow but stays', async () => {
    await using site = await Site.open(({ res }) => void res.end(big))
    const client = await Client.connect(site.port)
    client.pause()
    client.send(GET)
    const exchange = await site.request()
    for (let i = 0; i < 5; i++) await turn()
    assert.ok(exchange.left() > 0)
    client.resume()
    while (client.text.length < big.length) await once(client.socket, 'data')
    await assertWhole(exchange, client)
  })

  it('keep-alive: each request of a connection has its own token, and leaves nothing on the connection', async () => {
    await using site = await Site.open(({ res }, index) => void (index < 5 && res.end(`answer ${index}.`)))
    const client = await Client.connect(site.port)
    let listeners: number | undefined
    for (let i = 0; i < 5; i++) {
      client.send(GET)
      const { left, socket, token } = await site.request(i)
      await client.got(`answer ${i}.`)
      while (left() > 0) await turn()
      listeners ??= socket.listenerCount('close')
      assert.equal(socket.listenerCount('close'), listeners)
      assert.equal(token.cancelled, false)
    }
    client.send(GET)
    const last = await site.request(5)
    client.leave()
    await assertLost(last)
    for (let i = 0; i < 5; i++) assert.equal((await site.request(i)).token.cancelled, false)
  })

  it(
    'to a client that has closed its half and waits',
    { skip: (isBun || isDeno) && 'only Node can be told to wait' },
    async () => {
      const answers: ServerResponse[] = []
      await using site = await Site.open(({ res }) => void answers.push(res))
      Object.assign(site.server, { httpAllowHalfOpen: true })
      const client = (await Client.connect(site.port)).send(GET)
      const exchange = await site.request()
      client.halfClose()
      await once(exchange.socket, 'end')
      for (let i = 0; i < 5; i++) await turn()
      assert.equal(exchange.token.cancelled, false)
      answers[0]!.end('answer')
      await client.got('answer')
      await assertWhole(exchange, client)
    },
  )
})

describe('pipelining', () => {
  it('who leaves cancels all that wait, and not the one that was answered', async () => {
    await using site = await Site.open(({ res }, index) => void (index === 0 && setTimeout(() => res.end('first'), 20)))
    const client = (await Client.connect(site.port)).send(GET + GET + GET)
    const [first, second, third] = [await site.request(0), await site.request(1), await site.request(2)]
    await client.got('first')
    client.leave()
    await assertLost(second)
    await assertLost(third)
    assert.equal(first.token.cancelled, false)
    assert.equal(first.left(), 0)
  })

  it('a response that was ended behind one that was not is lost with it', async () => {
    await using site = await Site.open(({ req, res }, index) => {
      req.resume()
      if (index === 1) res.end('second')
    })
    const client = (await Client.connect(site.port)).send(GET + post('hello'))
    const [first, second] = [await site.request(0), await site.request(1)]
    await once(second.req, 'end')
    client.leave()
    await assertLost(first)
    await assertLost(second)
  })

  it('a hundred put one listener on the connection; there is no warning', async () => {
    const warnings: Error[] = []
    const warned = (warning: Error): void => void warnings.push(warning)
    process.on('warning', warned)
    await using site = await Site.open()
    const client = (await Client.connect(site.port)).send(GET.repeat(100))
    const { socket } = await site.request(0)
    const before = socket.listenerCount('close')
    const last = await site.request(99)
    assert.equal(socket.listenerCount('close'), before)
    client.leave()
    await assertLost(last)
    for (let i = 0; i < 100; i++) assert.equal((await site.request(i)).token.kind, 'disconnect')
    await turn()
    process.off('warning', warned)
    assert.deepEqual(
      warnings.filter(({ name }) => name === 'MaxListenersExceededWarning'),
      [],
    )
  })

  it('all are answered in order', async () => {
    const waiting: ServerResponse[] = []
    await using site = await Site.open(({ res }, index) => {
      waiting.push(res)
      if (index === 2) for (const one of waiting.toReversed()) one.end(`answer ${waiting.indexOf(one)}.`)
    })
    const client = (await Client.connect(site.port)).send(GET + GET + GET)
    const exchanges = [await site.request(0), await site.request(1), await site.request(2)]
    await client.got('answer 2.')
    while (exchanges.some(({ left }) => left() > 0)) await turn()
    for (const exchange of exchanges) await assertWhole(exchange, client)
  })
})

describe('the server itself', () => {
  it('destroys a response: it is lost', async () => {
    await using site = await Site.open(({ res }) => void res.write('half'))
    const client = (await Client.connect(site.port)).send(GET)
    const exchange = await site.request()
    await client.got('half')
    exchange.res.destroy()
    await assertLost(exchange)
  })

  it('closes all connections: it is lost', async () => {
    await using site = await Site.open()
    await Client.connect(site.port).then((client) => client.send(GET))
    const exchange = await site.request()
    site.server.closeAllConnections()
    await assertLost(exchange)
  })

  it('says what it knows of the reason: the error of a connection that was reset', async () => {
    await using site = await Site.open()
    const client = (await Client.connect(site.port)).send(GET)
    const exchange = await site.request()
    client.reset()
    await assertLost(exchange)
    const { reason, error } = exchange.token
    if (isBun || isDeno) assert.ok(reason === undefined || reason instanceof Error)
    else {
      assert.equal((reason as NodeJS.ErrnoException).code, 'ECONNRESET')
      assert.match(error!.message, /: read ECONNRESET$/)
    }
  })
})

describe('the moment of the first read', () => {
  /** A server whose handler asks for no token. */
  async function bare(
    answer: (req: IncomingMessage, res: ServerResponse) => void,
  ): Promise<{ port: number; asked: Promise<[IncomingMessage, ServerResponse]> } & AsyncDisposable> {
    const server = createServer(answer).listen(0, '127.0.0.1')
    await once(server, 'listening')
    return {
      port: (server.address() as AddressInfo).port,
      asked: once(server, 'request') as Promise<[IncomingMessage, ServerResponse]>,
      async [Symbol.asyncDispose]() {
        server.closeAllConnections()
        await new Promise((resolve) => server.close(resolve))
      },
    }
  }

  it('a client that had left by then has left', async () => {
    await using site = await bare(never)
    const client = (await Client.connect(site.port)).send(GET)
    const [req, res] = await site.asked
    client.leave()
    await closed(req.socket)
    let token!: CancellationToken
    const left = listenersOf([req, res, req.socket], () => (token = fromRequest(req, res)))
    assert.equal(token.kind, 'disconnect')
    assert.equal(left(), 0)
  })

  it('one that had left before its body was read, too', async () => {
    await using site = await bare((req) => void req.resume())
    const client = (await Client.connect(site.port)).send(post('hello'))
    const [req, res] = await site.asked
    if (!req.readableEnded) await once(req, 'end')
    client.leave()
    await closed(req.socket)
    assert.equal(fromRequest(req, res).kind, 'disconnect')
  })

  it('a response that had finished by then has finished', async () => {
    await using site = await bare((_, res) => void res.end('answer'))
    const client = (await Client.connect(site.port)).send(GET)
    const [req, res] = await site.asked
    await client.got('answer')
    const early = fromRequest(req, res)
    client.leave()
    await closed(req.socket)
    assert.equal(early.cancelled, false)
  })

  it('a connection that has been closed after the response changes nothing', async () => {
    await using site = await bare((_, res) => void res.end('answer'))
    const client = (await Client.connect(site.port)).send(GET)
    const [req, res] = await site.asked
    await client.got('answer')
    client.leave()
    await closed(req.socket)
    let token!: CancellationToken
    const left = listenersOf([req, res, req.socket], () => (token = fromRequest(req, res)))
    assert.equal(token.cancelled, false)
    assert.equal(left(), 0)
  })
})

describe('the token of a request', () => {
  it('is the same however often it is asked for; under another name, one that derives from it', async () => {
    await using site = await Site.open()
    const client = (await Client.connect(site.port)).send(GET)
    const { req, res, token } = await site.request()
    assert.equal(fromRequest(req, res), token)
    assert.equal(fromRequest(req, res, {}), token)
    const named = fromRequest(req, res, { name: 'report' })
    assert.notEqual(named, token)
    assert.equal(named.name, 'report')
    client.leave()
    assert.equal(await named.wait({ timeout: 120_000 }), token.error)
  })

  it('keeps the name it was first asked for with, and reads as what makes it', async () => {
    const server = createServer((req, res) => {
      const token = fromRequest(req, res, { name: 'report' })
      assert.equal(fromRequest(req, res, { name: 'report' }), token)
      assert.equal(fromRequest(req, res), token)
      res.end(String(new SimpleToken(token)))
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const client = await Client.connect((server.address() as AddressInfo).port)
    await client.send(GET).got("SimpleToken(fromRequest(request, { name: 'report' }))")
    client.leave()
    server.close()
  })

  it('can be cancelled by hand, which is what it stays with', async () => {
    await using site = await Site.open()
    const client = (await Client.connect(site.port)).send(GET)
    const { token, left, socket } = await site.request()
    token.cancel('enough')
    client.leave()
    await closed(socket)
    assert.deepEqual([token.kind, token.reason, left()], ['manual', 'enough', 0])
  })

  it('nests, sums and races', async () => {
    await using site = await Site.open()
    const client = (await Client.connect(site.port)).send(GET)
    const { token } = await site.request()
    const both = token.plus(new SimpleToken())
    const pending = assert.rejects(both.race(new Promise(() => {})), { kind: 'disconnect' })
    client.leave()
    await pending
    assert.equal(both.cancelledBy, token)
  })
})

describe('an upgrade and a CONNECT', () => {
  for (const event of ['upgrade', 'connect'] as const) {
    const request =
      event === 'upgrade'
        ? GET.replace('\r\n\r\n', '\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n')
        : 'CONNECT there:1 HTTP/1.1\r\nHost: there:1\r\n\r\n'

    it(`${event}: the socket is the response; who leaves cancels`, async () => {
      const server = createServer().listen(0, '127.0.0.1')
      await once(server, 'listening')
      const client = (await Client.connect((server.address() as AddressInfo).port)).send(request)
      const [req, socket] = (await once(server, event)) as [IncomingMessage, Socket]
      const token = fromRequest(req, socket)
      socket.resume().write('HTTP/1.1 200 yes\r\n\r\n')
      await client.got('yes')
      assert.equal(token.cancelled, false)
      client.leave()
      assert.equal((await token.wait({ timeout: 120_000 })).kind, 'disconnect')
      server.close()
    })

    it(`${event}: what the server ends has finished`, async () => {
      const server = createServer().listen(0, '127.0.0.1')
      await once(server, 'listening')
      const client = (await Client.connect((server.address() as AddressInfo).port)).send(request)
      const [req, socket] = (await once(server, event)) as [IncomingMessage, Socket]
      let token!: CancellationToken
      const left = listenersOf([req, socket], () => (token = fromRequest(req, socket)))
      socket.resume().end('HTTP/1.1 200 yes\r\n\r\n')
      await client.got('yes')
      client.leave()
      await closed(socket)
      assert.equal(token.cancelled, false)
      assert.equal(left(), 0)
      server.close()
    })
  }
})

describe('arguments of fromRequest', () => {
  const wrong = fromRequest as (...args: unknown[]) => unknown

  it('what is no request is a TypeError', () => {
    for (const request of [undefined, null, 5, {}, { signal: new AbortController().signal, headers: {} }]) {
      assert.throws(() => wrong(request), { name: 'TypeError', message: /^request must be/ })
    }
  })

  it("Node's request without its response is a TypeError", async () => {
    await using site = await Site.open()
    const client = (await Client.connect(site.port)).send(GET)
    const { req, res } = await site.request()
    assert.throws(() => wrong(req), { name: 'TypeError', message: /^response must be .*, got undefined/ })
    assert.throws(() => wrong(req, { name: 'x' }), { name: 'TypeError', message: /^response must be/ })
    assert.throws(() => wrong(req, res, 'x'), { name: 'TypeError', message: /^options must be/ })
    assert.throws(() => wrong(req, res, { name: 5 }), { name: 'TypeError', message: /^name must be a string, got 5/ })
    client.leave()
  })
})
