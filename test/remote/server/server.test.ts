/** The embedded server: where it listens, whom it lets in, and what it puts up with. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { once } from 'node:events'
import { after, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { connectHub, type HubError, type ServerOptions, TokenServer } from 'calloff/remote'
import { manualClock } from 'calloff/testing'
import { never, openLink, protocol, WireLink } from '../inside.js'
import { found, skipWithout } from '../servers.js'

const folder = mkdtempSync(join(tmpdir(), 'calloff-server-'))
after(() => rmSync(folder, { recursive: true, force: true }))

let names = 0
const path = () => join(folder, `s${++names}`)
const withoutUnix = process.platform === 'win32' && 'Windows has no Unix sockets'

async function until(isSo: () => boolean, what: string): Promise<void> {
  const began = performance.now()
  while (!isSo()) {
    assert.ok(performance.now() - began < 120_000, what)
    await delay(5)
  }
}

/** A connection that says what it likes. */
async function stranger(
  server: TokenServer,
): Promise<{ socket: Socket; closed: Promise<unknown>; received: () => number }> {
  const { protocol, pathname, hostname, port } = new URL(server.url)
  const socket = protocol === 'unix:' ? connect(pathname) : connect({ host: hostname, port: Number(port) })
  let received = 0
  socket.on('data', (chunk: Buffer) => (received += chunk.length))
  socket.on('error', () => {})
  const closed = new Promise((resolve) => void socket.once('close', resolve))
  await Promise.race([once(socket, 'connect'), closed])
  return { socket, closed, received: () => received }
}

const isHubError = (code: string) => (error: unknown) => (error as HubError).code === code

describe('listening', () => {
  it('answers who comes the moment it can be reached', { skip: withoutUnix }, async () => {
    for (let i = 0; i < 5; i++) {
      const place = path()
      const within = { timeout: 60_000, lazy: true, backOff: { first: 1, most: 1 } }
      const hubs = await Promise.all(Array.from({ length: 20 }, () => connectHub(`unix:${place}`, within)))
      await using server = await TokenServer.listen({ path: place })
      await until(() => hubs.every(({ state }) => state === 'connected'), `nobody answers at ${server.url}`)
      await Promise.all(hubs.map((hub) => hub.close()))
    }
  })

  it('refuses bad options, each by its name', async () => {
    const refused: [unknown, RegExp][] = [
      [{}, /options must have either path or port/],
      [{ path: 'x', port: 1 }, /options must have either path or port/],
      [{ path: 5 }, /path must be a string, got 5/],
      [{ port: -1 }, /port must be an integer from 0 to 65535, got -1/],
      [{ port: 1.5 }, /port must be an integer/],
      [{ port: '80' }, /port must be a number, got "80"/],
      [{ port: 0, host: 5 }, /host must be a string, got 5/],
      [{ port: 0, key: 'short' }, /key must have at least 16 bytes, got 5/],
      [{ port: 0, key: 5 }, /key must be text or a Uint8Array, got a number/],
      [{ port: 0, host: '0.0.0.0' }, /key is required to listen at 0.0.0.0/],
      [{ port: 0, host: '::' }, /key is required to listen at ::/],
      [{ port: 0, tls: 5 }, /tls must be an object/],
      [{ path: path(), tls: {} }, /tls must be an object of options for node:tls, and needs port/],
      [{ port: 0, limits: { frame: 100 } }, /limits.frame must be 16384 or more, got 100/],
      [{ port: 0, limits: { names: 0 } }, /limits.names must be 1 or more/],
      [[], /options must be a plain object/],
    ]
    for (const [options, message] of refused)
      await assert.rejects(TokenServer.listen(options as ServerOptions), message)
  })

  it('makes a socket file for its owner alone, and takes it away', { skip: withoutUnix }, async () => {
    const at = path()
    const server = await TokenServer.listen({ path: at })
    assert.equal(statSync(at).mode & 0o777, 0o600)
    await server.close()
    assert.equal(statSync(at, { throwIfNoEntry: false }), undefined)
    await server.close()
  })

  it('takes the place of a server that has crashed, and of nothing else', { skip: withoutUnix }, async () => {
    const at = path()
    await using first = await TokenServer.listen({ path: at })
    await assert.rejects(TokenServer.listen({ path: at }), isHubError('ERR_HUB_REFUSED'))
    const file = path()
    writeFileSync(file, 'precious')
    await assert.rejects(TokenServer.listen({ path: file }), /is not a socket/)
    assert.equal(statSync(file).size, 8)
    await using hub = await connectHub(first.url)
    assert.equal(hub.state, 'connected')
    await assert.rejects(TokenServer.listen({ path: `/tmp/${'x'.repeat(120)}` }), /path must be shorter/)
  })

  it('at a port that is taken rejects', async () => {
    await using server = await TokenServer.listen({ port: 0 })
    const port = Number(new URL(server.url).port)
    await assert.rejects(TokenServer.listen({ port }), { code: 'EADDRINUSE' })
  })
})

