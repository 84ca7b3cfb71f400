/** Clients that ask for much, send slowly, do not read, or leave. The handler gives back what they took, and serves the others. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { describe, it } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { hubHandler } from 'calloff/http'
import { connectHub, type TokenHub, TokenServer } from 'calloff/remote'
import { manualClock } from 'calloff/testing'
import {
  answerFrom,
  begun,
  eventsOf,
  eventually,
  get,
  GOOD,
  post,
  socketTo,
  start,
  textOf,
  until,
  type World,
} from './world.js'

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as () => void

const JSON_TYPE = ['Content-Type: application/json']
const request = (url: string) => new Request(url, { headers: { authorization: GOOD } })

/** Whether the handler has as many free slots as that. Takes them all, and gives them back. */
async function hasFree(world: World, count: number): Promise<boolean> {
  const taken: Response[] = []
  for (let at = 0; at < count; at++) taken.push(await world.handler(request(`${world.url}/v1/events`)))
  await Promise.all(taken.map(async ({ body }) => body?.cancel()))
  return taken.every(({ status }) => status === 200)
}

/** A hub whose calls are counted, by the name of the method. */
function countedOf(hub: TokenHub): { readonly counted: TokenHub; readonly calls: Map<string, number> } {
  const calls = new Map<string, number>()
  const counted = new Proxy(hub, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target)
      if (typeof value !== 'function') return value
      return (...given: unknown[]): unknown => {
        calls.set(String(key), (calls.get(String(key)) ?? 0) + 1)
        return Reflect.apply(value, target, given)
      }
    },
  })
  return { counted, calls }
}

