/** Requests that mean harm. Nothing gets in, nothing is left open, and the others are served. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { hubHandler, type HubHandlerOptions } from 'calloff/http'
import { connectHub, TokenServer } from 'calloff/remote'
import { type Answer, ask, eventsOf, get, GOOD, post, type Raw, start, until, type World } from './world.js'

const CORS = /^access-control-/
const corsOf = ({ headers }: Answer) => [...headers.keys()].filter((name) => CORS.test(name))

async function isCancelled({ hub }: World, name: string): Promise<boolean> {
  const listings = await hub.list()
  return listings.some((one) => one.name === name && one.state === 'cancelled')
}

const requests = {
  list: { target: '/v1/names' },
  read: { target: '/v1/name?name=victim' },
  watch: { target: '/v1/events?prefix=' },
  hold: { target: '/v1/hold?name=victim' },
  cancel: { method: 'POST', target: '/v1/cancel?name=victim' },
  forget: { method: 'POST', target: '/v1/forget?name=victim' },
} satisfies Record<string, Raw>

describe('origins', () => {
  const refused = (port: number): readonly (readonly string[])[] => [
    ['Origin: null'],
    ['Origin: '],
    [`Origin: http://127.0.0.1:${port + 1}`],
    ['Origin: http://127.0.0.1'],
    [`Origin: http://localhost:${port}`],
    [`Origin: ftp://127.0.0.1:${port}`],
    [`Origin: http://127.0.0.1:${port}/`],
    [`Origin: http://127.0.0.1:${port}.evil.example`],
    [`Origin: http://evil.example`, `Origin: http://127.0.0.1:${port}`],
    ['Origin: https://evil.example'],
    ['Origin: https://APP.example'],
    ['Origin: https://app.example/'],
    ['Origin: https://app.example.evil.example'],
    ['Origin: http://app.example'],
    ['Origin: https://app.example:444'],
    ['Sec-Fetch-Site: cross-site'],
    ['Sec-Fetch-Site: same-site'],
    ['Sec-Fetch-Site: anything'],
    ['Sec-Fetch-Site: '],
    ['Sec-Fetch-Site: cross-site', 'Sec-Fetch-Site: same-origin'],
    ['Sec-Fetch-Site: cross-site', `Origin: http://127.0.0.1:${port}`],
    ['Sec-Fetch-Site: none', 'Origin: https://evil.example'],
    ['Sec-Fetch-Site: cross-site', 'Origin: null'],
    ['Sec-Fetch-Site: cross-site', 'Origin: https://evil.example', 'Host: evil.example'],
  ]

  it('a page of an origin that is not listed is refused, whatever it asks for, and is told nothing by CORS', async () => {
    await using world = await start({ origins: ['https://app.example'] })
    for (const headers of refused(world.port)) {
      for (const raw of [...Object.values(requests), { method: 'OPTIONS', target: '/v1/cancel?name=victim' }]) {
        const answer = await ask(world.port, { ...raw, headers })
        const what = `${headers.join(', ')} ${raw.target}`
        assert.equal(answer.status, 403, what)
        assert.equal(JSON.parse(answer.body).code, 'cross-origin', what)
        assert.deepEqual(corsOf(answer), [], what)
      }
    }
    assert.deepEqual(await world.hub.list(), [])
  })

  it('a page of the own origin, and a program that is no browser, get in, without a word of CORS', async () => {
    await using world = await start({ origins: ['https://app.example'] })
    const { port } = world
    for (const headers of [
      [],
      [`Origin: http://127.0.0.1:${port}`],
      // A proxy ends TLS in front of the server.
      [`Origin: https://127.0.0.1:${port}`],
      ['Sec-Fetch-Site: same-origin'],
      ['Sec-Fetch-Site: same-origin', `Origin: http://127.0.0.1:${port}`],
      ['Sec-Fetch-Site: none'],
    ]) {
      const answer = await ask(port, { ...requests.list, headers })
      assert.equal(answer.status, 200, headers.join(', '))
      assert.deepEqual(corsOf(answer), [])
      assert.equal(answer.headers.get('vary'), 'Origin')
    }
  })

  it('a page of a listed origin is let in by name, also where it is refused for another cause', async () => {
    await using world = await start({ origins: ['https://app.example'] })
    const headers = ['Origin: https://app.example', 'Sec-Fetch-Site: cross-site']
    const asked: Raw[] = [
      { ...requests.list, headers },
      { ...requests.list, headers: [...headers, 'Authorization: Bearer bad'] },
      { target: '/nowhere', headers },
      { method: 'PUT', target: '/v1/names', headers },
      { ...requests.cancel, headers: [...headers, 'Content-Type: text/plain'], body: 'x' },
    ]
    for (const [at, status] of [200, 401, 404, 405, 415].entries()) {
      const answer = await ask(world.port, asked[at] as Raw)
      assert.equal(answer.status, status)
      assert.equal(answer.headers.get('access-control-allow-origin'), 'https://app.example')
    }
  })

  it('a preflight is answered to a listed origin alone, and needs no key', async () => {
    await using world = await start({ origins: ['https://app.example'] })
    const preflight = (headers: readonly string[]) =>
      ask(world.port, { method: 'OPTIONS', target: '/v1/cancel?name=victim', headers })
    const wanted = ['Access-Control-Request-Method: POST', 'Access-Control-Request-Headers: content-type']
    const answer = await preflight(['Origin: https://app.example', 'Authorization: none', ...wanted])
    assert.equal(answer.status, 204)
    assert.equal(answer.headers.get('access-control-allow-origin'), 'https://app.example')
    assert.equal(answer.headers.get('access-control-allow-methods'), 'GET, POST')
    for (const headers of [[], [`Origin: http://127.0.0.1:${world.port}`], ['Sec-Fetch-Site: same-origin']]) {
      const other = await preflight([...headers, ...wanted])
      assert.equal(other.status, 405, headers.join())
      assert.deepEqual(corsOf(other), [])
    }
  })

  it('without `origins` there is no preflight', async () => {
    await using world = await start()
    const answer = await ask(world.port, {
      method: 'OPTIONS',
      target: '/v1/cancel?name=victim',
      headers: ['Origin: https://app.example', 'Access-Control-Request-Method: POST'],
    })
    assert.equal(answer.status, 403)
    assert.deepEqual(corsOf(answer), [])
  })

  it('the origin of an opaque URL is no origin', async () => {
    await using store = await TokenServer.listen({ port: 0 })
    await using hub = await connectHub(store.url)
    const handler = hubHandler(hub, { authorize: () => true })
    const response = await handler(new Request('odd:/v1/names', { headers: { origin: 'null' } }))
    assert.equal(response.status, 403)
  })
})

describe('forms of other sites', () => {
  const body = JSON.stringify({ reason: 'forged' })
  const types = [
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'text/plain',
    'text/plain; charset=application/json',
    'text/plain;application/json',
    'application/jsonp',
    'application/json5',
    'application/json, text/plain',
    'text/plain, application/json',
    'application/json text/plain',
    'application/ld+json',
    'text/json',
    '*/*',
    '',
  ]

  it('a body that a form can send is refused, and cancels nothing', async () => {
    await using world = await start()
    const headings = [[], ...types.map((type) => [`Content-Type: ${type}`])]
    for (const headers of [...headings, ['Content-Type: application/json', 'Content-Type: text/plain']]) {
      if (headers.length > 1) continue // node:http keeps the first of two: no other server sees two
      for (const request of [requests.cancel, requests.forget]) {
        const answer = await ask(world.port, { ...request, headers, body })
        assert.equal(answer.status, 415, headers.join())
      }
    }
    // A form without fields.
    for (const type of types.slice(0, 3)) {
      const answer = await ask(world.port, { ...requests.cancel, headers: [`Content-Type: ${type}`], body: '' })
      assert.equal(answer.status, 415, type)
    }
    assert.equal(await isCancelled(world, 'victim'), false)
  })

  it('JSON is taken, however its type is written', async () => {
    await using world = await start()
    for (const type of [
      'application/json',
      'APPLICATION/JSON',
      'application/json; charset=utf-8',
      'application/json ;x',
    ]) {
      const answer = await ask(world.port, { ...requests.cancel, headers: [`Content-Type: ${type}`], body })
      assert.equal(answer.status, 200, type)
    }
  })
})

