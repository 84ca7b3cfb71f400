/**
 * The token of a fetch-style `Request`: on Bun over `Bun.serve`, on Deno over `Deno.serve`, on Node over hono's server.
 *
 * What a runtime does not see is skipped here, as `unseen`, and said in docs/guides/http.md.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { type CancellationToken, SimpleToken, TimeoutToken } from 'calloff'
import { fromRequest, withRequestToken } from 'calloff/node'
import { Client, GET, post } from './client.js'
import { isDeno } from './runtime.js'
import { type FetchSite, serveFetch } from './serve-fetch.js'

type Answer = (request: Request, token: CancellationToken) => Response | Promise<Response>

interface Exchange {
  readonly request: Request
  readonly token: CancellationToken
}

/** A server whose handler gets the token of each request. */
async function open(answer: Answer): Promise<FetchSite & { request(index?: number): Promise<Exchange> }> {
  const got: Exchange[] = []
  let more: (() => void) | undefined
  const site = await serveFetch(
    withRequestToken((request, token) => {
      got.push({ request, token })
      more?.()
      return answer(request, token)
    }),
  )
  return Object.assign(site, {
    async request(index = 0) {
      while (got.length <= index) await new Promise<void>((resolve) => (more = resolve))
      return got[index]!
    },
  })
}

const encoder = new TextEncoder()
const until = async (token: CancellationToken): Promise<Response> => {
  await token.wait({ timeout: 120_000 })
  return new Response('too late')
}
const events = (end: boolean, cancelled: () => void = () => {}): Response =>
  new Response(
    new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(encoder.encode('data: 1\n\n'))
        if (!end) return
        setTimeout(() => {
          controller.enqueue(encoder.encode('data: end\n\n'))
          controller.close()
        }, 20)
      },
      cancel: cancelled,
    }),
    { headers: { 'content-type': 'text/event-stream' } },
  )
/** More than the buffers of two sockets take. */
const flood = (): Response => {
  let left = 600
  return new Response(
    new ReadableStream<Uint8Array>({
      pull(controller) {
        if (left-- > 0) controller.enqueue(new Uint8Array(100_000))
        else controller.close()
      },
    }),
  )
}

interface Case {
  readonly title: string
  readonly request: string
  readonly answer: Answer
  /** What the client waits for before it leaves. */
  readonly after?: string
  readonly isSlow?: true
  readonly unseen?: boolean
}

const losses: readonly Case[] = [
  { title: 'GET', request: GET, answer: (_, token) => until(token) },
  {
    title: 'POST, its body read',
    request: post('hello'),
    answer: async (request, token) => {
      assert.equal(await request.text(), 'hello')
      return until(token)
    },
  },
  { title: 'POST, its body not read', request: post('hello'), answer: (_, token) => until(token) },
  {
    title: 'half way through an upload',
    request: post('hello', 500),
    answer: async (request, token) => {
      await request.text().catch(() => {})
      return until(token)
    },
    unseen: isDeno,
  },
  {
    title: 'half way through an upload that is not read',
    request: post('hello', 500),
    answer: (_, token) => until(token),
    unseen: isDeno,
  },
  { title: 'server-sent events', request: GET, answer: () => events(false), after: 'data: 1' },
  {
    title: 'a large response, of which little was taken',
    request: GET,
    answer: flood,
    after: 'HTTP/1.1 200',
    isSlow: true,
  },
]

describe('a client that leaves', () => {
  for (const { title, request, answer, after, isSlow, unseen = false } of losses) {
    for (const way of ['leave', 'reset'] as const) {
      it(
        `${title} (${way === 'leave' ? 'closed' : 'reset'})`,
        { skip: unseen && 'not seen by this runtime' },
        async () => {
          await using site = await open(answer)
          const client = (await Client.connect(site.port)).send(request)
          const { token, request: seen } = await site.request()
          if (after !== undefined) await client.got(after)
          if (isSlow) client.pause()
          for (let i = 0; i < 5; i++) await turn()
          assert.equal(token.cancelled, false)
          client[way]()
          const error = await token.wait({ timeout: 120_000 })
          assert.equal(error.kind, 'disconnect')
          assert.match(error.message, /^token lost its connection before the response had finished/)
          assert.equal(fromRequest(seen), token)
        },
      )
    }
  }

  it('is remembered until the first read', async () => {
    let left!: () => void
    const gone = new Promise<void>((resolve) => (left = resolve))
    let look!: (token: CancellationToken) => void
    const looked = new Promise<CancellationToken>((resolve) => (look = resolve))
    let asked!: () => void
    const began = new Promise<void>((resolve) => (asked = resolve))
    await using site = await serveFetch(
      withRequestToken(async (request: Request) => {
        asked()
        await gone
        look(fromRequest(request))
        return new Response('too late')
      }),
    )
    const client = (await Client.connect(site.port)).send(GET)
    await began
    client.leave()
    // Nobody can be asked when the server has heard of it.
    await new Promise((resolve) => setTimeout(resolve, 200))
    left()
    assert.equal((await looked).kind, 'disconnect')
  })

  it('cancels the stream that was being sent', async () => {
    let cancelled!: () => void
    const told = new Promise<void>((resolve) => (cancelled = resolve))
    await using site = await open(() => events(false, cancelled))
    const client = (await Client.connect(site.port)).send(GET)
    await client.got('data: 1')
    client.leave()
    await new TimeoutToken(120_000).race(told)
  })
})