describe('streams', () => {
  const limits = { streams: 5 }
  const targets = [
    '/v1/events',
    '/v1/events?name=a',
    '/v1/events?prefix=b',
    '/v1/hold?name=c',
    '/v1/hold?name=d&ttl=1000',
  ]

  it('there are so many in all, and so many of one client', async () => {
    await using world = await start({ limits: { streams: 5, streamsOfClient: 3 }, authorize: () => true })
    const open = (client: string) =>
      world.handler(new Request(`${world.url}/v1/events`, { headers: { authorization: client } }))
    for (let at = 0; at < 3; at++) assert.equal((await open('one')).status, 200)
    const tooMany = await open('one')
    assert.equal(tooMany.status, 429)
    assert.match(tooMany.headers.get('retry-after') as string, /^\d+$/)
    for (let at = 0; at < 2; at++) assert.equal((await open('other')).status, 200)
    const full = await open('third')
    assert.equal(full.status, 503)
    assert.match(full.headers.get('retry-after') as string, /^\d+$/)
    // What is no stream goes on.
    assert.equal((await post(world, '/v1/cancel?name=x')).status, 200)
  })

  it('a slot is given back when the client leaves', async () => {
    await using world = await start({ limits })
    const left = new AbortController()
    for (const target of targets.slice(0, 3)) await get(world, target, { signal: left.signal })
    assert.equal(await hasFree(world, 3), false)
    left.abort()
    await eventually(() => hasFree(world, 5))
  })

  it('a slot of a client that leaves before the answer is given back', async () => {
    let asked = 0
    let answer!: (isAllowed: true) => void
    const gate = new Promise<true>((resolve) => (answer = resolve))
    await using world = await start({ limits, authorize: () => (asked++, gate) })
    const sockets: Socket[] = []
    for (const target of targets) {
      const socket = await socketTo(world.port)
      sockets.push(socket)
      socket.write(textOf(world.port, { target }))
    }
    await eventually(() => asked === targets.length)
    for (const socket of sockets) socket.destroy()
    answer(true)
    // Two of them are holds, which end with their ttl, or with the handler.
    await eventually(() => hasFree(world, 3))
    assert.equal(await hasFree(world, 4), false)
    world.handler.close()
    await eventually(() => hasFree(world, 5))
  })

  it('a slot of a client that leaves before the first list is given back', async () => {
    const nowhere = await TokenServer.listen({ port: 0 })
    await nowhere.close()
    await using hub = await connectHub(nowhere.url, { lazy: true })
    const handler = hubHandler(hub, { authorize: () => true, limits })
    for (let round = 0; round < 3; round++) {
      const streams = await Promise.all(targets.slice(0, 3).map((target) => handler(request(`http://host${target}`))))
      assert.deepEqual(
        streams.map(({ status }) => status),
        [200, 200, 200],
      )
      for (const { body } of streams) await body?.cancel()
    }
    handler.close()
  })

  it('handler.close() ends all streams and holds, and later ones are served as before', async () => {
    await using world = await start({ limits, heartbeat: 10 })
    const left = new AbortController()
    for (let round = 0; round < 3; round++) {
      const streams = await Promise.all(targets.map((target) => get(world, target, { signal: left.signal })))
      assert.deepEqual(
        streams.map(({ status }) => status),
        targets.map(() => 200),
      )
      world.handler.close()
      await Promise.all(streams.map((stream) => stream.text()))
      assert.equal(await hasFree(world, 5), true)
    }
    // The heart of a stream beats after a close, too.
    const response = await get(world, '/v1/events', { signal: left.signal })
    let text = ''
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      text += new TextDecoder().decode(chunk)
      if (text.endsWith('\n\n:\n\n')) break
    }
  })

  it('hub.close() ends all streams and holds, and is told to later requests', async () => {
    await using world = await start({ limits })
    const streams = await Promise.all(targets.map((target) => get(world, target)))
    await world.hub.close()
    await Promise.all(streams.map((stream) => stream.text()))
    for (let round = 0; round < 2 * limits.streams; round++) {
      for (const target of [...targets, '/v1/names', '/v1/name?name=a']) {
        const response = await get(world, target)
        assert.equal(response.status, 503, target)
        assert.equal(((await response.json()) as { detail: string }).detail, 'the hub is closed')
        assert.match(response.headers.get('retry-after') as string, /^\d+$/)
      }
    }
    for (const target of ['/v1/cancel?name=a', '/v1/forget?name=a'])
      assert.equal((await post(world, target)).status, 503)
    assert.deepEqual(world.errors, [])
  })

  it('a stream that has lasted long enough ends, and its slot is given back', async () => {
    await using world = await start({ heartbeat: 10, limits: { ...limits, stream: 1 } })
    for (let round = 0; round < 3; round++) {
      const streams = await Promise.all(targets.slice(0, 3).map((target) => get(world, target)))
      for (const stream of streams) await stream.text()
    }
    assert.deepEqual(world.errors, [])
  })

  it('a hold gives its slot back when its client has finished, and when it does not come back', async () => {
    using clock = manualClock()
    await using world = await start({ limits: { streams: 2 } })
    const [first, second] = [
      eventsOf(await get(world, '/v1/hold?name=a')),
      eventsOf(await get(world, '/v1/hold?name=b&ttl=1000')),
    ]
    const { hold } = (await until(first, 'open')).data as { hold: string }
    await until(second, 'open')
    assert.equal(await hasFree(world, 1), false)
    assert.equal((await post(world, `/v1/holds/finish?hold=${hold}`)).status, 204)
    assert.equal((await first.next()).done, false, 'it was ready')
    assert.equal((await first.next()).done, true)
    assert.equal(await hasFree(world, 1), true)
    await second.return(undefined)
    await eventually(async () => {
      await clock.advance(1_000)
      return hasFree(world, 2)
    })
    const [listing] = await world.hub.list('b')
    assert.equal(listing, undefined, 'nothing holds the name')
  })

  it('a thousand idle streams cost little, and all hear of a change', async () => {
    await using world = await start({ limits: { streams: 1_000, streamsOfClient: 2_000 } })
    const open = async () => {
      const reader = (await world.handler(request(`${world.url}/v1/events?prefix=x`))).body?.getReader()
      for (let text = ''; !text.includes('event: ready');)
        text += new TextDecoder().decode((await reader?.read())?.value)
      return reader
    }
    const readers = [await open()]
    gc()
    const before = process.memoryUsage().heapUsed
    while (readers.length < 1_000) readers.push(await open())
    gc()
    const each = (process.memoryUsage().heapUsed - before) / 999
    assert.ok(each < 30_000, `${each} bytes for each stream`)
    assert.equal((await get(world, '/v1/events')).status, 503)
    const reads = readers.map(async (reader) => new TextDecoder().decode((await reader?.read())?.value))
    await world.hub.cancel('x')
    for (const read of reads) assert.match(await read, /event: cancelled/)
    await Promise.all(readers.map(async (reader) => reader?.cancel()))
    assert.equal(await hasFree(world, 1_000), true)
  })

  it('feeds that no client follows any more are few, whatever clients have watched', async () => {
    await using world = await start()
    const { hub } = world
    const { calls, counted } = countedOf(hub)
    using clock = manualClock()
    const handler = hubHandler(counted, { authorize: () => true, pace: 1_000 })
    for (let at = 0; at < 1_000; at++) {
      const { body } = await handler(request(`http://host/v1/events?prefix=${at}`))
      await body?.cancel()
    }
    await eventually(async () => (await hub.list(), true))
    calls.clear()
    await clock.advance(1_000)
    const lists = calls.get('list') ?? 0
    assert.ok(lists > 0 && lists <= 100, `${lists} lists in a second`)
    handler.close()
    calls.clear()
    await clock.advance(10_000)
    assert.equal(calls.size, 0)
  })
})