describe('refusals tell nothing of the name', () => {
  const withoutDate = ({ head, body }: Answer) => [...head.filter((line) => !line.startsWith('Date:')), body]

  const settings: Record<string, HubHandlerOptions['authorize']> = {
    401: () => 401,
    403: () => 403,
    'false, which is 403': () => false,
    'an error, which is 500': () => {
      throw new Error('the secret of the house')
    },
  }
  for (const [what, authorize] of Object.entries(settings)) {
    it(`byte by byte: ${what}`, async () => {
      await using world = await start({ authorize })
      using held = world.hub.open('live')
      await held.ready
      await world.hub.cancel('cancelled', 'a reason')
      for (const [action, raw] of Object.entries<Raw>(requests)) {
        const answers: unknown[] = []
        for (const name of ['live', 'cancelled', 'unused']) {
          const target = raw.target.replace('victim', name).replace('prefix=', `prefix=${name}`)
          answers.push(withoutDate(await ask(world.port, { ...raw, target })))
        }
        const [first, ...others] = answers
        for (const other of others) assert.deepEqual(other, first, action)
        assert.doesNotMatch(JSON.stringify(first), /secret|live|cancelled|unused|a reason/)
      }
      assert.deepEqual(
        (await world.hub.list()).map(({ name }) => name).toSorted(),
        ['cancelled', 'live'],
        'nothing was done',
      )
    })
  }
})

