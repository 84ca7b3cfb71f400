/** Clients that leave at every stage, over HTTP/1.1 and HTTP/2. Nothing stays open, and no rejection is left unhandled. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connect2, constants, createServer as createServer2 } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { describe, it } from 'node:test'
import { hubHandler, toNodeListener } from 'calloff/http'
import { begun, eventually, get, GOOD, type Raw, socketTo, start, textOf, type World } from './world.js'

const connectionsOf = ({ server }: World) =>
  new Promise<number>((resolve) => server.getConnections((_, count) => resolve(count)))

/** Whether so many streams may be opened. */
async function hasFree(world: World, count: number): Promise<boolean> {
  const taken: Response[] = []
  const request = () => new Request(`${world.url}/v1/events`, { headers: { authorization: GOOD } })
  for (let at = 0; at < count; at++) taken.push(await world.handler(request()))
  await Promise.all(taken.map(async ({ body }) => body?.cancel()))
  return taken.every(({ status }) => status === 200)
}

const cancel: Raw = {
  method: 'POST',
  target: '/v1/cancel?name=held',
  headers: ['Content-Type: application/json'],
  body: '{"reason":"stop","timeout":60000}',
}
const asked: Record<string, Raw> = {
  list: { target: '/v1/names' },
  'a wait for holders': { target: '/v1/name?name=held&until=finished&timeout=60000' },
  watch: { target: '/v1/events' },
  'a cancel with a wait': cancel,
  forget: { method: 'POST', target: '/v1/forget?name=other' },
  'a refusal': { target: '/v1/names', headers: ['Authorization: none'] },
}

describe('clients that leave', () => {
  for (const [what, raw] of Object.entries(asked)) {
    it(`${what}: after any number of bytes, and after the answer`, async () => {
      await using world = await start({ limits: { streams: 3 }, heartbeat: 10 })
      using held = world.hub.open('held')
      await held.ready
      const bytes = textOf(world.port, { ...raw, headers: [...(raw.headers ?? []), 'Connection: keep-alive'] })
      const head = Buffer.from(bytes).indexOf('\r\n\r\n') + 4
      for (const size of [0, 1, 20, head - 2, head, head + 1, bytes.length - 1, bytes.length]) {
        for (const how of ['end', 'destroy', 'resetAndDestroy'] as const) {
          const socket = await socketTo(world.port)
          socket.write(bytes.subarray(0, size))
          socket[how]()
          socket.destroySoon()
        }
      }
      const isWaiting = what.includes('wait')
      for (const how of ['end', 'destroy', 'resetAndDestroy'] as const) {
        const socket = await socketTo(world.port)
        const answer = isWaiting ? undefined : begun(socket)
        socket.write(bytes)
        await answer
        socket[how]()
        socket.destroySoon()
      }
      await eventually(async () => (await connectionsOf(world)) === 0)
      held.close()
      await eventually(() => hasFree(world, 3))
      assert.equal((await get(world, '/v1/names')).status, 200)
      assert.deepEqual(world.errors, [])
    })
  }

  it('a listener whose handler, or whose head, fails ends the connection, and rejects nothing', async () => {
    await using world = await start()
    const answers: Record<string, () => unknown> = {
      nothing: () => undefined,
      'no response': () => 'text',
      'a rejection': () => Promise.reject(new Error('x')),
      'a body that was read': async () => {
        const response = new Response('x')
        await response.text()
        return response
      },
      'a body that fails': () =>
        new Response(
          new ReadableStream({
            pull() {
              throw new Error('x')
            },
          }),
        ),
    }
    for (const [what, answer] of Object.entries(answers)) {
      const listener = toNodeListener(answer as () => Response)
      world.server.removeAllListeners('request')
      const settled: Promise<void>[] = []
      world.server.on('request', (request, response) => settled.push(listener(request, response)))
      const outcome = await fetch(world.url)
        .then(
          async (response) => {
            await response.text()
            return response.status
          },
          () => 'cut off',
        )
        .catch(() => 'cut off')
      assert.ok(outcome === 'cut off' || outcome === 500, `${what}: ${outcome}`)
      await Promise.all(settled)
    }
    world.server.removeAllListeners('request')
    world.server.on('request', (request, response) => {
      response.writeHead(200)
      void toNodeListener(() => new Response('x'))(request, response)
    })
    await assert.rejects(async () => (await fetch(world.url)).text())
  })
})