describe('clients that do not read', () => {
  it('a response that is not read holds one piece, and is cut off; the others hear of every change', async () => {
    await using world = await start({ heartbeat: 10, limits: { stalled: 1, streams: 2 } })
    const { hub } = world
    await hub.cancel('first', 'x'.repeat(8_000))
    const slow = (await world.handler(request(`${world.url}/v1/events`))).body?.getReader()
    const names = new Set<string>()
    const isDone = (async () => {
      let id = ''
      // The reader is busy at times, too: it comes back then, as every client does.
      while (names.size < 1_001) {
        const response = await get(world, '/v1/events', { headers: id ? { 'last-event-id': id } : {} })
        if (response.status !== 200) continue
        try {
          for await (const sent of eventsOf(response)) {
            id = sent.id ?? id
            if (sent.event === 'cancelled') names.add((sent.data as { name: string }).name)
            if (names.size === 1_001) break
          }
        } catch {
          // It was cut off.
        }
      }
    })()
    for (let at = 0; at < 10; at++) {
      await Promise.all(Array.from({ length: 100 }, (_, one) => hub.cancel(`name-${at}-${one}`, 'y'.repeat(1_000))))
    }
    await isDone
    await eventually(() => hasFree(world, 2))
    await assert.rejects(async () => {
      while (!(await slow?.read())?.done);
    }, /does not read/)
  })

  it('a socket that is never read is closed by the server', async () => {
    await using world = await start({ heartbeat: 20, limits: { stalled: 100 } })
    await Promise.all(Array.from({ length: 1_500 }, (_, at) => world.hub.cancel(`name-${at}`, 'x'.repeat(8_000))))
    const connected = once(world.server, 'connection') as Promise<[Socket]>
    const slow = await socketTo(world.port)
    slow.pause()
    const [behind] = await connected
    gc()
    const before = process.memoryUsage()
    slow.write(textOf(world.port, { target: '/v1/events' }))
    await once(behind, 'close')
    gc()
    const after = process.memoryUsage()
    const grown = after.heapUsed + after.external - before.heapUsed - before.external
    // The feed has the table once: names, and their text.
    assert.ok(grown < 80_000_000, `${grown} bytes`)
    slow.destroy()
    assert.equal((await get(world, '/v1/names?limit=1')).status, 200)
  })
})