describe('authorize', () => {
  const odd: Record<string, () => unknown> = {
    undefined: () => undefined,
    null: () => null,
    1: () => 1,
    200: () => 200,
    "'true'": () => 'true',
    'an object': () => ({}),
    'new Boolean(true)': () => new Boolean(true),
    'a promise of 1': () => Promise.resolve(1),
    // oxlint-disable-next-line unicorn/no-thenable -- it is no promise
    'an object with a then that is no function': () => ({ then: true }),
    'a Response': () => new Response('let in'),
    'a promise of a function': () => Promise.resolve(() => true),
  }
  for (const [what, answer] of Object.entries(odd)) {
    it(`only true lets in, not ${what}`, async () => {
      await using world = await start({ authorize: answer as HubHandlerOptions['authorize'] })
      for (const raw of Object.values(requests)) assert.equal((await ask(world.port, raw)).status, 403)
      assert.deepEqual(await world.hub.list(), [])
      assert.deepEqual(world.errors, [])
    })
  }

  const faults: Record<string, () => never> = {
    'throws an error': () => {
      throw new Error('secret')
    },
    'throws nothing': () => {
      throw undefined
    },
    'throws an object with traps': () => {
      throw new Proxy(
        {},
        {
          get() {
            throw new Error('a trap')
          },
          getPrototypeOf() {
            throw new Error('a trap')
          },
        },
      )
    },
  }
  for (const [what, fault] of Object.entries(faults)) {
    for (const isLate of [false, true]) {
      it(`that ${what}${isLate ? ' later' : ''} is an error of the server, and says nothing`, async () => {
        const authorize = isLate
          ? () =>
              new Promise<boolean>((_, reject) => {
                try {
                  fault()
                } catch (error) {
                  reject(error)
                }
              })
          : fault
        await using world = await start({ authorize })
        for (const raw of Object.values(requests)) {
          const answer = await ask(world.port, raw)
          assert.equal(answer.status, 500)
          assert.deepEqual(Object.keys(JSON.parse(answer.body)).toSorted(), ['code', 'status', 'title'])
        }
        assert.equal(world.errors.length, Object.keys(requests).length)
        assert.deepEqual(await world.hub.list(), [])
      })
    }
  }

  it('that reads the body is an error that names the cause', async () => {
    await using world = await start({ authorize: async (request) => (await request.text()) !== '' })
    const answer = await post(world, '/v1/cancel?name=victim', { reason: 'x' })
    assert.equal(answer.status, 500)
    assert.match(String(world.errors[0]), /authorize must not read the body/)
    assert.equal(await isCancelled(world, 'victim'), false)
  })

  it('an onError that throws leaves no request without an answer', async () => {
    const fault = () => {
      throw new Error('x')
    }
    await using world = await start({ authorize: fault, onError: fault })
    assert.equal((await get(world, '/v1/names')).status, 500)
  })
})

