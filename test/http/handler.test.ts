/** The hub over HTTP, as docs/reference/http.md and the OpenAPI file describe it. */
import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { hubHandler, type HubHandlerOptions } from 'calloff/http'
import { connectHub, TokenServer, type TokenHub } from 'calloff/remote'
import { answerOf, authorization, eventsOf, openapi, Opened, seen, serve, type StreamEvent, TOKEN } from './api.js'

const onlyWithToken: HubHandlerOptions['authorize'] = (request) =>
  request.headers.get('authorization') === `Bearer ${TOKEN}` ? true : 401

/** A hub, a handler and a server, and a client that checks what it gets. */
class World implements AsyncDisposable {
  readonly hub: TokenHub
  readonly url: string
  readonly #stack: Opened
  readonly #left = new AbortController()

  private constructor(hub: TokenHub, url: string, stack: Opened) {
    this.hub = hub
    this.url = url
    this.#stack = stack
  }

  static async make(options: Partial<HubHandlerOptions> = {}): Promise<World> {
    const stack = new Opened()
    const server = stack.use(await TokenServer.listen({ port: 0 }))
    const hub = stack.use(await connectHub(server.url))
    const handler = hubHandler(hub, { authorize: onlyWithToken, pace: 10, ...options })
    stack.defer(() => handler.close())
    const { url } = stack.use(await serve(handler))
    return new World(hub, url, stack)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#left.abort()
    await this.#stack[Symbol.asyncDispose]()
  }

  fetch(path: string, query: Record<string, string> = {}, init: RequestInit = {}): Promise<Response> {
    const url = `${this.url}${path}?${new URLSearchParams(query).toString()}`
    return fetch(url, {
      signal: this.#left.signal,
      ...init,
      headers: { ...authorization, ...(init.headers as Record<string, string>) },
    })
  }

  async get(path: string, query: Record<string, string> = {}, init: RequestInit = {}): Promise<[number, Json]> {
    const response = await this.fetch(path, query, init)
    return [response.status, (await answerOf('GET', path, response)) as Json]
  }

  async post(
    path: string,
    query: Record<string, string>,
    body?: unknown,
    init: RequestInit = {},
  ): Promise<[number, Json]> {
    const sent =
      body === undefined
        ? {}
        : {
            body: typeof body === 'string' ? body : JSON.stringify(body),
            headers: { 'content-type': 'application/json' },
          }
    const response = await this.fetch(path, query, { method: 'POST', ...sent, ...init })
    return [response.status, (await answerOf('POST', path, response)) as Json]
  }