describe('HTTP/2', () => {
  it('a request is the same, and a client may leave in any way', async () => {
    await using world = await start()
    const { hub } = world
    const errors: unknown[] = []
    const handler = hubHandler(hub, {
      authorize: ({ headers }) => (headers.get('authorization') === GOOD ? true : 401),
      onError: (error) => void errors.push(error),
      limits: { streams: 3 },
      heartbeat: 10,
    })
    const listener = toNodeListener(handler)
    const server = createServer2((request, response) => void listener(request, response))
    await once(server.listen(0, '127.0.0.1'), 'listening')
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const open = () => {
      const client = connect2(url)
      client.on('error', () => {})
      return client
    }
    const client = open()
    const ask = async (headers: Record<string, string>, body?: string) => {
      const stream = client.request({ authorization: GOOD, ...headers })
      stream.on('error', () => {})
      if (body !== undefined) stream.end(body)
      const [answer] = (await once(stream, 'response')) as [Record<string, unknown>]
      let text = ''
      for await (const chunk of stream) text += String(chunk)
      return { status: answer[':status'], text, headers: answer }
    }
    try {
      assert.equal((await ask({ ':path': '/v1/names' })).status, 200)
      const json = { ':method': 'POST', 'content-type': 'application/json' }
      assert.equal((await ask({ ...json, ':path': '/v1/cancel?name=a%2Fb' }, '{"reason":"x"}')).status, 200)
      assert.equal((await ask({ ...json, ':path': '/v1/cancel?name=a' }, 'x'.repeat(100_000))).status, 413)
      assert.equal((await ask({ ':path': '/v1/names', origin: 'http://evil.example' })).status, 403)
      assert.equal((await ask({ ':path': '/v1/names', origin: url })).status, 200)
      assert.equal((await ask({ ':path': '//evil.example/v1/names' })).status, 404)
      for (const method of ['constructor', '__proto__', 'toString', 'PUT', 'get']) {
        const { status } = await ask({ ':path': '/v1/names', ':method': method })
        assert.ok(status === 405 || (method === 'get' && status === 400), `${method}: ${status}`)
      }
      for (const host of ['h/v1/names#', 'user@h', 'h?']) {
        // HTTP/2 itself refuses most of them.
        const { status } = await ask({ ':path': '/', ':authority': host }).catch(() => ({ status: 400 }))
        assert.equal(status, 400, host)
      }
      const leave = [constants.NGHTTP2_NO_ERROR, constants.NGHTTP2_INTERNAL_ERROR, constants.NGHTTP2_CANCEL]
      for (const code of leave) {
        for (const isAnswered of [false, true]) {
          const other = open()
          const streams = ['/v1/events', '/v1/events?name=a', '/v1/name?name=a&until=finished&timeout=60000'].map(
            (path) => other.request({ ':path': path, authorization: GOOD }),
          )
          for (const stream of streams) stream.on('error', () => {})
          if (isAnswered) await Promise.all(streams.slice(0, 2).map((stream) => once(stream, 'response')))
          for (const stream of streams) stream.close(code)
          other.destroy()
        }
      }
      const free = async () => {
        const request = () => new Request(`${url}/v1/events`, { headers: { authorization: GOOD } })
        const responses = [await handler(request()), await handler(request()), await handler(request())]
        await Promise.all(responses.map(async ({ body }) => body?.cancel()))
        return responses.every(({ status }) => status === 200)
      }
      await eventually(free)
      assert.deepEqual(errors, [])
    } finally {
      handler.close()
      client.destroy()
      server.close()
    }
  })
})