describe('methods, paths and hosts', () => {
  it('only the method of a path is taken, however another one is written', async () => {
    await using world = await start()
    for (const method of ['PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS', 'PROPFIND', 'QUERY', 'M-SEARCH']) {
      for (const [action, raw] of Object.entries<Raw>(requests)) {
        const answer = await ask(world.port, { ...raw, method })
        assert.equal(answer.status, 405, `${method} ${action}`)
        assert.equal(answer.headers.get('allow'), raw.method ?? 'GET')
      }
    }
    for (const raw of [requests.cancel, requests.forget]) {
      assert.equal((await ask(world.port, { ...raw, method: 'GET' })).status, 405)
    }
    const overridden = await ask(world.port, {
      target: '/v1/cancel?name=victim',
      headers: ['X-HTTP-Method-Override: POST', 'X-HTTP-Method: POST'],
    })
    assert.equal(overridden.status, 405)
    for (const method of ['TRACE', 'CONNECT']) {
      const { status } = await ask(world.port, { ...requests.list, method })
      assert.ok(status === 400 || Number.isNaN(status), `${method}: ${status}`)
    }
    assert.equal(await isCancelled(world, 'victim'), false)
  })

  it('a method that is the name of a property of every object is no method', async () => {
    await using world = await start()
    for (const method of ['constructor', '__proto__', 'toString', 'hasOwnProperty', 'valueOf']) {
      const request = new Request(`${world.url}/v1/names`, { method, headers: { authorization: GOOD } })
      assert.equal((await world.handler(request)).status, 405, method)
    }
    assert.deepEqual(world.errors, [])
  })

  it('a path that is not exactly one of the paths leads nowhere', async () => {
    await using world = await start({ basePath: '/calloff' })
    for (const target of [
      '/',
      '/v1/names',
      '/calloff',
      '/calloff/',
      '/calloff/v1',
      '/calloff/v1/names/',
      '/calloff//v1/names',
      '//calloff/v1/names',
      '//evil.example/calloff/v1/names',
      '/\\evil.example/calloff/v1/names',
      '/calloff/v1//names',
      '/calloff/v1/%6eames',
      '/calloff%2Fv1/names',
      '/calloff/v1/names%00',
      '/calloff/v1/names%20',
      '/calloff/v1/names;x',
      '/calloff/V1/names',
      '/Calloff/v1/names',
      '/calloff/../v1/names',
      '/calloff/v1/names/..',
      '/calloffv1/names',
      '/calloff/__proto__',
      '/calloff/constructor',
      '*',
      'v1/names',
      'calloff/v1/names',
      'ftp://127.0.0.1/calloff/v1/names',
      'data:,/calloff/v1/names',
    ]) {
      const { status } = await ask(world.port, { target })
      assert.ok(status === 404 || status === 400, `${target}: ${status}`)
    }
    assert.equal((await ask(world.port, { target: '/calloff/v1/names' })).status, 200)
    assert.deepEqual(world.errors, [])
  })

  it('a target with a host is the same request', async () => {
    await using world = await start()
    const target = `http://127.0.0.1:${world.port}/v1/name?name=a%2Fb`
    const answer = await ask(world.port, { target })
    assert.equal(answer.status, 200)
    assert.equal(JSON.parse(answer.body).name, 'a/b')
  })

  it('a Host cannot bring a path, a query or a user with it', async () => {
    await using world = await start()
    for (const host of [
      'h/v1/cancel?name=victim#',
      'h/v1/names?x=',
      'h/v1/names#',
      'h/v1/names',
      'h#',
      'h?',
      'user@h',
      'user:secret@h',
      'h:99999',
      'h h',
      'h\\v1',
      '[',
      'h:80:80',
      '%',
      'h\t',
    ]) {
      for (const raw of [requests.list, { target: '/' }, { method: 'POST', target: '/' }]) {
        const { status } = await ask(world.port, { ...raw, headers: [`Host: ${host}`] })
        assert.ok(status === 400 || (host === 'h\t' && status !== 500), `${host} ${raw.target}: ${status}`)
      }
    }
    assert.equal(await isCancelled(world, 'victim'), false)
    assert.deepEqual(world.errors, [])
  })

  it('a parameter that is given twice, that is unknown, or that is no UTF-8 is refused', async () => {
    await using world = await start()
    for (const query of [
      'name=a&name=b',
      'name=a&NAME=b',
      'name=a&runid=b',
      'name=a&name[]=b',
      'name=a&__proto__=b',
      'name=a&constructor=b',
      'name=a&=b',
      'name=a;runId=b&x=1',
      'name=%FF',
      'name=%C0%AF',
      'name=%ED%A0%80',
      'name=a%',
      'name=a%zz',
      'name=',
      '',
      'name=%00',
      'name=a%00b',
      `name=${'x'.repeat(257)}`,
      `name=${encodeURIComponent('€'.repeat(86))}`,
      `name=a&runId=${'x'.repeat(257)}`,
    ]) {
      for (const path of ['/v1/name', '/v1/hold']) {
        const answer = await ask(world.port, { target: `${path}?${query}` })
        assert.equal(answer.status, 400, query)
      }
      const answer = await ask(world.port, { method: 'POST', target: `/v1/cancel?${query}` })
      assert.equal(answer.status, 400, query)
    }
    assert.deepEqual(await world.hub.list(), [])
  })
})