  async stream(path: string, query: Record<string, string>, init: RequestInit = {}): Promise<Stream> {
    const left = new AbortController()
    const response = await this.fetch(path, query, {
      signal: AbortSignal.any([left.signal, this.#left.signal]),
      ...init,
    })
    assert.equal(response.status, 200)
    await answerOf('GET', path, response)
    return new Stream(response, left)
  }
}

// oxlint-disable-next-line typescript/no-explicit-any -- each value was checked against its schema
type Json = any

class Stream {
  readonly events: AsyncGenerator<StreamEvent, undefined>
  readonly #left: AbortController

  constructor(response: Response, left: AbortController) {
    this.events = eventsOf(response)
    this.#left = left
  }

  /** Reads up to the first event that fits, which it returns. */
  async until(event: string, fits: (data: Json) => boolean = () => true): Promise<StreamEvent> {
    for (;;) {
      const { value } = await this.events.next()
      assert.ok(value, `the stream ended before ${event}`)
      if (value.event === event && fits(value.data)) return value
    }
  }

  /** Reads up to an event, and returns all of them. */
  async upTo(event: string): Promise<readonly StreamEvent[]> {
    const all: StreamEvent[] = []
    for (;;) {
      const { value } = await this.events.next()
      assert.ok(value, `the stream ended before ${event}`)
      all.push(value)
      if (value.event === event) return all
    }
  }

  leave(): void {
    this.#left.abort()
  }
}

const namesOf = ({ names }: Json): readonly string[] => names.map(({ name }: Json) => name)

describe('names over HTTP', () => {
  it('are listed in pages, sorted, by prefix', async () => {
    await using world = await World.make()
    const tokens = ['b-2', 'a-1', 'b-1', 'b-3'].map((name) => world.hub.open(name))
    const run = world.hub.open('b-1', { runId: '7' })
    await Promise.all([...tokens, run].map((token) => token.ready))
    const [status, all] = await world.get('/v1/names')
    assert.deepEqual([status, namesOf(all), all.next], [200, ['a-1', 'b-1', 'b-1', 'b-2', 'b-3'], null])
    assert.deepEqual(
      all.names.map(({ runId }: Json) => runId),
      ['', '', '7', '', ''],
    )
    const paged: string[] = []
    let next: string | undefined
    for (let pages = 0; pages < 3; pages++) {
      const [, page] = await world.get('/v1/names', { prefix: 'b-', limit: '2', ...(next && { after: next }) })
      paged.push(...namesOf(page))
      next = page.next
      if (!next) break
    }
    assert.deepEqual(paged, ['b-1', 'b-1', 'b-2', 'b-3'])
    for (const token of [...tokens, run]) token.close()
  })

  it('are live without holders if they were never used', async () => {
    await using world = await World.make()
    const [status, state] = await world.get('/v1/name', { name: '../%2F é ' })
    assert.equal(status, 200)
    assert.deepEqual(state, { name: '../%2F é ', runId: '', state: 'live', mark: null, holders: [], lease: null })
  })

  it('have a lease and its holder', async () => {
    await using world = await World.make()
    using lease = await world.hub.lease('leader', { ttl: 60_000 })
    const [, state] = await world.get('/v1/name', { name: 'leader' })
    assert.deepEqual(state.lease, { fence: lease.fence, held: true })
    assert.deepEqual(
      state.holders.map(({ role, state: how }: Json) => [role, how]),
      [['lease', 'open']],
    )
  })
})

describe('a cancel over HTTP', () => {
  it('reaches the holders, and has a receipt; the state follows until all have finished', async () => {
    await using world = await World.make()
    const token = world.hub.open('job')
    let finish!: () => void
    void token.finished(new Promise<void>((resolve) => (finish = resolve)))
    await token.ready
    const [status, receipt] = await world.post('/v1/cancel', { name: 'job' }, { reason: 'wrong branch' })
    assert.equal(status, 202)
    assert.deepEqual(
      [token.cancelled, token.reason, receipt.delivered, receipt.holders, receipt.finished],
      [true, 'wrong branch', true, 1, 0],
    )
    assert.deepEqual(
      [receipt.mark.kind, receipt.mark.reason, receipt.mark.text],
      ['manual', 'wrong branch', 'wrong branch'],
    )
    assert.equal(receipt.mark.who.pid, process.pid)
    const finished = world.get('/v1/name', { name: 'job', until: 'finished', timeout: '60000' })
    finish()
    const [, state] = await finished
    assert.ok(state.holders.every((one: Json) => one.state === 'finished'))
    assert.equal((await world.post('/v1/cancel', { name: 'job' }))[0], 200, 'all have finished')
    token.close()
  })

  it('waits for the holders as long as it is told', async () => {
    await using world = await World.make()
    const token = world.hub.open('job')
    await token.ready
    token.onCancel(() => token.close())
    const [status, receipt] = await world.post('/v1/cancel', { name: 'job' }, { timeout: 60_000 })
    assert.deepEqual([status, receipt.holders, receipt.finished], [200, 1, 1])
  })

  it('leads to the state of the name, whatever the name is', async () => {
    await using world = await World.make({ basePath: '/admin/calloff' })
    const name = '/../ä?&name=other#\r\nx: y "<b>'
    const token = world.hub.open(name, { runId: '%' })
    await token.ready
    const path = '/v1/cancel'
    const response = await fetch(
      `${world.url}/admin/calloff${path}?${new URLSearchParams({ name, runId: '%' }).toString()}`,
      {
        method: 'POST',
        headers: authorization,
      },
    )
    await answerOf('POST', path, response.clone())
    const followed = await fetch(new URL(response.headers.get('location') as string, response.url), {
      headers: authorization,
    })
    const state: Json = await followed.json()
    assert.deepEqual([state.name, state.runId, state.state], [name, '%', 'cancelled'])
    token.close()
  })

  it('carries any reason that JSON or core/reasons.ts can express', async () => {
    await using world = await World.make()
    const reasons = [
      0,
      false,
      null,
      'text',
      { a: [1, { b: null }] },
      ['x'],
      { $: ['date', '1000'] },
      { $: ['unknown', 1] },
      { $: 'odd' },
    ]
    for (const [at, reason] of reasons.entries()) {
      const [, receipt] = await world.post('/v1/cancel', { name: `job-${at}` }, { reason })
      if (JSON.stringify(reason).includes('unknown') || JSON.stringify(reason).includes('odd')) continue
      assert.deepEqual(receipt.mark.reason, reason)
    }
    await world.post(
      '/v1/cancel',
      { name: 'error' },
      { reason: { $: ['error', { name: 'RangeError', message: 'no disk' }] } },
    )
    const late = world.hub.open('error')
    await late.ready
    assert.ok(late.reason instanceof RangeError)
    assert.equal(late.reason.message, 'no disk')
  })

  it('is forgotten', async () => {
    await using world = await World.make()
    await world.post('/v1/cancel', { name: 'job' })
    assert.deepEqual(await world.post('/v1/forget', { name: 'job' }), [204, undefined])
    const token = world.hub.open('job')
    await token.ready
    assert.equal(token.cancelled, false)
    token.close()
  })
})

describe('the events of names', () => {
  it('begin with all names, and go on with the changes', async () => {
    await using world = await World.make()
    await world.hub.cancel('old', 'done')
    const token = world.hub.open('job')
    await token.ready
    const stream = await world.stream('/v1/events', {})
    const beginning = await stream.upTo('ready')
    assert.deepEqual(
      beginning.map(({ event, data, id }) => [event, data['name'] ?? data['state'], id === undefined]),
      [
        ['reset', undefined, false],
        ['opened', 'job', true],
        ['cancelled', 'old', true],
        ['hub', 'connected', true],
        ['ready', undefined, false],
      ],
    )
    const later = world.hub.open('later')
    await stream.until('opened', ({ name }) => name === 'later')
    token.cancel('stop')
    const cancelled = await stream.until('cancelled')
    assert.deepEqual([cancelled.data['name'], (cancelled.data['mark'] as Json).reason], ['job', 'stop'])
    later.close()
    assert.deepEqual((await stream.until('gone')).data, { name: 'later', runId: '' })
    await world.hub.forget('old')
    assert.deepEqual((await stream.until('gone')).data, { name: 'old', runId: '' })
    token.close()
  })

  it('are those of a prefix, or of one name and run', async () => {
    await using world = await World.make()
    const tokens = [
      world.hub.open('a'),
      world.hub.open('ab'),
      world.hub.open('ab', { runId: '1' }),
      world.hub.open('b'),
    ]
    await Promise.all(tokens.map((token) => token.ready))
    const opened = async (query: Record<string, string>) => {
      const events = await (await world.stream('/v1/events', query)).upTo('ready')
      return events.filter(({ event }) => event === 'opened').map(({ data }) => `${data['name']}/${data['runId']}`)
    }
    assert.deepEqual(await opened({ prefix: 'a' }), ['a/', 'ab/', 'ab/1'])
    assert.deepEqual(await opened({ name: 'a' }), ['a/'])
    assert.deepEqual(await opened({ name: 'ab', runId: '1' }), ['ab/1'])
    for (const token of tokens) token.close()
  })

  it('go on after the last one that the client has, by the header or the query', async () => {
    await using world = await World.make()
    const first = await world.stream('/v1/events', { prefix: 'job' })
    const { id } = await first.until('ready')
    first.leave()
    const token = world.hub.open('job-1')
    await token.ready
    const second = await world.stream('/v1/events', { prefix: 'job' }, { headers: { 'last-event-id': id as string } })
    const { value: next } = await second.events.next()
    assert.deepEqual([next?.event, next?.data['name']], ['opened', 'job-1'])
    second.leave()
    const third = await world.stream('/v1/events', { prefix: 'job', after: next?.id as string })
    token.close()
    const { value: last } = await third.events.next()
    assert.equal(last?.event, 'gone', 'and not what the client had')
    const other = await world.stream(
      '/v1/events',
      { prefix: 'job' },
      { headers: { 'last-event-id': 'of-another-server-3' } },
    )
    assert.equal((await other.events.next()).value?.event, 'reset')
  })

  it('tell when the hub is lost and found', async () => {
    await using stack = new Opened()
    const first = await TokenServer.listen({ port: 0 })
    const { port } = new URL(first.url)
    const hub = stack.use(await connectHub(first.url, { backOff: { first: 1, most: 20 } }))
    const handler = hubHandler(hub, { authorize: () => true, pace: 10 })
    stack.defer(() => handler.close())
    const { url } = stack.use(await serve(handler))
    const stream = new Stream(await fetch(`${url}/v1/events`), new AbortController())
    await stream.until('ready')
    await first.close()
    assert.deepEqual((await stream.until('hub')).data, { state: 'disconnected' })
    stack.use(await TokenServer.listen({ port: Number(port) }))
    assert.deepEqual((await stream.until('hub')).data, { state: 'connected' })
    void hub.open('job').ready
    await stream.until('opened')
  })
})

describe('a hold', () => {
  it('is a holder, hears of the cancel, acknowledges and finishes', async () => {
    await using world = await World.make()
    const stream = await world.stream('/v1/hold', { name: 'job', ttl: '5000' })
    const open = await stream.until('open')
    const hold = open.data['hold'] as string
    assert.deepEqual([open.id, open.data['ttl']], [hold, 5_000])
    await stream.until('ready')
    assert.equal((await world.hub.list('job'))[0]?.holders.length, 1)
    const receipt = await world.hub.cancel('job', 'stop')
    assert.deepEqual([receipt.holders, receipt.acknowledged], [1, 0])
    const mark = await stream.until('cancelled')
    assert.deepEqual(
      [mark.data['kind'], mark.data['reason'], (mark.data['who'] as Json).pid],
      ['manual', 'stop', process.pid],
    )
    assert.equal(
      (await world.hub.list('job'))[0]?.holders[0]?.state,
      'open',
      'the client has not said that it has heard',
    )
    const acknowledged = world.hub.cancel('job', undefined, { until: 'acknowledged', timeout: 60_000 })
    assert.deepEqual(await world.post('/v1/holds/acknowledge', { hold }), [204, undefined])
    assert.deepEqual([(await acknowledged).acknowledged, (await acknowledged).finished], [1, 0])
    const finished = world.hub.cancel('job', undefined, { timeout: 60_000 })
    assert.deepEqual(await world.post('/v1/holds/finish', { hold }), [204, undefined])
    assert.equal((await finished).waiting.length, 0)
    assert.equal((await stream.events.next()).done, true, 'the stream has ended')
    assert.equal((await world.post('/v1/holds/finish', { hold }))[0], 404, 'it is over')
    assert.equal((await world.post('/v1/holds/acknowledge', { hold }))[0], 404)
  })

  it('of a name that was cancelled before hears of it before it is ready', async () => {
    await using world = await World.make()
    await world.hub.cancel('job', 'before')
    const events = await (await world.stream('/v1/hold', { name: 'job' })).upTo('ready')
    assert.deepEqual(
      events.map(({ event }) => event),
      ['open', 'cancelled', 'ready'],
    )
  })

  it('outlives a broken stream, and is told again of the cancel', async () => {
    await using world = await World.make()
    const first = await world.stream('/v1/hold', { name: 'job' })
    const { id } = await first.until('open')
    await first.until('ready')
    first.leave()
    await world.hub.cancel('job', 'in the gap')
    const second = await world.stream('/v1/hold', { name: 'job' }, { headers: { 'last-event-id': id as string } })
    assert.equal((await second.until('open')).id, id)
    assert.equal((await second.until('cancelled')).data['reason'], 'in the gap')
    assert.equal((await world.hub.list('job'))[0]?.holders.length, 1)
    const other = await world.stream('/v1/hold', { name: 'other', after: id as string })
    assert.notEqual((await other.until('open')).id, id, 'the hold of another name is not taken over')
  })

  it('lets go after its ttl', async () => {
    await using world = await World.make()
    const stream = await world.stream('/v1/hold', { name: 'job', ttl: '1000' })
    await stream.until('ready')
    stream.leave()
    while ((await world.hub.list('job')).length > 0) await new Promise((resolve) => setTimeout(resolve, 20))
  })
})

describe('a request that is refused', () => {
  it('says what is wrong with it', async () => {
    await using world = await World.make()
    const wrong: readonly (readonly [
      method: 'GET' | 'POST',
      path: string,
      query: Record<string, string>,
      detail: RegExp,
      body?: unknown,
    ])[] = [
      ['GET', '/v1/names', { prefx: 'a' }, /no parameter "prefx", did you mean "prefix"\?/],
      ['GET', '/v1/names', { limit: '0' }, /limit must be a whole number from 1 to 1000, got 0/],
      ['GET', '/v1/names', { limit: '1e2' }, /limit must be .* got "1e2"/],
      ['GET', '/v1/names', { after: '%' }, /after must be the "next" of an earlier page/],
      ['GET', '/v1/name', {}, /"name" is missing/],
      ['GET', '/v1/name', { name: '' }, /name must not be empty/],
      ['GET', '/v1/name', { name: 'x'.repeat(257) }, /name must have at most 256 bytes of UTF-8, got 257/],
      ['GET', '/v1/name', { name: 'a', until: 'then' }, /until must be "acknowledged" or "finished"/],
      ['GET', '/v1/name', { name: 'a', timeout: '60001' }, /timeout must be a whole number from 0 to 60000/],
      ['GET', '/v1/events', { name: 'a', prefix: 'a' }, /a name or a prefix, not both/],
      ['GET', '/v1/hold', { name: 'a', ttl: '999' }, /ttl must be a whole number from 1000 to 300000, got 999/],
      ['POST', '/v1/cancel', { name: 'a' }, /the body must be JSON/, '{'],
      ['POST', '/v1/cancel', { name: 'a' }, /the body must be a JSON object/, '[]'],
      ['POST', '/v1/cancel', { name: 'a' }, /unknown field "resaon"/, { resaon: 1 }],
      ['POST', '/v1/cancel', { name: 'a' }, /timeout must be a whole number/, { timeout: '5' }],
    ]
    for (const [method, path, query, detail, body] of wrong) {
      const [status, problem] = method === 'GET' ? await world.get(path, query) : await world.post(path, query, body)
      assert.equal(status, 400, JSON.stringify(problem))
      assert.match(problem.detail, detail)
    }
    const twice = await world.fetch('/v1/name?name=a&name=b&x=')
    assert.equal(twice.status, 400)
  })

  it('has the wrong path or method', async () => {
    await using world = await World.make({ basePath: '/api' })
    assert.equal((await world.fetch('/v1/names')).status, 404)
    assert.equal((await world.fetch('/api/v2/names')).status, 404)
    const put = await world.fetch('/api/v1/cancel', { name: 'a' }, { method: 'PUT' })
    assert.deepEqual([put.status, put.headers.get('allow')], [405, 'POST'])
  })

  it('is not authorized: 401 and 403, whatever authorize returns', async () => {
    for (const [answer, status] of [
      [401, 401],
      [403, 403],
      [false, 403],
      [undefined, 403],
      [1, 403],
      ['true', 403],
    ] as const) {
      await using world = await World.make({ authorize: () => answer as never })
      assert.equal((await world.get('/v1/names'))[0], status)
      assert.equal((await world.post('/v1/cancel', { name: 'a' }))[0], status)
      assert.equal((await world.hub.list()).length, 0)
    }
  })

  it('is answered with 500 if authorize throws, which is told to onError alone', async () => {
    const told: unknown[] = []
    const authorize = () => {
      throw new Error('the database of users is down')
    }
    await using world = await World.make({ authorize, onError: (error) => told.push(error) })
    const [status, problem] = await world.get('/v1/names')
    assert.deepEqual([status, problem], [500, { status: 500, code: 'internal', title: 'The server failed' }])
    assert.match(String(told[0]), /database of users/)
  })

  it('asks for more streams than a client may have', async () => {
    await using world = await World.make({ limits: { streamsOfClient: 2 } })
    const first = await world.stream('/v1/events', {})
    await world.stream('/v1/hold', { name: 'a' })
    const third = await world.fetch('/v1/events')
    await answerOf('GET', '/v1/events', third.clone())
    assert.deepEqual([third.status, third.headers.get('retry-after')], [429, '10'])
    assert.equal((await world.get('/v1/hold', { name: 'b' }))[0], 429)
    first.leave()
    while ((await world.fetch('/v1/events')).status === 429) await new Promise((resolve) => setTimeout(resolve, 20))
  })

  it('gets 503 when the hub is closed', async () => {
    await using world = await World.make()
    await world.hub.close()
    const [status, problem] = await world.get('/v1/names')
    assert.deepEqual([status, problem.code], [503, 'unavailable'])
    assert.equal((await world.post('/v1/cancel', { name: 'a' }))[0], 503)
    assert.equal((await world.get('/v1/hold', { name: 'a' }))[0], 503)
  })
})

describe('the OpenAPI file', () => {
  after(() => {
    const described = Object.values(openapi.paths).flatMap(
      (methods) => Object.values(methods) as { operationId: string }[],
    )
    for (const { operationId } of described) {
      assert.ok(
        [...seen].some((one) => one.startsWith(`${operationId} 2`)),
        `the tests have seen ${operationId} succeed`,
      )
    }
  })

  it('describes each path of the handler with its methods and parameters, and no other', async () => {
    await using world = await World.make()
    for (const [path, methods] of Object.entries(openapi.paths)) {
      const patch = await world.fetch(path, {}, { method: 'PATCH' })
      assert.deepEqual(
        [patch.status, patch.headers.get('allow')?.toLowerCase()],
        [405, Object.keys(methods).join(', ')],
        path,
      )
      for (const [method, operation] of Object.entries(methods)) {
        const known = operation?.parameters.map(({ name }) => JSON.stringify(name)).join(', ')
        const response = await world.fetch(path, { qqqqqqqqqq: '' }, { method })
        const { detail } = (await response.json()) as { detail: string }
        assert.equal(detail, `there is no parameter "qqqqqqqqqq", only ${known}`, path)
      }
    }
  })
})