describe('bodies', () => {
  /** Sends the head of a cancel, then what `write` sends. Returns the answer. */
  async function answerTo(world: World, headers: readonly string[], write: (socket: Socket) => void): Promise<string> {
    const socket = await socketTo(world.port)
    const answer = begun(socket)
    socket.write(
      textOf(world.port, {
        method: 'POST',
        target: '/v1/cancel?name=victim',
        headers: [...JSON_TYPE, 'Connection: keep-alive', ...headers],
      }),
    )
    write(socket)
    const text = await answer
    socket.destroy()
    return text
  }
  const statusOf = (text: string) => answerFrom(text).status

  it('one that says that it is too large is refused before it comes', async () => {
    await using world = await start()
    for (const length of ['16385', '99999999999999999999', '1e9']) {
      const text = await answerTo(world, [`Content-Length: ${length}`], () => {})
      assert.ok([413, 400].includes(statusOf(text)), `${length}: ${text}`)
    }
  })

  it('one that does not say so is refused as soon as it is too large', async () => {
    await using world = await start()
    const text = await answerTo(world, ['Transfer-Encoding: chunked'], (socket) => {
      for (let at = 0; at < 20; at++) socket.write(`400\r\n${'x'.repeat(0x400)}\r\n`)
    })
    assert.equal(statusOf(text), 413)
    assert.deepEqual(await world.hub.list(), [])
  })

  it('one that is as large as it may be is taken', async () => {
    await using world = await start()
    const body = `{"reason":"${'x'.repeat(16_384 - 13)}"}`
    assert.equal(body.length, 16_384)
    assert.equal((await post(world, '/v1/cancel?name=a', body)).status, 200)
    assert.equal((await post(world, '/v1/cancel?name=b', `${body} `)).status, 413)
  })

  it('an endless one is answered, and its connection ends, though the client goes on', async () => {
    using clock = manualClock()
    for (const authorization of [GOOD, 'none']) {
      await using world = await start()
      const socket = await socketTo(world.port)
      const answer = begun(socket)
      socket.write(
        textOf(world.port, {
          method: 'POST',
          target: '/v1/cancel?name=victim',
          headers: [
            ...JSON_TYPE,
            'Transfer-Encoding: chunked',
            'Connection: keep-alive',
            `Authorization: ${authorization}`,
          ],
        }),
      )
      const chunk = `4000\r\n${'x'.repeat(0x4000)}\r\n`
      const more = () => {
        while (!socket.destroyed && socket.write(chunk));
      }
      socket.on('drain', more)
      more()
      assert.equal(statusOf(await answer), authorization === GOOD ? 413 : 401)
      await eventually(async () => {
        await clock.advance(1_000)
        return socket.closed
      })
      assert.deepEqual(await world.hub.list(), [])
    }
  })

  it('one that comes after its answer does not harm the connection', async () => {
    await using world = await start()
    const socket = await socketTo(world.port)
    const first = begun(socket, '}')
    const body = 'x'.repeat(20_000)
    const head = (headers: readonly string[]) =>
      textOf(world.port, {
        method: 'POST',
        target: '/v1/cancel?name=a',
        headers: [...JSON_TYPE, 'Connection: keep-alive', ...headers],
      })
    socket.write(head([`Content-Length: ${body.length}`]))
    assert.equal(statusOf(await first), 413)
    const second = begun(socket, '}')
    socket.write(body)
    socket.write(head(['Content-Length: 2']))
    socket.write('{}')
    assert.equal(statusOf(await second), 200)
    socket.destroy()
  })

  it('a slow one is refused when its time is up, and cancels nothing', async () => {
    using clock = manualClock()
    await using world = await start()
    for (const part of ['', '{', '{"reason":"x"']) {
      const socket = await socketTo(world.port)
      const answer = begun(socket)
      let isAnswered = false
      void answer.then(() => (isAnswered = true))
      socket.write(
        textOf(world.port, {
          method: 'POST',
          target: '/v1/cancel?name=victim',
          headers: [...JSON_TYPE, 'Connection: keep-alive', 'Content-Length: 14'],
        }),
      )
      socket.write(part)
      await eventually(async () => {
        await clock.advance(1_000)
        return isAnswered
      })
      assert.equal(statusOf(await answer), 408)
      socket.destroy()
    }
    assert.deepEqual(await world.hub.list(), [])
  })

  it('one that ends before its length, or that breaks, cancels nothing', async () => {
    await using world = await start()
    const cut = async (headers: readonly string[], part: string) => {
      const socket = await socketTo(world.port)
      socket.resume()
      socket.write(
        textOf(world.port, { method: 'POST', target: '/v1/cancel?name=victim', headers: [...JSON_TYPE, ...headers] }),
      )
      socket.end(part)
      await once(socket, 'close')
    }
    await cut(['Content-Length: 100'], '{"reason":"x"}')
    await cut(['Transfer-Encoding: chunked'], 'e\r\n{"reason":"x"}\r\n')
    await cut(['Transfer-Encoding: chunked'], 'zz\r\n{"reason":"x"}\r\n')
    await cut(['Content-Length: 14', 'Content-Length: 15'], '{"reason":"x"}')
    await cut(['Content-Length: 14', 'Transfer-Encoding: chunked'], '{"reason":"x"}')
    assert.deepEqual(await world.hub.list(), [])
    assert.deepEqual(world.errors, [])
  })
})