describe('who comes in', () => {
  it('has the key', async () => {
    await using server = await TokenServer.listen({ port: 0, key: 'the right key of it' })
    await assert.rejects(connectHub(server.url), isHubError('ERR_HUB_AUTH'))
    await assert.rejects(connectHub(server.url, { key: 'the wrong key of it' }), isHubError('ERR_HUB_AUTH'))
    await using hub = await connectHub(server.url, { key: new TextEncoder().encode('the right key of it') })
    assert.equal(hub.state, 'connected')
    await using open = await TokenServer.listen({ port: 0 })
    await assert.rejects(connectHub(open.url, { key: 'the right key of it' }), isHubError('ERR_HUB_AUTH'))
  })

  it('is told why it is cut off: another protocol, too large a frame, too long a handshake', async () => {
    await using server = await TokenServer.listen({ port: 0, limits: { handshakeWithin: 100 } })
    for (const bytes of [Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.from([0, 0, 0, 1, 99]), Buffer.alloc(0)]) {
      const { socket, closed, received } = await stranger(server)
      socket.write(bytes)
      await closed
      assert.ok(received() > 0, `a word for ${bytes.toString('hex')}`)
    }
  })

  it('does not keep others out by being slow: the oldest that has not shown the key goes', async () => {
    await using server = await TokenServer.listen({ port: 0, limits: { handshakes: 5, handshakeWithin: 60_000 } })
    const first = await stranger(server)
    const others = []
    for (let i = 0; i < 20; i++) others.push(await stranger(server))
    await first.closed
    await using hub = await connectHub(server.url)
    assert.equal(hub.state, 'connected')
    for (const { socket } of others) socket.destroy()
  })

  it('is one of so many connections', async () => {
    await using server = await TokenServer.listen({ port: 0, limits: { connections: 2 } })
    await using one = await connectHub(server.url)
    await using two = await connectHub(server.url)
    await assert.rejects(connectHub(server.url), isHubError('ERR_HUB_UNREACHABLE'))
    assert.deepEqual([one.state, two.state], ['connected', 'connected'])
  })

  it('and does not read is cut off, and the others hear no less', { skip: withoutUnix }, async () => {
    // A Unix socket, since the system keeps megabytes for a slow reader of TCP.
    await using server = await TokenServer.listen({ path: path(), limits: { unread: 100_000 } })
    await using hub = await connectHub(server.url)
    const { socket, closed } = await deaf(server)
    await using there = await connectHub(server.url)
    for (let i = 0; i < DEAF; i++) {
      const token = there.open(`deaf-${i}`)
      await token.ready
      await hub.cancel(`deaf-${i}`, 'x'.repeat(7_000))
      await until(() => token.cancelled, 'the other one hears')
    }
    let isClosed = false
    void closed.then(() => (isClosed = true))
    socket.resume()
    await until(() => isClosed, 'the deaf one was cut off')
  })
})

/** So many reasons of 7,000 bytes are more than the system and the server keep for anybody. */
const DEAF = 200

/** A client that has come in, holds many tokens, and reads nothing any more. */
async function deaf(server: TokenServer): Promise<{ socket: Socket; closed: Promise<unknown> }> {
  const { socket, closed } = await stranger(server)
  const rules = { place: 'here', classify: () => 'gone' as const }
  const session = { id: 'deaf', host: 'h', pid: 1, ttl: 600_000 }
  const link = await openLink(rules, session, { notice: () => {}, lost: () => {} }, never, (opening) => {
    opening.own(socket, (one) => void one.destroy())
    return new Promise<WireLink>((resolve) => {
      const made: WireLink = new WireLink(opening, {
        send: (bytes) => void socket.write(bytes),
        key: new Uint8Array(),
        nonce: crypto.getRandomValues(new Uint8Array(32)),
        opened: () => resolve(made),
      })
      socket.on('data', (chunk: Buffer) => made.receive(chunk))
      made.begin()
    })
  })
  const topicOf = (id: number) => ({ name: `deaf-${id}`, runId: '' })
  const holders = Array.from({ length: DEAF }, (_, id) => ({ id, topic: topicOf(id), state: 0, role: 0, since: 0 }))
  await link.enter(holders)
  socket.pause()
  return { socket, closed }
}