/** What JSON may have, and names must survive. */
const ODD_TEXTS = [
  '..',
  '.',
  '/',
  'a/b',
  'a%2Fb',
  '%',
  '%00',
  '%0d%0aX-Evil: 1',
  'a b',
  ' a',
  'a ',
  '+',
  'a+b',
  '&name=other',
  '=',
  '?',
  '#',
  ';',
  '\\',
  '"',
  "'",
  '<script>alert(1)</script>',
  '🦊',
  '\uFEFF',
  '\uFEFFa',
  '\u2028',
  '\u2029',
  '\u0085',
  '\r',
  '\n',
  '\r\nX-Evil: 1\r\n\r\n',
  'x\n\ndata: {}\nevent: gone\nid: 7\n\n',
  'x\r\rdata: {}\r\r',
  '\u001B[2J\u001B]0;owned\u0007',
  '\u009B31m',
  '\u202Eevil',
  '__proto__',
  'constructor',
  'null',
  '-',
  'é'.repeat(128),
  'x'.repeat(256),
  'e\u0301',
  'é',
  '\uFFFD',
  '\u0001\u007F',
]

describe('odd names', () => {
  it('every name that a hub takes goes through every path as it is', async () => {
    await using world = await start()
    const stream = eventsOf(await get(world, '/v1/events?prefix='))
    await until(stream, 'ready')
    for (const name of ODD_TEXTS) {
      const query = `name=${encodeURIComponent(name)}&runId=${encodeURIComponent(name)}`
      using held = world.hub.open(name, { runId: name })
      await held.ready
      const answer = await ask(world.port, {
        method: 'POST',
        target: `/v1/cancel?${query}`,
        headers: ['Content-Type: application/json'],
        body: JSON.stringify({ reason: name }),
      })
      assert.equal(answer.status, 202, JSON.stringify(name))
      assert.equal(answer.headers.has('x-evil'), false)
      const receipt = JSON.parse(answer.body)
      assert.deepEqual([receipt.name, receipt.runId, receipt.mark.reason], [name, name, name])
      const listing = await (await get(world, answer.headers.get('location') as string)).json()
      assert.deepEqual([listing.name, listing.runId, listing.state], [name, name, 'cancelled'])
      const { data } = await until(stream, 'cancelled')
      assert.deepEqual((data as { name: string }).name, name)
      assert.equal(held.error?.cause, name)
    }
    const names: string[] = []
    for (let next: string | null = ''; next !== null;) {
      const page = await (await get(world, `/v1/names?limit=7${next && `&after=${next}`}`)).json()
      names.push(...page.names.map((one: { name: string }) => one.name))
      next = page.next
    }
    assert.deepEqual(names.toSorted(), ODD_TEXTS.toSorted())
    await stream.return(undefined)
    assert.deepEqual(world.errors, [])
  })

  it('a prefix may be as odd', async () => {
    await using world = await start()
    for (const name of ODD_TEXTS) {
      await world.hub.cancel(name)
      const stream = eventsOf(await get(world, `/v1/events?name=${encodeURIComponent(name)}`))
      assert.equal(((await until(stream, 'cancelled')).data as { name: string }).name, name)
      await stream.return(undefined)
      const page = await (await get(world, `/v1/names?prefix=${encodeURIComponent(name)}`)).json()
      assert.ok(page.names.some((one: { name: string }) => one.name === name))
    }
  })

  it('a cursor that was made up is refused, or is a place like any other', async () => {
    await using world = await start()
    await world.hub.cancel('a')
    for (const after of ['%', '!', '%00', 'A', '====', '_____', 'x'.repeat(5_000), '..', '4pyT', '__proto__']) {
      const { status } = await get(world, `/v1/names?after=${encodeURIComponent(after)}`)
      assert.ok(status === 200 || status === 400, `${after}: ${status}`)
    }
    assert.deepEqual(world.errors, [])
  })
})