const wholes: readonly (Case & { readonly expected: string })[] = [
  { title: 'GET', request: GET, answer: () => new Response('answer'), expected: 'answer' },
  { title: 'bytes', request: GET, answer: () => new Response(encoder.encode('answer')), expected: 'answer' },
  { title: 'JSON', request: GET, answer: () => Response.json({ answer: 1 }), expected: '{"answer":1}' },
  { title: 'nothing', request: GET, answer: () => new Response(''), expected: '\r\n\r\n' },
  { title: '204', request: GET, answer: () => new Response(null, { status: 204 }), expected: '\r\n\r\n' },
  {
    title: 'POST, answered when its body has been read',
    request: post('hello'),
    answer: async (request) => new Response(`${await request.text()}, answer`),
    expected: 'hello, answer',
  },
  {
    title: 'later',
    request: GET,
    answer: (_, token) => token.sleep(20).then(() => new Response('answer')),
    expected: 'answer',
  },
  { title: 'server-sent events that end', request: GET, answer: () => events(true), expected: 'data: end' },
]

/** The client has left, and everything that comes with that has come. */
async function gone(client: Client): Promise<void> {
  client.leave()
  await new Promise((resolve) => setTimeout(resolve, 100))
}

describe('a response that ends', () => {
  for (const { title, request, answer, expected } of wholes) {
    it(title, async () => {
      await using site = await open(answer)
      const client = (await Client.connect(site.port)).send(request)
      const { token } = await site.request()
      await client.got(expected)
      await gone(client)
      assert.equal(token.cancelled, false)
    })
  }

  it('a large one, to a client that is slow but stays', async () => {
    await using site = await open(flood)
    const client = (await Client.connect(site.port)).send(GET)
    const { token } = await site.request()
    client.pause()
    for (let i = 0; i < 5; i++) await turn()
    client.resume()
    while (client.text.length < 60_000_000) await turn()
    await gone(client)
    assert.equal(token.cancelled, false)
  })

  it('keep-alive: each request has its own token', async () => {
    await using site = await open(() => new Response('answer'))
    const client = await Client.connect(site.port)
    const tokens = new Set<CancellationToken>()
    for (let i = 0; i < 5; i++) {
      client.text = ''
      client.send(GET)
      tokens.add((await site.request(i)).token)
      await client.got('answer')
    }
    await gone(client)
    assert.equal(tokens.size, 5)
    for (const token of tokens) assert.equal(token.cancelled, false)
  })

  it('a text keeps its length, and a response its status and headers', async () => {
    await using site = await open(
      () => new Response('a text', { status: 201, headers: { 'x-own': 'yes', 'content-type': 'text/own' } }),
    )
    const client = (await Client.connect(site.port)).send(GET)
    await client.got('a text')
    assert.match(client.text, /^HTTP\/1.1 201 /)
    assert.match(client.text, /content-length: 6\r\n/i)
    assert.match(client.text, /x-own: yes\r\n/i)
    assert.match(client.text, /content-type: text\/own\r\n/i)
    client.leave()
  })
})

describe('a handler that fails', () => {
  it('with the error of its token, for a client that has left, is no failure', async () => {
    const { request, abort } = requestThatAborts()
    const handler = withRequestToken(async (_: Request, token) => {
      abort()
      await token.sleep(60_000)
      return new Response('never')
    })
    assert.equal((await handler(request)).status, 499)
  })

  it('otherwise fails, and its token is not cancelled by what comes later', async () => {
    for (const error of [new Error('disk full'), new SimpleToken().cancel().error]) {
      const { request, abort } = requestThatAborts()
      await assert.rejects(
        withRequestToken(() => Promise.reject(error as Error))(request),
        (thrown) => thrown === error,
      )
      abort()
      assert.equal(fromRequest(request).cancelled, false)
    }
  })

  it('also if the client has left', async () => {
    const { request, abort } = requestThatAborts()
    const handler = withRequestToken(() => {
      abort()
      throw new Error('disk full')
    })
    await assert.rejects(handler(request), /disk full/)
    assert.equal(fromRequest(request).kind, 'disconnect')
  })
})

/** A request whose client leaves at a call. */
function requestThatAborts(): { request: Request; abort: () => void } {
  const controller = new AbortController()
  const request = new Request('http://localhost/', { signal: controller.signal })
  return { request, abort: () => controller.abort() }
}

describe('the token of a Request', () => {
  it('is the same however often it is asked for, and takes a name', () => {
    const request = new Request('http://localhost/')
    const token = fromRequest(request, { name: 'report' })
    assert.equal(token.name, 'report')
    assert.equal(fromRequest(request), token)
    assert.notEqual(fromRequest(request, { name: 'other' }), token)
    assert.equal(String(token), "fromRequest(request, { name: 'report' })")
  })

  it('is cancelled with its signal, whose reason it keeps', () => {
    const { request, abort } = requestThatAborts()
    const token = fromRequest(request)
    abort()
    assert.equal(token.kind, 'disconnect')
    assert.equal(token.reason, request.signal.reason)
    const late = requestThatAborts()
    late.abort()
    assert.equal(fromRequest(late.request).kind, 'disconnect')
  })

  it('a handler that is no function, and options that are none, are TypeErrors', async () => {
    assert.throws(() => withRequestToken(undefined as never), {
      name: 'TypeError',
      message: /^handler must be a function/,
    })
    const request = new Request('http://localhost/')
    assert.throws(() => fromRequest(request, 'x' as never), { name: 'TypeError', message: /^options must be/ })
  })
})