it('requests and answers that exceed a frame are split', { timeout: 60_000 }, async () => {
  await using server = await TokenServer.listen({ port: 0, limits: { frame: 16_384 } })
  await using hub = await connectHub(server.url)
  const tokens = Array.from({ length: 300 }, (_, id) => hub.open(`${id}-${'n'.repeat(200)}`))
  await Promise.all(tokens.map(({ ready }) => ready))
  assert.equal((await hub.list()).length, tokens.length)
})

describe('the socket of a server', { skip: process.platform === 'win32' && 'pipes have no files' }, () => {
  let paths = 0
  const newPath = () => join(folder, `place-${++paths}`)
  const beside = (path: string) =>
    readdirSync(folder).filter((name) => name.startsWith(`${basename(path)}.`) || name.startsWith('.c'))

  it('belongs to one of those that start at once', async () => {
    for (let round = 0; round < 20; round++) {
      const path = newPath()
      // What a killed server has left makes it harder.
      if (round % 2 === 0) deadSocket(path)
      const tries = await Promise.allSettled(Array.from({ length: 6 }, () => TokenServer.listen({ path })))
      const ready = tries.filter((one) => one.status === 'fulfilled').map(({ value }) => value)
      for (const one of tries)
        if (one.status === 'rejected') assert.match(String(one.reason), /another server is listening at/)
      assert.equal(ready.length, 1)
      await using hub = await connectHub((ready[0] as TokenServer).url)
      await hub.list()
      await ready[0]?.close()
      assert.deepEqual(beside(path), [])
      assert.ok(!existsSync(path))
    }
  })

  it('of a server that is stopped is not taken for dead', async () => {
    const path = newPath()
    const child = spawn(process.execPath, [fileURLToPath(new URL('server.child.js', import.meta.url)), path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    try {
      await once(child.stdout, 'data')
      child.kill('SIGSTOP')
      await assert.rejects(TokenServer.listen({ path }), { code: 'ERR_HUB_REFUSED' })
      child.kill('SIGCONT')
      await using hub = await connectHub(`unix:${path}`)
      await hub.list()
    } finally {
      child.kill('SIGKILL')
    }
  })

  it('that is removed is made again, and the connections go on', async () => {
    using clock = manualClock()
    const path = newPath()
    await using server = await TokenServer.listen({ path })
    await using before = await connectHub(server.url)
    const token = before.open('job')
    await token.ready
    rmSync(path)
    await waitFor(clock, () => existsSync(path))
    await using after = await connectHub(server.url)
    await after.cancel('job')
    await waitFor(clock, () => token.cancelled)
    await server.close()
    assert.ok(!existsSync(path))
  })

  it('that is replaced ends the server, which says why and leaves the other one alone', async () => {
    using clock = manualClock()
    const path = newPath()
    const server = await TokenServer.listen({ path })
    rmSync(path)
    await using other = await TokenServer.listen({ path })
    const reason = server.closed.then(
      () => 'closed',
      (error: unknown) => (error as { code: string }).code,
    )
    let outcome: string | undefined
    void reason.then((one) => (outcome = one))
    await waitFor(clock, () => outcome !== undefined)
    assert.equal(outcome, 'ERR_HUB_REFUSED')
    await server.close()
    await using hub = await connectHub(other.url)
    await hub.list()
  })

  it('that has become that of another server is left by close', async () => {
    const path = newPath()
    const server = await TokenServer.listen({ path })
    rmSync(path)
    await using other = await TokenServer.listen({ path })
    await server.close()
    await using hub = await connectHub(other.url)
    await hub.list()
  })
})

/** Lets time pass, and the system do its part, until it is so. */
async function waitFor(clock: ReturnType<typeof manualClock>, isSo: () => boolean): Promise<void> {
  for (let round = 0; !isSo(); round++) {
    assert.ok(round < 2_000, 'it happens')
    await clock.advance(200)
    await delay(5)
  }
}

function deadSocket(path: string): void {
  const program = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
  spawnSync(process.execPath, ['-e', program])
}

describe('limits of what a server keeps', () => {
  it('too many marks are refused, and told, and what is there goes on', async () => {
    await using server = await TokenServer.listen({ port: 0, limits: { marks: 2 } })
    const hub = await connectHub(server.url)
    const refused: string[] = []
    hub.onEvent((event) => event.type === 'refused' && refused.push(event.name))
    await hub.cancel('a')
    await hub.cancel('b')
    assert.equal((await hub.cancel('c', undefined, { timeout: 50 })).delivered, false)
    assert.equal((await hub.cancel('a')).delivered, true)
    assert.deepEqual(refused, ['c'])
    // What is forgotten makes room, and what was refused is offered again.
    await hub.forget('a')
    assert.equal((await hub.cancel('c')).delivered, true)
    await hub.close()
  })

  it('too many tokens of one connection are refused, and told', async () => {
    await using server = await TokenServer.listen({ port: 0, limits: { names: 10 } })
    await using hub = await connectHub(server.url)
    const refused: string[] = []
    hub.onEvent((event) => event.type === 'refused' && refused.push(event.error.message))
    const tokens = Array.from({ length: 11 }, (_, i) => hub.open(`t${i}`))
    await until(() => refused.length > 0, 'it is told')
    assert.match(refused[0] ?? '', /at most 10 tokens/)
    tokens.pop()?.close()
    await Promise.all(tokens.map(({ ready }) => ready))
  })
})

describe('TLS', () => {
  it('carries a hub', async (t) => {
    const { execFileSync } = await import('node:child_process')
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
    try {
      execFileSync(
        'openssl',
        [
          'req',
          '-x509',
          '-newkey',
          'rsa:2048',
          '-nodes',
          '-keyout',
          key,
          '-out',
          cert,
          '-days',
          '2',
          '-subj',
          '/CN=localhost',
          '-addext',
          'subjectAltName=DNS:localhost,IP:127.0.0.1',
        ],
        { stdio: 'ignore' },
      )
    } catch (error) {
      const skip = skipWithout('openssl', found('openssl'))
      if (skip === false) throw error
      t.skip(skip)
      return
    }
    const { readFileSync } = await import('node:fs')
    const ca = readFileSync(cert)
    await using server = await TokenServer.listen({
      port: 0,
      host: 'localhost',
      key: 'the key over TLS here',
      tls: { key: readFileSync(key), cert: ca },
      limits: { handshakes: 1 },
    })
    assert.match(server.url, /^tls:\/\/localhost:\d+$/)
    await using one = await connectHub(server.url, { key: 'the key over TLS here', tls: { ca } })
    await using two = await connectHub(server.url, { key: 'the key over TLS here', tls: { ca } })
    const token = two.open('t')
    await token.ready
    await one.cancel('t', 'stop', { timeout: 120_000, until: 'acknowledged' })
    assert.equal(token.reason, 'stop')
    // Nobody vouches for it; it is vouched for, but under another name; and it is the right one, but the key is not.
    const trying = (options: object) => connectHub(server.url, { key: 'the key over TLS here', ...options })
    const refused = (message: RegExp) => ({ code: 'ERR_HUB_UNREACHABLE', message })
    await assert.rejects(trying({}), refused(/self-signed certificate/))
    await assert.rejects(trying({ tls: { ca, servername: 'elsewhere' } }), refused(/does not match certificate/))
    await assert.rejects(trying({ tls: { ca }, key: 'another key over TLS' }), isHubError('ERR_HUB_AUTH'))
    await assert.rejects(
      connectHub(server.url.replace('tls:', 'tcp:'), { key: 'the key over TLS here', timeout: 2_000 }),
    )
    assert.deepEqual([one.state, two.state], ['connected', 'connected'])
  })
})

describe('a server that is none', () => {
  it('is found out, whatever it says', async () => {
    const answers: Buffer[] = [
      Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'),
      Buffer.from(
        protocol.encode({ type: 'welcome', mac: new Uint8Array(32), frame: 100_000, sinceRestart: undefined }),
      ),
      Buffer.from(protocol.encode({ type: 'done', id: 1, yes: true })),
      Buffer.concat([
        protocol.encode({ type: 'challenge', version: 1, nonce: new Uint8Array(32) }),
        protocol.encode({ type: 'welcome', mac: new Uint8Array(32), frame: 100_000, sinceRestart: undefined }),
      ]),
    ]
    for (const answer of answers) {
      const fake = createServer((socket) => {
        socket.on('error', () => {})
        socket.write(answer)
      })
      fake.listen(0, '127.0.0.1')
      await once(fake, 'listening')
      const { port } = fake.address() as { port: number }
      await assert.rejects(connectHub(`tcp://127.0.0.1:${port}`), /./)
      fake.close()
    }
  })

  it('and says nothing is given up in time', async () => {
    const fake = createServer((socket) => void socket.on('error', () => {}))
    fake.listen(0, '127.0.0.1')
    await once(fake, 'listening')
    const { port } = fake.address() as { port: number }
    await assert.rejects(connectHub(`tcp://127.0.0.1:${port}`, { timeout: 50 }), isHubError('ERR_HUB_UNREACHABLE'))
    fake.close()
  })
})
