/** `fromRequest(req, res)` over the compatibility API of `node:http2`. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  createServer,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type OutgoingHttpHeaders,
  type ServerHttp2Session,
} from 'node:http2'
import type { AddressInfo } from 'node:net'
import { describe, it } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import type { CancellationToken } from 'calloff'
import { fromRequest } from 'calloff/node'
import { listenersOf } from './listeners.js'
import { isDeno } from './runtime.js'

interface Exchange {
  readonly req: Http2ServerRequest
  readonly res: Http2ServerResponse
  readonly stream: Http2ServerResponse['stream']
  readonly token: CancellationToken
  readonly left: () => number
}

/** A server with one client. */
class Site {
  readonly server: Http2Server
  client!: ClientHttp2Session
  readonly #got: Exchange[] = []
  readonly #sessions: ServerHttp2Session[] = []
  #more: (() => void) | undefined

  private constructor(answer: (exchange: Exchange) => void) {
    this.server = createServer((req, res) => {
      let token!: CancellationToken
      const left = listenersOf([req, res, res.stream, req.stream], () => (token = fromRequest(req, res)))
      const exchange = { req, res, stream: res.stream, token, left }
      answer(exchange)
      this.#got.push(exchange)
      this.#more?.()
    })
    this.server.on('sessionError', never).on('session', (session) => this.#sessions.push(session))
  }

  static async open(answer: (exchange: Exchange) => void = never): Promise<Site> {
    const site = new Site(answer)
    site.server.listen(0, '127.0.0.1')
    await once(site.server, 'listening')
    site.client = connect(`http://127.0.0.1:${(site.server.address() as AddressInfo).port}`)
    site.client.on('error', never)
    await once(site.client, 'connect')
    return site
  }

  ask(headers: OutgoingHttpHeaders = {}, body?: string): ClientHttp2Stream {
    const stream = this.client.request({ ':path': '/', ...headers }, { endStream: body === undefined })
    if (body !== undefined) stream.write(body)
    return stream.on('error', never)
  }

  async request(index = 0): Promise<Exchange> {
    while (this.#got.length <= index) await new Promise<void>((resolve) => (this.#more = resolve))
    return this.#got[index]!
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client.destroy()
    // A session with a stream that waits for ever never closes by itself.
    for (const session of this.#sessions) session.destroy()
    await new Promise((resolve) => this.server.close(resolve))
  }
}

const never = (): void => {}
const { NGHTTP2_CANCEL, NGHTTP2_NO_ERROR } = constants
const POST = { ':method': 'POST' }
const big = Buffer.alloc(3_000_000, 'x')

async function closed(stream: Exchange['stream']): Promise<void> {
  if (!stream.destroyed) await new Promise((resolve) => stream.once('close', resolve))
  for (let i = 0; i < 10; i++) await turn()
}

async function assertLost({ token, left }: Exchange): Promise<void> {
  const error = await token.wait({ timeout: 120_000 })
  assert.equal(error.kind, 'disconnect')
  // Not for the close: a stream of Node 20 that waits for what it will never write has none before that of its session.
  for (let i = 0; i < 10; i++) await turn()
  assert.equal(left(), 0)
}

const read = ({ req }: Exchange): void => void req.resume()

interface Case {
  readonly title: string
  readonly headers?: OutgoingHttpHeaders
  readonly body?: string
  readonly answer: (exchange: Exchange) => void
  readonly isSlow?: true
}

const losses: readonly Case[] = [
  { title: 'GET', answer: never },
  { title: 'HEAD', headers: { ':method': 'HEAD' }, answer: never },
  { title: 'POST, half of its body read', headers: POST, body: 'hello', answer: read },
  {
    title: 'POST, its body read in part',
    headers: POST,
    body: 'hello'.repeat(20_000), // more than one chunk
    answer: ({ req }) => void req.once('data', () => req.pause()),
  },
  { title: 'POST, its body not read', headers: POST, body: 'hello', answer: never },
  { title: 'server-sent events', answer: ({ res }) => void res.write('data: 1\n\n') },
  { title: 'a large response, written and not taken', answer: ({ res }) => void res.write(big), isSlow: true },
  { title: 'a large response, ended and not taken', answer: ({ res }) => void res.end(big), isSlow: true },
]

const ways: Readonly<Record<string, (stream: ClientHttp2Stream, site: Site) => void>> = {
  'reset with CANCEL': (stream) => stream.close(NGHTTP2_CANCEL),
  'reset with NO_ERROR': (stream) => stream.close(NGHTTP2_NO_ERROR),
  'with its whole session': (_, { client }) => client.destroy(),
}

describe('a client of node:http2 that leaves', () => {
  for (const { title, headers, body, answer, isSlow } of losses) {
    for (const [way, leave] of Object.entries(ways)) {
      // Deno says nothing until the session closes: the stream waits for what it will never write.
      const isLate = title.includes('ended') && way.includes('NO_ERROR') && isDeno
      it(`${title} (${way})`, async () => {
        await using site = await Site.open(answer)
        const stream = site.ask(headers, body)
        if (isSlow) stream.pause()
        else stream.resume()
        const exchange = await site.request()
        if (isSlow || title.includes('events')) await once(stream, 'response')
        for (let i = 0; i < 5; i++) await turn()
        assert.equal(exchange.token.cancelled, false)
        assert.ok(exchange.left() > 0)
        leave(stream, site)
        if (isLate) {
          for (let i = 0; i < 10; i++) await turn()
          site.client.destroy()
        }
        await assertLost(exchange)
      })
    }
  }

  it('takes one stream; the others of its session go on', async () => {
    await using site = await Site.open()
    const first = site.ask()
    site.ask().resume()
    const [one, other] = [await site.request(0), await site.request(1)]
    first.close(NGHTTP2_CANCEL)
    await assertLost(one)
    assert.equal(one.token.reason, `HTTP/2 error code ${NGHTTP2_CANCEL}`)
    assert.match(one.token.error!.message, /^token lost its connection .*: HTTP\/2 error code 8$/)
    assert.equal(other.token.cancelled, false)
    site.client.destroy()
    await assertLost(other)
  })

  it('is lost even if its handler ends the response when it learns of that', async () => {
    await using site = await Site.open(({ stream, res }) => void stream.on('aborted', () => res.end()))
    const stream = site.ask().resume()
    const exchange = await site.request()
    stream.close(NGHTTP2_CANCEL)
    await assertLost(exchange)
  })

  it('is remembered until the first read', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const client = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`).on('error', never)
    const request = client.request({ ':path': '/' }).on('error', never)
    const [req, res] = (await once(server, 'request')) as [Http2ServerRequest, Http2ServerResponse]
    const { stream } = res
    request.close(NGHTTP2_CANCEL)
    await closed(stream)
    assert.equal(fromRequest(req, res).kind, 'disconnect')
    client.destroy()
    server.close()
  })
})

const wholes: readonly Case[] = [
  { title: 'GET', answer: ({ res }) => void res.end('answer') },
  { title: 'HEAD', headers: { ':method': 'HEAD' }, answer: ({ res }) => void res.end() },
  { title: '204', answer: ({ res }) => void res.writeHead(204).end() },
  {
    title: 'POST, answered before its body has come',
    headers: POST,
    body: 'x',
    answer: ({ res }) => void res.end('answer'),
  },
  {
    title: 'server-sent events that end',
    answer: ({ res }) => {
      res.write('data: 1\n\n')
      setTimeout(() => res.end('data: end\n\n'), 20)
    },
  },
  {
    title: 'one with trailers',
    answer: ({ res }) => {
      res.addTrailers({ 'x-trailer': 'yes' })
      res.end('answer')
    },
  },
  { title: 'a large one', answer: ({ res }) => void res.end(big) },
]

describe('a response of node:http2 that ends', () => {
  for (const { title, headers, body, answer } of wholes) {
    it(title, async () => {
      await using site = await Site.open(answer)
      const stream = site.ask(headers, body).resume()
      const exchange = await site.request()
      await once(stream, 'end')
      stream.close(NGHTTP2_CANCEL)
      site.client.destroy()
      await closed(exchange.stream)
      assert.equal(exchange.token.cancelled, false)
      assert.equal(exchange.left(), 0)
    })
  }

  it('that the server destroys is lost', async () => {
    await using site = await Site.open(({ res }) => void res.write('half'))
    site.ask().resume()
    const exchange = await site.request()
    exchange.res.stream.destroy()
    await assertLost(exchange)
  })

  it('and is looked at first by then, has ended', async () => {
    const server = createServer((_, res) => void res.end('answer')).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const client = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`).on('error', never)
    const request = client.request({ ':path': '/' }).on('error', never).resume()
    const [req, res] = (await once(server, 'request')) as [Http2ServerRequest, Http2ServerResponse]
    const { stream } = res
    await once(request, 'end')
    client.destroy()
    await closed(stream)
    let token!: CancellationToken
    const left = listenersOf([req, res, stream], () => (token = fromRequest(req, res)))
    assert.equal(token.cancelled, false)
    assert.equal(left(), 0)
    server.close()
  })
})