describe('what does not answer', () => {
  it('an authorize that never settles is an error in bounded time', async () => {
    using clock = manualClock()
    await using world = await start({ authorize: () => new Promise(() => {}), limits: { streams: 1 } })
    for (const target of ['/v1/names', '/v1/events', '/v1/hold?name=a']) {
      let response: Response | undefined
      void get(world, target).then((answer) => (response = answer))
      await eventually(async () => {
        await clock.advance(1_000)
        return response !== undefined
      })
      assert.equal(response?.status, 500)
    }
    assert.match(String(world.errors[0]), /authorize has not answered/)
  })

  it('a hub that cannot be reached is told in bounded time, and a cancel is kept', async () => {
    using clock = manualClock()
    const gone = await TokenServer.listen({ port: 0 })
    await gone.close()
    await using hub = await connectHub(gone.url, { lazy: true })
    const { counted, calls } = countedOf(hub)
    const handler = hubHandler(counted, { authorize: () => true })
    const answerOf = async (target: string, method = 'GET') => {
      let response: Response | undefined
      void handler(new Request(`http://host${target}`, { method })).then((answer) => (response = answer))
      await eventually(async () => {
        await clock.advance(1_000)
        return response !== undefined
      })
      return response as unknown as Response
    }
    for (const [target, method] of [['/v1/names'], ['/v1/name?name=a'], ['/v1/forget?name=a', 'POST']] as const) {
      const response = await answerOf(target, method)
      assert.equal(response.status, 503, target)
      assert.match(response.headers.get('retry-after') as string, /^\d+$/)
    }
    assert.equal((calls.get('list') ?? 0) + (calls.get('forget') ?? 0), 0, 'what was refused waits nowhere')
    const cancelled = await answerOf('/v1/cancel?name=a', 'POST')
    assert.equal(cancelled.status, 202)
    assert.equal(((await cancelled.json()) as { delivered: boolean }).delivered, false)
    await using back = await TokenServer.listen({ port: Number(new URL(gone.url).port) })
    assert.equal(back.url, gone.url)
    await eventually(async () => {
      await clock.advance(1_000)
      return hub.state === 'connected'
    })
    const [listing] = await hub.list()
    assert.deepEqual([listing?.name, listing?.state], ['a', 'cancelled'])
    handler.close()
    await hub.close()
  })
})

describe('memory', () => {
  it('a handler listens to its hub only while a client watches', async () => {
    await using world = await start()
    let listening = 0
    const counted = new Proxy(world.hub, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key, target)
        if (key !== 'onEvent') return typeof value === 'function' ? value.bind(target) : value
        return (listener: Parameters<TokenHub['onEvent']>[0]) => {
          const registration = target.onEvent(listener)
          listening++
          const stop = () => {
            listening--
            registration.stop()
          }
          return { stop, [Symbol.dispose]: stop }
        }
      },
    })
    const handler = hubHandler(counted, { authorize: () => true })
    assert.equal(listening, 0)
    for (const query of ['', '?name=a', '?prefix=b']) await handler(request(`http://host/v1/events${query}`))
    assert.equal(listening, 1)
    handler.close()
    assert.equal(listening, 0)
  })

  it('a handler that was dropped is garbage, though its hub lives on', async () => {
    await using store = await TokenServer.listen({ port: 0 })
    await using hub = await connectHub(store.url)
    const dropped: WeakRef<object>[] = []
    const use = async (isWatched: boolean) => {
      const handler = hubHandler(hub, { authorize: () => true })
      dropped.push(new WeakRef(handler))
      if (!isWatched) return
      const reader = (await handler(request('http://host/v1/events'))).body?.getReader()
      await reader?.read()
      handler.close()
      await reader?.read()
    }
    await use(false)
    await use(true)
    await eventually(async () => {
      await hub.list()
      gc()
      return dropped.every((one) => one.deref() === undefined)
    })
  })
})
