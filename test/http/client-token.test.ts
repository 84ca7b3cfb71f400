/** `httpToken` of the client, over real servers. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { describe, it } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { CancellationError, isCancellation, SimpleToken } from 'calloff'
import { type HoldEvent, HttpHubError, type HttpToken, httpToken, stop } from 'calloff/http/client'
import { random } from '../behaviour/threads/random.js'
import { makeWorld, pathOf, until, type Web, type World } from './client-world.js'

const isHubError = (code: string, status: number | undefined) => (error: unknown) =>
  error instanceof HttpHubError && error.code === code && error.status === status

/** Opens a token of a name that no other test uses, and waits until it is ready. */
async function opened(world: World, web: Web, name = world.name()): Promise<HttpToken> {
  const token = httpToken(web.url, name)
  await token.ready
  return token
}

/** What the hub lists of a name: the states of its holders. */
async function statesOf({ hub }: World, name: string): Promise<string[]> {
  return (await hub.list(name)).flatMap(({ holders }) => holders.map(({ state }) => state))
}

/** Whether a request to a server that is none of calloff is for a stream. Other requests are answered. */
function isStream(request: IncomingMessage, response: ServerResponse): boolean {
  const isIt = pathOf(request) === '/v1/hold'
  if (!isIt) response.writeHead(204).end()
  return isIt
}

const name = (token: HttpToken): string => token.name as string