describe('odd reasons', () => {
  const deep = (open: string, close: string, depth: number) => open.repeat(depth) + close.repeat(depth)
  const reasons: readonly string[] = [
    ...ODD_TEXTS.map((text) => JSON.stringify(text)),
    '"\\ud800"',
    '"\\udc00x"',
    '"\\u0000"',
    'null',
    'true',
    '0',
    '-0',
    '1e999',
    '-1e999',
    '1e-999',
    '9'.repeat(5_000),
    `"${'x'.repeat(16_000)}"`,
    `"${'\\n'.repeat(7_000)}"`,
    `"${'\\u0001'.repeat(2_500)}"`,
    deep('[', ']', 8),
    deep('[', ']', 8_000),
    deep('{"a":', '}', 2_000).replace('}', '1}'),
    `[${Array.from({ length: 8_000 }, () => 0).join()}]`,
    '{"__proto__":{"isAdmin":true}}',
    '{"constructor":{"prototype":{"isAdmin":true}}}',
    '{"toString":1,"valueOf":1,"toJSON":1}',
    '{"toJSON":"x"}',
    '{"then":1}',
    '{"a":1,"a":2}',
    '{"message":"x","name":{"toString":1}}',
    '{"$":null}',
    '{"$":1}',
    '{"$":"error"}',
    '{"$":[]}',
    '{"$":{}}',
    '{"$":["unknown",1]}',
    '{"$":["__proto__",1]}',
    '{"$":["error"]}',
    '{"$":["error",null]}',
    '{"$":["error",1]}',
    '{"$":["error",{"name":1,"message":{},"stack":[],"code":{},"cause":{"$":1}}]}',
    '{"$":["error",{"name":"__proto__","message":"x"}]}',
    '{"$":["error",{"name":"constructor","message":"x"}]}',
    '{"$":["error",{"name":"CancellationError","message":"\\u001b[2J","code":"ERR","stack":"\\u001b[2J"}]}',
    `{"$":["error",${JSON.stringify({ name: 'x'.repeat(5_000), message: 'y'.repeat(5_000), code: 'z'.repeat(5_000) })}]}`,
    '{"$":["date","x"]}',
    '{"$":["date","NaN"]}',
    '{"$":["date","1e30"]}',
    '{"$":["date",{}]}',
    '{"$":["bigint","x"]}',
    '{"$":["bigint",""]}',
    `{"$":["bigint","${'9'.repeat(15_000)}"]}`,
    '{"$":["number","x"]}',
    '{"$":["number","-0"]}',
    '{"$":["undefined"]}',
    '{"$":["object",1]}',
    '{"$":["object",[1]]}',
    '{"$":["object",[["__proto__",{"isAdmin":true}]]]}',
    '{"$":["object",[[{"$":1},1]]]}',
    '{"$":["said","x","y"]}',
    '{"$":["said",{"$":["said",1,2]},{"$":1},"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]}',
    `${'{"$":["error",{"message":"x","cause":'.repeat(300)}1${'}]}'.repeat(300)}`,
    `${'{"$":["object",[["a",'.repeat(300)}1${']]]}'.repeat(300)}`,
  ]

  it('every reason is stored and shown, and no holder has a fault of it', async () => {
    await using world = await start()
    const stream = eventsOf(await get(world, '/v1/events?prefix='))
    await until(stream, 'ready')
    for (const [at, reason] of reasons.entries()) {
      const name = `job-${at}`
      using held = world.hub.open(name)
      await held.ready
      const heard: unknown[] = []
      held.onCancel((error) => {
        // What a holder does with it.
        heard.push(String(error), error.message, error.stack, error.cause)
      })
      const answer = await ask(world.port, {
        method: 'POST',
        target: `/v1/cancel?name=${name}`,
        headers: ['Content-Type: application/json'],
        body: `{"reason":${reason}}`,
      })
      const about = reason.slice(0, 100)
      assert.equal(answer.status, 202, about)
      assert.equal(typeof JSON.parse(answer.body).mark.text, 'string', about)
      assert.equal(heard.length, 4, about)
      const { data } = await until(stream, 'cancelled')
      assert.equal((data as { name: string }).name, name)
      assert.equal((await get(world, `/v1/name?name=${name}`)).status, 200, about)
    }
    assert.equal(({} as { isAdmin?: boolean }).isAdmin, undefined)
    await stream.return(undefined)
    assert.deepEqual(world.errors, [])
  })

  it('a reason as deep as the body allows is refused or stored, however large a body may be', async () => {
    await using world = await start({ limits: { body: 4_000_000 } })
    for (const reason of [
      deep('[', ']', 1_000_000),
      deep('{"$":["object",[["a",', ']]]}', 100_000).replace(']', '1]'),
    ]) {
      const { status } = await post(world, '/v1/cancel?name=deep', `{"reason":${reason}}`)
      assert.ok(status === 200 || status === 400, String(status))
    }
    assert.deepEqual(world.errors, [])
  })

  it('a body that is no object of the fields that are known is refused', async () => {
    await using world = await start()
    for (const body of [
      '[]',
      'null',
      '1',
      '"x"',
      '{',
      '{}{}',
      '{"reason":1',
      "{'reason':1}",
      '{"reason":NaN}',
      '{"reasons":1}',
      '{"__proto__":1}',
      '{"":1}',
      '{"timeout":-1}',
      '{"timeout":60001}',
      '{"timeout":1e999}',
      '{"timeout":0.5}',
      '{"timeout":"5"}',
      '{"timeout":null}',
      '{"timeout":{"valueOf":1}}',
      '{"until":"never"}',
      '{"until":null}',
      '{"until":{"toString":1}}',
      `{"${'x'.repeat(10_000)}":1}`,
      `{"timeout":"${'x'.repeat(10_000)}"}`,
    ]) {
      const response = await post(world, '/v1/cancel?name=victim', body)
      assert.equal(response.status, 400, body.slice(0, 100))
      assert.ok((await response.text()).length < 1_000, body.slice(0, 100))
    }
    for (const body of [Buffer.from('{"reason":"\xFF"}', 'latin1'), Buffer.from([0xef, 0xbb, 0xbf])]) {
      const answer = await ask(world.port, { ...requests.cancel, headers: ['Content-Type: application/json'], body })
      assert.equal(answer.status, body.length > 3 ? 400 : 200)
    }
    assert.deepEqual(world.errors, [])
  })
})
