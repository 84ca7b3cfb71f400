/** `stop` of the client, over real servers. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, it } from 'node:test'
import { SimpleToken, TimeoutToken } from 'calloff'
import { HttpHubError, stop } from 'calloff/http/client'
import type { RemoteToken } from 'calloff/remote'
import { freePort } from '../remote/servers.js'
import { makeWorld, pathOf, until, type World } from './client-world.js'

/** Opens tokens of a name in other processes, so to speak. */
async function holdersOf(world: World, name: string, count: number): Promise<RemoteToken[]> {
  const tokens = Array.from({ length: count }, () => world.hub.open(name))
  await Promise.all(tokens.map(({ ready }) => ready))
  return tokens
}

const isHubError = (code: string, status: number | undefined) => (error: unknown) =>
  error instanceof HttpHubError && error.code === code && error.status === status

describe('stop', () => {
  it('cancels the name everywhere, and returns the receipt with dates and decoded reasons', async () => {
    await using world = await makeWorld()
    const { url, hub } = await world.serve()
    const name = world.name()
    const [token] = (await holdersOf(world, name, 1)) as [RemoteToken]
    const receipt = await stop(url, name, { reason: new RangeError('no disk') })
    await until(() => token.cancelled, 'the holder is cancelled')
    assert.ok(token.reason instanceof RangeError)
    assert.equal(token.reason.message, 'no disk')
    const { mark, waiting, ...counts } = receipt
    assert.deepEqual(Object.keys(counts), [
      'name',
      'runId',
      'delivered',
      'complete',
      'acknowledged',
      'finished',
      'holders',
    ])
    assert.equal(receipt.delivered, true)
    assert.equal(receipt.holders, 1)
    assert.equal(receipt.finished, 0)
    assert.equal(mark.kind, 'manual')
    assert.ok(mark.reason instanceof RangeError)
    assert.ok(mark.at instanceof Date && Math.abs(mark.at.getTime() - Date.now()) < 3_600_000)
    assert.equal(mark.who.pid, process.pid)
    assert.equal(waiting.length, 1)
    assert.ok(waiting[0]?.since instanceof Date && !Number.isNaN(waiting[0].since.getTime()))
    assert.equal(waiting[0].role, 'open')
    assert.equal((await hub.list(name))[0]?.state, 'cancelled')
    token.close()
  })

  const reasons = [undefined, null, 'why', '', 0, -0, 12n, { a: [1, null, 'é😀'], $: 1 }, new Date(5), [undefined]]
  it('carries every reason that a hub carries', async () => {
    await using world = await makeWorld()
    const { url } = await world.serve()
    for (const reason of [...reasons, new TypeError('wrong', { cause: 'deep' })]) {
      const name = world.name()
      const receipt = await stop(url, name, { reason })
      const late = world.hub.open(name)
      await late.ready
      assert.deepEqual(late.reason, reason)
      assert.deepEqual(receipt.mark.reason, reason)
    }
    const { mark } = await stop(url, world.name(), { reason: 'x'.repeat(100_000) })
    assert.match(String(mark.reason), /^x{1000,}…$/)
  })

  it('selects the run, and takes names with every character', async () => {
    await using world = await makeWorld()
    const { url } = await world.serve()
    const stem = world.name()
    for (const odd of ['..', '/', '%2F', '&runId=x', '#', '?', '+', ' ', '\n', '\\', '😀', 'é', 'e\u0301', '\uFEFF']) {
      const name = stem + odd
      const receipt = await stop(url, name, { runId: odd })
      assert.deepEqual([receipt.name, receipt.runId], [name, odd])
      const states = (await world.hub.list(name)).map(({ runId, state }) => [runId, state])
      assert.deepEqual(states, [[odd, 'cancelled']])
    }
  })

  it('waits until all holders have finished, and counts those that have gone meanwhile', async () => {
    await using world = await makeWorld()
    const web = await world.serve()
    const name = world.name()
    const tokens = await holdersOf(world, name, 3)
    const stopped = stop(web.url, name, { timeout: 60_000 })
    await until(() => web.asked.includes('GET /v1/name'), 'the client follows the state of the name')
    for (const token of tokens) {
      await until(() => token.cancelled, 'the holder is cancelled')
      token.close()
    }
    const { holders, acknowledged, finished, waiting, complete } = await stopped
    assert.deepEqual(
      { holders, acknowledged, finished, waiting, complete },
      { holders: 3, acknowledged: 3, finished: 3, waiting: [], complete: true },
    )
    assert.equal(web.asked.filter((one) => one === 'POST /v1/cancel').length, 1, 'the name is cancelled once')
  })

  it('returns when the time has passed, with the holders that have not finished', async () => {
    await using world = await makeWorld()
    const { url } = await world.serve()
    const name = world.name()
    const [token, done] = await holdersOf(world, name, 2)
    done?.onCancel(() => done.close())
    const { holders, finished, acknowledged, waiting } = await stop(url, name, { timeout: 3_000 })
    assert.deepEqual([holders, finished, acknowledged, waiting.length], [2, 1, 2, 1])
    assert.equal(waiting[0]?.state, 'acknowledged')
    token?.close()
  })

  it('waits for the acknowledgement only, if asked to', async () => {
    await using world = await makeWorld()
    const { url } = await world.serve()
    const name = world.name()
    const [token] = (await holdersOf(world, name, 1)) as [RemoteToken]
    let acknowledge!: () => void
    void token.acknowledged(new Promise<void>((resolve) => (acknowledge = resolve)))
    const stopped = stop(url, name, { timeout: 60_000, until: 'acknowledged' })
    await until(() => token.cancelled, 'the holder is cancelled')
    acknowledge()
    const { acknowledged, finished } = await stopped
    assert.deepEqual([acknowledged, finished], [1, 0])
    token.close()
  })

  it('does not cancel the name again if it is forgotten and used again while it waits', async () => {
    await using world = await makeWorld()
    const web = await world.serve()
    const name = world.name()
    const [token] = (await holdersOf(world, name, 1)) as [RemoteToken]
    const stopped = stop(web.url, name, { timeout: 60_000 })
    await until(() => web.asked.includes('GET /v1/name'), 'the client follows the state of the name')
    await world.hub.forget(name)
    const [next] = (await holdersOf(world, name, 1)) as [RemoteToken]
    token.close()
    assert.equal((await stopped).delivered, true)
    assert.equal(next.cancelled, false)
    next.close()
  })

  it('tries again while the network fails, and reaches a server that starts late', async () => {
    await using world = await makeWorld()
    const port = await freePort()
    const name = world.name()
    let failed = 0
    const stopped = stop(`http://127.0.0.1:${port}/`, name, {
      fetch: (url, init) =>
        fetch(url, init).catch((error: unknown) => {
          failed++
          throw error
        }),
    })
    await until(() => failed > 1, 'two attempts have failed')
    await world.serve({}, undefined, port)
    assert.equal((await stopped).delivered, true)
    assert.equal((await world.hub.list(name))[0]?.state, 'cancelled')
  })

  it('keeps what it knows if the connection is cut while it waits', async () => {
    await using world = await makeWorld()
    const web = await world.serve()
    const proxy = await world.proxy(web.port)
    const name = world.name()
    const [token] = (await holdersOf(world, name, 1)) as [RemoteToken]
    const stopped = stop(`http://127.0.0.1:${proxy.port}`, name, { timeout: 60_000 })
    for (let cuts = 1; cuts <= 3; cuts++) {
      await until(() => web.asked.filter((one) => one === 'GET /v1/name').length >= cuts, 'the client asks again')
      proxy.cut()
    }
    token.close()
    const { holders, finished } = await stopped
    assert.deepEqual([holders, finished], [1, 1])
    assert.equal(web.asked.filter((one) => one === 'POST /v1/cancel').length, 1, 'the name is cancelled once')
  })

  it('returns the receipt if it may cancel and may not read', async () => {
    await using world = await makeWorld()
    const { url } = await world.serve({ authorize: (_, { action }) => action === 'cancel' })
    const name = world.name()
    const [token] = (await holdersOf(world, name, 1)) as [RemoteToken]
    const { holders, finished } = await stop(url, name, { timeout: 60_000 })
    assert.deepEqual([holders, finished], [1, 0])
    token.close()
  })

  it('rejects with the failure if the server is not reached in time', async () => {
    const url = `http://127.0.0.1:${await freePort()}`
    await assert.rejects(stop(url, 'x', { timeout: 300 }), (error: HttpHubError) => {
      assert.ok(isHubError('unreachable', undefined)(error) && error.cause instanceof Error)
      return true
    })
  })

  it('rejects with the failure if the first request is not answered in time', async () => {
    await using silent = await silentServer()
    await assert.rejects(stop(silent.url, 'x', { timeout: 50 }), isHubError('unreachable', undefined))
  })

  it('rejects with the failure if its time ends between two attempts', async () => {
    const fetch = async () => {
      // The program is busy until the next attempt is due, and the time has passed.
      setTimeout(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300), 1)
      throw new TypeError('no network')
    }
    await assert.rejects(stop('http://a.example', 'x', { timeout: 150, fetch }), (error: HttpHubError) => {
      assert.ok(isHubError('unreachable', undefined)(error), String(error))
      assert.equal(String(error.cause), 'TypeError: no network')
      return true
    })
  })

  const refusals = [
    { answer: 401, code: 'unauthenticated', status: 401 },
    { answer: 403, code: 'forbidden', status: 403 },
    { answer: false, code: 'forbidden', status: 403 },
  ] as const
  for (const { answer, code, status } of refusals) {
    it(`rejects at once with ${code} if the server answers ${String(answer)}`, async () => {
      await using world = await makeWorld()
      const web = await world.serve({ authorize: () => answer })
      await assert.rejects(stop(web.url, 'x', { timeout: 60_000 }), isHubError(code, status))
      await assert.rejects(stop(web.url, 'x'), isHubError(code, status))
      assert.equal(web.asked.length, 2)
    })
  }

  it('rejects at once if the server refuses the name, and says what is wrong', async () => {
    await using world = await makeWorld()
    const { url } = await world.serve()
    for (const name of ['', 'x'.repeat(300), 'a\0b']) {
      await assert.rejects(stop(url, name), (error: HttpHubError) => {
        assert.ok(isHubError('bad-request', 400)(error))
        assert.match(error.message, /name/)
        return true
      })
    }
    await assert.rejects(stop(`${url}/elsewhere`, 'x'), isHubError('not-found', 404))
  })

  it('waits for as long as Retry-After says, in seconds or as a date', async () => {
    await using world = await makeWorld()
    const times: number[] = []
    const waits = ['1', new Date(Date.now() + 3_000).toUTCString()]
    const { url } = await world.serve({}, (request, response) => {
      if (pathOf(request) !== '/v1/cancel') return false
      times.push(performance.now())
      const wait = waits.shift()
      if (wait === undefined) return false
      response.writeHead(times.length === 1 ? 503 : 429, { 'retry-after': wait }).end('busy')
      return true
    })
    assert.equal((await stop(url, world.name())).delivered, true)
    const [first, second, third] = times as [number, number, number]
    assert.ok(second - first >= 990, `${second - first} ms`)
    // The moment of an HTTP date is a whole second.
    assert.ok(third - second > 0 && times.length === 3)
  })

  it('rejects at once with the refusal if Retry-After is later than its time', async () => {
    await using world = await makeWorld()
    const url = await world.listen((_, response) => {
      response.writeHead(503, { 'retry-after': '3600' }).end()
    })
    await assert.rejects(stop(url, 'x', { timeout: 50_000 }), isHubError('refused', 503))
  })

  const strangers: Record<string, string> = { 'a page': '<!doctype html><p>Hello', 'another value': '[1]', nothing: '' }
  for (const [what, body] of Object.entries(strangers)) {
    it(`rejects with bad-answer if the server answers ${what}`, async () => {
      await using world = await makeWorld()
      const url = await world.listen((_, response) => response.end(body))
      await assert.rejects(stop(url, 'x', { timeout: 2_000 }), (error: HttpHubError) => error.code === 'bad-answer')
    })
  }

  const bodies: Record<string, string> = {
    null: 'null',
    'a text': '"no"',
    'fields of other types': '{"code":{"a":1},"detail":[5],"title":null}',
    'half an object': '{"code":"quantum"',
    'a page': '<!doctype html>',
    nothing: '',
  }
  for (const [what, body] of Object.entries(bodies)) {
    it(`rejects at once with refused if the server refuses it with ${what}`, async () => {
      await using world = await makeWorld()
      const url = await world.listen((_, response) => response.writeHead(403).end(body))
      await assert.rejects(stop(url, 'x', { timeout: 60_000 }), (error: HttpHubError) => {
        assert.ok(isHubError('refused', 403)(error), String(error))
        assert.equal(error.message, 'the server answers 403')
        return true
      })
    })
  }

  it('does not read a refusal that has no end', async () => {
    await using world = await makeWorld()
    let closed!: () => void
    const isClosed = new Promise<void>((resolve) => (closed = resolve))
    const url = await world.listen((_, response) => {
      response.writeHead(403).once('close', closed)
      const flood = () => void (response.destroyed || response.write(Buffer.alloc(65_536, 'x'), flood))
      flood()
    })
    await assert.rejects(stop(url, 'x', { timeout: 60_000 }), isHubError('refused', 403))
    await isClosed
  })

  it('ends in time although a fetch never settles, or throws at once', async () => {
    const isUnreachable = isHubError('unreachable', undefined)
    const never = () => new Promise<Response>(() => {})
    await assert.rejects(stop('http://a.example', 'x', { timeout: 50, fetch: never }), isUnreachable)
    const thrower = () => {
      throw new Error('no network')
    }
    await assert.rejects(stop('http://a.example', 'x', { timeout: 50, fetch: thrower }), isUnreachable)
  })

  it('is ended by a token and by a signal, also before it begins', async () => {
    await using world = await makeWorld()
    const url = `http://127.0.0.1:${await freePort()}`
    const token = new SimpleToken()
    const stopped = stop(url, 'x', { token })
    token.cancel('no longer')
    await assert.rejects(stopped, token.error)
    const controller = new AbortController()
    const other = stop(url, 'x', { token: controller.signal, timeout: 60_000 })
    controller.abort()
    await assert.rejects(other, { name: 'AbortError' })
    const web = await world.serve()
    const name = world.name()
    await assert.rejects(stop(web.url, name, { token }), token.error)
    assert.equal(web.asked.length, 0)
    await assert.rejects(stop(url, 'x', { token: new TimeoutToken(1), timeout: 60_000 }), { name: 'TimeoutError' })
  })

  it('asks for its headers before each request', async () => {
    await using world = await makeWorld()
    const seen: (string | undefined)[] = []
    const web = await world.serve({}, ({ headers }, response) => {
      seen.push(headers.authorization)
      if (seen.length > 1) return false
      response.writeHead(503).end()
      return true
    })
    let asked = 0
    await stop(web.url, world.name(), { headers: async () => ({ authorization: `Bearer ${++asked}` }) })
    await stop(web.url, world.name(), { headers: { authorization: 'Bearer fixed' } })
    assert.deepEqual(seen, ['Bearer 1', 'Bearer 2', 'Bearer fixed'])
  })

  it('throws for arguments that are wrong', async () => {
    const url = 'http://127.0.0.1:9'
    await assert.rejects(stop('nowhere', 'x'), TypeError)
    await assert.rejects(stop(url, 'x\uD800'), URIError)
    await assert.rejects(stop(url, 5 as never), TypeError)
    await assert.rejects(stop(url, 'x', { timout: 5 } as never), /did you mean "timeout"/)
    await assert.rejects(stop(url, 'x', { timeout: -1 }), RangeError)
    await assert.rejects(stop(url, 'x', { token: {} as never }), TypeError)
    await assert.rejects(stop(url, 'x', { fetch: 5 as never }), /fetch must be a function, got 5/)
    for (const headers of [5, null, 'a: b'])
      await assert.rejects(stop(url, 'x', { headers: headers as never }), /headers must be an object or a function/)
    for (const more of ['#token=abc', '?tenant=1', '/hub?a#b'])
      await assert.rejects(stop(url + more, 'x'), /url must have no user, no query and no fragment/)
    await assert.rejects(stop('http://me:secret@127.0.0.1:9', 'x'), (error: Error) => !error.message.includes('secret'))
  })
})

/** A server that accepts connections and never answers. */
async function silentServer() {
  const server = createServer(() => {})
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