describe('a token over HTTP', () => {
  it('is cancelled with the kind, the reason and the origin of the cancel', async () => {
    await using world = await makeWorld()
    const web = await world.serve()
    using token = await opened(world, web)
    assert.equal(token.cancelled, false)
    await world.hub.cancel(name(token), new RangeError('no disk'))
    const error = await token.wait()
    assert.ok(error instanceof CancellationError)
    assert.equal(token.kind, 'manual')
    assert.ok(token.reason instanceof RangeError)
    assert.equal(token.who?.pid, process.pid)
    assert.match(error.message, new RegExp(`^token ".*" was cancelled in process ${process.pid} on .+: no disk$`))
    assert.notEqual(token.cancelledBy, token)
    assert.equal(isCancellation(structuredClone(error)), true)
    await token.delivered
  })

  it('is a token like any other: a parent, combined, raced, and with listeners', async () => {
    await using world = await makeWorld()
    const web = await world.serve()
    using token = await opened(world, web)
    const child = new SimpleToken(token)
    const combined = new SimpleToken().plus(token)
    const raced = token.race(new Promise(() => {}))
    let heard = 0
    token.onCancel(() => heard++)
    child.onCancel(() => heard++)
    await world.hub.cancel(name(token), 'stop')
    await assert.rejects(raced, token.error)
    assert.deepEqual([heard, child.reason, combined.reason, token.signal.aborted], [2, 'stop', 'stop', true])
    assert.equal(String(token), `httpToken('${name(token)}')`)
  })

  it('is cancelled once it is ready if the name was cancelled before', async () => {
    await using world = await makeWorld()
    const web = await world.serve()
    const late = world.name()
    await stop(web.url, late, { reason: 'stop' })
    using token = await opened(world, web, late)
    assert.deepEqual([token.cancelled, token.reason], [true, 'stop'])
  })

  it('cancels at once here, and then everywhere', async () => {
    await using world = await makeWorld()
    const web = await world.serve()
    using token = await opened(world, web)
    const other = world.hub.open(name(token))
    await other.ready
    assert.equal(token.cancel('enough'), token)
    assert.deepEqual([token.cancelled, token.reason, token.who, token.cancelledBy], [true, 'enough', undefined, token])
    assert.match(token.error?.stack ?? '', /^[^\n]*\n[^\n]*client-token\.test/)
    await token.delivered
    await until(() => other.cancelled, 'the other holder is cancelled')
    assert.equal(other.reason, 'enough')
    token.cancel('again')
    assert.equal(token.reason, 'enough')
    other.close()
  })

  it('is a holder: it has acknowledged when its listeners have run, and finished when its tasks have settled', async () => {
    await using world = await makeWorld()
    const web = await world.serve()
    using token = await opened(world, web)
    assert.deepEqual(await statesOf(world, name(token)), ['open'])
    let settle!: () => void
    const task = new Promise<void>((resolve) => (settle = resolve))
    assert.equal(token.finished(task), task)
    await assert.rejects(token.finished(Promise.reject(new Error('failed'))), /failed/)
    const { acknowledged, finished } = await stop(web.url, name(token), { timeout: 60_000, until: 'acknowledged' })
    assert.deepEqual([acknowledged, finished, token.cancelled], [1, 0, true])
    settle()
    const receipt = await stop(web.url, name(token), { timeout: 60_000 })
    assert.equal(receipt.waiting.length, 0)
    assert.throws(() => token.finished(5 as never), TypeError)
  })

  it('has finished when it is closed, which cancels it here only', async () => {
    await using world = await makeWorld()
    const web = await world.serve()
    const token = await opened(world, web)
    token.close()
    token.close()
    assert.equal(token.kind, 'dispose')
    await assert.rejects(token.delivered, isHubError('closed', undefined))
    await until(async () => (await world.hub.list(name(token))).length === 0, 'the name has no holder')
  })

  it('leaves no holder behind if it is closed before it is ready', async () => {
    await using world = await makeWorld()
    let letIn!: () => void
    const gate = new Promise<boolean>((resolve) => (letIn = () => resolve(true)))
    const web = await world.serve({ authorize: () => gate })
    const token = httpToken(web.url, world.name())
    await until(() => web.asked.length > 0, 'the hold is requested')
    token.close()
    await assert.rejects(token.ready, isHubError('closed', undefined))
    letIn()
    await until(() => web.asked.includes('POST /v1/holds/finish'), 'the hold is finished')
    await until(async () => (await world.hub.list(name(token))).length === 0, 'the name has no holder')
  })

  it('has finished when it is garbage, and is kept while it has a listener', async () => {
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    await using world = await makeWorld()
    const web = await world.serve()
    const [dropped, heard] = [world.name(), world.name()]
    let calls = 0
    const open = async () => {
      const tokens = [await opened(world, web, dropped), await opened(world, web, heard)] as const
      tokens[1].onCancel(() => calls++)
    }
    await open()
    await until(async () => {
      collect()
      return (await world.hub.list(dropped)).length === 0
    }, 'the dropped token has finished')
    collect()
    assert.deepEqual(await statesOf(world, heard), ['open'])
    await world.hub.cancel(heard)
    await until(() => calls === 1, 'the listener is called')
  })

  for (const [answer, code, status] of [
    [401, 'unauthenticated', 401],
    [403, 'forbidden', 403],
  ] as const) {
    it(`rejects ready and is closed if the server answers ${answer}`, async () => {
      await using world = await makeWorld()
      const web = await world.serve({ authorize: () => answer })
      const events: HoldEvent[] = []
      const token = httpToken(web.url, world.name(), { onEvent: (event) => events.push(event) })
      await assert.rejects(token.ready, isHubError(code, status))
      assert.deepEqual([token.kind, events.map(({ type }) => type)], ['dispose', ['refused']])
      assert.equal(web.asked.length, 1)
    })
  }

  it('rejects ready if the server refuses the name or the ttl, or is none of calloff', async () => {
    await using world = await makeWorld()
    const web = await world.serve()
    await assert.rejects(httpToken(web.url, '').ready, isHubError('bad-request', 400))
    await assert.rejects(httpToken(web.url, 'x', { ttl: 5 }).ready, isHubError('bad-request', 400))
    const page = await world.listen((_, response) => response.end('<!doctype html>'))
    await assert.rejects(httpToken(page, 'x').ready, isHubError('bad-answer', 200))
    assert.throws(() => httpToken('nowhere', 'x'), TypeError)
    assert.throws(() => httpToken(web.url, 'x', { onEvent: 5 as never }), /onEvent must be a function, got 5/)
    assert.throws(() => httpToken(web.url, 'x', { onevent: () => {} } as never), /did you mean "onEvent"/)
  })

  it('rejects delivered if it may hold the name and may not cancel it, and is cancelled here', async () => {
    await using world = await makeWorld()
    const web = await world.serve({ authorize: (_, { action }) => action === 'hold' })
    const events: string[] = []
    using token = httpToken(web.url, world.name(), { onEvent: ({ type }) => events.push(type) })
    await token.ready
    token.cancel()
    await assert.rejects(token.delivered, isHubError('forbidden', 403))
    assert.deepEqual([token.cancelled, events], [true, ['connected', 'refused']])
    assert.equal((await world.hub.list(name(token)))[0]?.state, 'live')
  })

  it('comes back when it may again, if the server refuses it after it was ready', async () => {
    await using world = await makeWorld()
    let isAllowed = true
    const web = await world.serve({ authorize: () => isAllowed || 401 })
    const proxy = await world.proxy(web.port)
    const events: HoldEvent[] = []
    const onEvent = (event: HoldEvent) => events.push(event)
    using token = httpToken(`http://127.0.0.1:${proxy.port}`, world.name(), { onEvent })
    await token.ready
    isAllowed = false
    proxy.cut()
    const isRefused = (event: HoldEvent) =>
      event.type === 'disconnected' && isHubError('unauthenticated', 401)(event.error)
    await until(() => events.some(isRefused), 'the refusal is reported')
    assert.equal(token.cancelled, false)
    isAllowed = true
    await world.hub.cancel(name(token), 'stop')
    await token.wait()
    assert.equal(token.reason, 'stop')
  })

  it('waits for as long as Retry-After says', async () => {
    await using world = await makeWorld()
    const web = await world.serve({ limits: { streamsOfClient: 1 } })
    using first = await opened(world, web)
    const events: HoldEvent[] = []
    using second = httpToken(web.url, world.name(), { onEvent: (event) => events.push(event) })
    await until(() => events.length > 0, 'the refusal is reported')
    const [event] = events as [HoldEvent & { type: 'disconnected' }]
    assert.ok(isHubError('too-many', 429)(event.error) && event.retryIn >= 5_000)
    assert.deepEqual([first.cancelled, second.cancelled], [false, false])
  })

  it('goes on when its stream is cut at any moment, as the same holder', async (t) => {
    await using world = await makeWorld()
    const web = await world.serve()
    const proxy = await world.proxy(web.port)
    const tokens = Array.from({ length: 10 }, () => httpToken(`http://127.0.0.1:${proxy.port}`, world.name()))
    await Promise.all(tokens.map(({ ready }) => ready))
    const heard = tokens.map((token) => token.wait())
    const seed = Date.now() >>> 0
    t.diagnostic(`seed ${seed}`)
    const chance = random(seed)
    for (const token of tokens) {
      // At any moment: while streams are open, while they come back, and while answers are under way.
      if (chance() < 0.7) proxy.cut()
      const cancelled = world.hub.cancel(name(token), name(token))
      if (chance() < 0.5) proxy.cut()
      const { holders } = await cancelled
      assert.equal(holders, 1, 'a stream that is broken is a holder still')
    }
    await Promise.all(heard)
    for (const token of tokens) {
      assert.equal(token.reason, name(token))
      token.close()
    }
    await until(async () => (await statesOf(world, '')).length === 0, 'no holder is left')
  })

  it('is one holder after it has come back, not two', async () => {
    await using world = await makeWorld()
    const web = await world.serve()
    const proxy = await world.proxy(web.port)
    let connected = 0
    const onEvent = ({ type }: HoldEvent) => (connected += type === 'connected' ? 1 : 0)
    using token = httpToken(`http://127.0.0.1:${proxy.port}`, world.name(), { onEvent })
    await token.ready
    proxy.cut()
    await until(() => connected === 2, 'the stream is open again')
    assert.deepEqual(await statesOf(world, name(token)), ['open'])
  })

  it('hears of a cancel that was made while its server was restarted', async () => {
    await using world = await makeWorld()
    const web = await world.serve()
    using token = await opened(world, web)
    using other = await opened(world, web)
    await web.end()
    await world.hub.cancel(name(token), 'meanwhile')
    const next = await world.serve({}, undefined, web.port)
    await token.wait()
    assert.equal(token.reason, 'meanwhile')
    const receipt = await stop(next.url, name(token), { timeout: 60_000, until: 'acknowledged' })
    assert.deepEqual([receipt.holders, receipt.acknowledged], [1, 1])
    await until(async () => (await statesOf(world, name(other))).join() === 'open', 'the other token is a holder again')
    assert.equal(other.cancelled, false)
  })

  it('offers its cancel until the server is back', async () => {
    await using world = await makeWorld()
    const web = await world.serve()
    using token = await opened(world, web)
    await web.end()
    token.cancel('while nothing answered')
    assert.equal(token.cancelled, true)
    await world.serve({}, undefined, web.port)
    await token.delivered
    assert.equal((await world.hub.list(name(token)))[0]?.mark?.reason, 'while nothing answered')
  })

  it('finishes although a proxy sends every other request to another server', async () => {
    await using world = await makeWorld()
    const [one, two] = [await world.serve(), await world.serve()]
    let turn = 0
    const url = await world.listen((request, response) => {
      const { url: target } = ++turn % 2 ? one : two
      const { method = 'GET', headers } = request
      const init = { method, headers: headers as Record<string, string>, ...(method === 'POST' && { body: '{}' }) }
      const pass = async () => {
        const answer = await fetch(target + request.url, init)
        response.writeHead(answer.status, Object.fromEntries(answer.headers))
        for await (const chunk of answer.body ?? []) response.write(chunk)
        response.end()
      }
      void pass()
    })
    using token = httpToken(url, world.name())
    await token.ready
    await world.hub.cancel(name(token))
    await token.wait()
    await until(async () => (await statesOf(world, name(token))).join() === 'acknowledged', 'the server is told')
    token.close()
    await until(async () => (await statesOf(world, name(token))).length === 0, 'the holder has finished')
  })

  const mark = {
    kind: 'manual',
    reason: 'why',
    text: 'why',
    who: { host: 'h', pid: 1, token: null },
    at: '2026-01-01T00:00:00Z',
  }
  const streams: Record<string, { readonly mark: unknown; readonly kind?: string; readonly reason?: unknown }> = {
    'a mark of a later version': { mark: { ...mark, kind: 'quantum', more: 1 }, reason: 'why' },
    'a mark with a form that is unknown': { mark: { ...mark, reason: { $: ['quantum', 1] } } },
    'a mark without a canceller': { mark: { kind: 'timeout' } },
    'a mark that is none': { mark: 5 },
    'a mark with fields of other types': {
      mark: { kind: [], reason: { $: 5 }, who: { host: [], pid: {}, token: {} }, at: {} },
    },
    'a mark without a reason': { mark: { ...mark, reason: undefined, kind: 'lease' }, kind: 'lease' },
  }
  for (const [what, { mark: sent, kind = 'manual', reason }] of Object.entries(streams)) {
    it(`is cancelled by ${what}`, async () => {
      await using world = await makeWorld()
      const text = `event: cancelled\ndata: ${JSON.stringify(sent)}\n\n`
      const url = await world.listen((request, response) => {
        if (!isStream(request, response)) return
        response.writeHead(200, { 'content-type': 'text/event-stream' })
        response.write(`event: open\ndata: {"hold":"h"}\n\n${text}event: ready\ndata: {}\n\n`)
      })
      using token = httpToken(url, 'x')
      await token.ready
      assert.deepEqual([token.cancelled, token.kind, token.reason], [true, kind, reason])
      assert.match(token.error?.message ?? '', /^token.* was cancelled/)
    })
  }

  it('reads events however they are written and cut into pieces, and skips those it does not know', async () => {
    await using world = await makeWorld()
    const events = [
      '\uFEFF: a comment\r\n\r\n',
      'retry: 5\rid: 7\revent: open\rdata: {"hold":\rdata: "h"}\r\r',
      'event: quantum\ndata: {}\n\n',
      'data: {"kind":"manual"}\n\n',
      'event: cancelled\n\n',
      'event:ready\r\ndata:{}\r\n\r\n',
      `event: cancelled\ndata: ${JSON.stringify({ ...mark, reason: 'é😀' })}\nnot a field\n\n`,
    ]
    const bytes = Buffer.from(events.join(''))
    const url = await world.listen((request, response) => {
      if (!isStream(request, response)) return
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      const next = (at: number) => {
        if (at < bytes.length) response.write(bytes.subarray(at, at + 1), () => setImmediate(next, at + 1))
      }
      next(0)
    })
    using token = httpToken(url, 'x')
    await token.ready
    assert.equal(token.cancelled, false)
    await token.wait()
    assert.equal(token.reason, 'é😀')
  })

  it('gives up a stream whose event has no end, and opens it again', async () => {
    await using world = await makeWorld()
    let streams = 0
    const url = await world.listen((request, response) => {
      if (!isStream(request, response)) return
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      const flood = () => void (response.destroyed || response.write('data: '.padEnd(65_536, 'x'), flood))
      if (++streams === 1) flood()
      else response.write('event: open\ndata: {"hold":"h"}\n\nevent: ready\ndata: {}\n\n')
    })
    using token = httpToken(url, 'x')
    await token.ready
    assert.equal(streams, 2)
  })

  for (const hold of ['"a\\nb"', '"é😀"', '"\\ud800"', '""', '5', '{}', 'null'])
    it(`is refused by a server that gives its hold the id ${hold}`, async () => {
      await using world = await makeWorld()
      const url = await world.listen((request, response) => {
        if (!isStream(request, response)) return
        response.writeHead(200, { 'content-type': 'text/event-stream' })
        response.write(`event: open\ndata: {"hold":${hold}}\n\nevent: ready\ndata: {}\n\n`)
      })
      await assert.rejects(httpToken(url, 'x').ready, isHubError('bad-answer', 200))
    })

  for (const wait of ['Infinity', '1e300', '99999999', 'Fri, 31 Dec 9999 23:59:59 GMT'])
    it(`is not deaf for ever if Retry-After is ${wait}`, async () => {
      await using world = await makeWorld()
      const url = await world.listen((_, response) => response.writeHead(503, { 'retry-after': wait }).end())
      const waits: number[] = []
      using token = httpToken(url, 'x', {
        onEvent: (event) => event.type === 'disconnected' && waits.push(event.retryIn),
      })
      await until(() => waits.length > 0, 'the refusal is reported')
      assert.deepEqual([waits, token.cancelled], [[300_000], false])
    })

  it('ends a stream of a fetch that does not look at the signal', async () => {
    let isEnded = false
    const body = new ReadableStream<Uint8Array>({
      start: (stream) => stream.enqueue(new TextEncoder().encode('event: open\ndata: {"hold":"h"}\n\n')),
      cancel: () => void (isEnded = true),
    })
    const headers = { 'content-type': 'text/event-stream' }
    const token = httpToken('http://a.example', 'x', {
      fetch: async (_, { method }) => new Response(method === 'POST' ? null : body, { headers }),
    })
    await until(() => body.locked, 'the stream is read')
    token.close()
    await until(() => isEnded, 'the stream is ended')
  })

  it('has finished when a thenable has called back twice, or has thrown', async () => {
    await using world = await makeWorld()
    const web = await world.serve()
    const twice = {
      // oxlint-disable-next-line unicorn/no-thenable -- that is the test
      then: (resolve: () => void) => (resolve(), resolve()),
    }
    const thrower = {
      // oxlint-disable-next-line unicorn/no-thenable -- that is the test
      then() {
        throw new Error('no')
      },
    }
    for (const task of [twice, thrower] as never[]) {
      using token = await opened(world, web)
      token.finished(task)
      const { finished } = await stop(web.url, name(token), { timeout: 60_000 })
      assert.equal(finished, 1)
    }
  })

  it('lets the process end once it is closed, has finished, or was refused', async () => {
    await using world = await makeWorld()
    const web = await world.serve({ authorize: (_, asked) => asked.name !== 'refused' })
    const program = `
      import { httpToken } from 'calloff/http/client'
      const [one, two] = ['one', 'two'].map((name) => httpToken(${JSON.stringify(web.url)}, name))
      await Promise.all([one.ready, two.ready])
      one.close()
      two.finished(Promise.resolve())
      two.cancel()
      await httpToken(${JSON.stringify(web.url)}, 'refused').ready.catch(() => {})
    `
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: 'inherit' })
    const [code] = (await once(child, 'exit')) as [number]
    assert.equal(code, 0)
    assert.deepEqual(await statesOf(world, ''), [])
  })
})
