/** `calloff serve --http` and `calloff ui`. What the page itself does is in test/http/page.test.ts. */
import assert from 'node:assert/strict'
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import process from 'node:process'
import { describe, it } from 'node:test'
import { until, User } from './calloff.js'

const skip = process.platform === 'win32' ? 'these commands are for POSIX' : false

interface Ready {
  readonly url: string
  readonly page: string
}

async function serve(user: User, ...args: string[]) {
  const server = user.start(['serve', '--json', '--http', '127.0.0.1:0', ...args])
  let ready: Ready | undefined
  server.child.stdout?.on('data', (chunk: string) => (ready ??= JSON.parse(chunk) as Ready))
  await server.printed('\n')
  await until(() => ready !== undefined, 'it is ready')
  const { page, url } = ready as Ready
  const [address = '', token = ''] = page.split('#token=')
  return { ...server, url, link: page, address, token }
}

/** Sends a request with any headers, which `fetch` does not. Resolves with the status. */
function statusOf(url: string, headers: Record<string, string>, method = 'GET'): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method, headers, agent: false }, (response) => {
      response.resume().once('end', () => resolve(response.statusCode))
    })
    sent.once('error', reject).end()
  })
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

describe('calloff serve --http', { skip, concurrency: 4 }, () => {
  it('prints the link after the URL of the hub, and the link lets in', async () => {
    const user = new User()
    const server = user.start(['serve', '--http', '127.0.0.1:0'])
    await server.printed(/^ready unix:\S+\npage http:\/\/127\.0\.0\.1:\d+\/#token=[\w-]{43}\n$/)
    const { stdout } = await user.run('ui', '--print')
    const [address = '', token = ''] = stdout.trim().split('#token=')
    assert.equal((await fetch(`${address}v1/names`, { headers: bearer(token) })).status, 200)
    const page = await fetch(address)
    assert.match(page.headers.get('content-security-policy') ?? '', /default-src 'none'/)
    assert.ok(!(await page.text()).includes(token))
  })

  it('cancels what runs under a name, and the answer is the receipt', async () => {
    const user = new User()
    const { address, token } = await serve(user)
    const program = user.start(['run', '--name', 'demo', '--', 'sh', '-c', 'echo up; sleep 600'])
    await program.printed('up')
    const answer = await fetch(`${address}v1/cancel?name=demo`, {
      method: 'POST',
      headers: { ...bearer(token), 'content-type': 'application/json' },
      body: JSON.stringify({ reason: 'seen enough', timeout: 60_000 }),
    })
    const { holders, finished } = (await answer.json()) as { holders: number; finished: number }
    assert.deepEqual([answer.status, holders, finished], [200, 1, 1])
    const { code, stderr } = await program.ended
    assert.equal(code, 125)
    assert.match(stderr, /: seen enough\n$/)
  })

  it('refuses each request without the token', async () => {
    const { address, token } = await serve(new User())
    const requests: readonly (readonly [method: string, path: string])[] = [
      ['GET', 'v1/names'],
      ['GET', 'v1/name?name=x'],
      ['GET', 'v1/events?prefix='],
      ['GET', 'v1/hold?name=x'],
      ['POST', 'v1/cancel?name=x'],
      ['POST', 'v1/forget?name=x'],
    ]
    const wrong = [{}, bearer(''), bearer(`${token}x`), bearer(token.slice(1)), { authorization: token }]
    for (const [method, path] of requests) {
      for (const headers of wrong) {
        assert.equal(await statusOf(address + path, headers as Record<string, string>, method), 401, path)
      }
    }
  })

  it('refuses a request for another host, with the token and without it', async () => {
    const { address, token } = await serve(new User())
    const { port } = new URL(address)
    for (const host of [`evil.example:${port}`, 'evil.example', `127.0.0.1.evil.example:${port}`, '10.0.0.1', 'x y']) {
      assert.equal(await statusOf(address, { host }), 421, host)
      assert.equal(await statusOf(`${address}v1/names`, { host, ...bearer(token) }), 421, host)
    }
    // A port may be forwarded.
    for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, 'LOCALHOST:8080', '[::1]:8080']) {
      assert.equal(await statusOf(`${address}v1/names`, { host, ...bearer(token) }), 200, host)
    }
  })

  it('keeps the token in a file that no other user can read, and uses it again', async () => {
    const user = new User()
    const first = await serve(user)
    const file = join(user.folder, 'calloff', 'page-token')
    assert.equal(readFileSync(file, 'utf8'), `${first.token}\n`)
    assert.equal(Buffer.from(first.token, 'base64url').length, 32)
    assert.equal(statSync(file).mode & 0o777, 0o600)
    first.child.kill('SIGTERM')
    assert.equal((await first.ended).code, 0)
    assert.equal((await serve(user)).token, first.token)
    assert.notEqual((await serve(new User())).token, first.token)
  })

  it('does not use a token that other users can read', async () => {
    const user = new User()
    const first = await serve(user)
    first.child.kill('SIGTERM')
    await first.ended
    chmodSync(join(user.folder, 'calloff', 'page-token'), 0o644)
    const { code, stdout, stderr } = await user.run('serve', '--http', '127.0.0.1:0')
    assert.deepEqual([code, stdout], [1, ''])
    assert.match(stderr, /^calloff: refusing to use the key in \S+\/page-token: other users can read it/)
  })

  it('says that it cannot listen, and leaves no hub behind', async () => {
    const user = new User()
    const { address, child } = await serve(user)
    const other = new User()
    const { code, stdout, stderr } = await other.run('serve', '--http', new URL(address).host)
    assert.deepEqual([code, stdout], [1, ''])
    assert.match(stderr, /^calloff: the page cannot be served: .*EADDRINUSE/)
    assert.ok(!existsSync(join(other.folder, 'calloff', 'hub.sock')))
    child.kill('SIGTERM')
  })

  it('--hub serves the page for a hub that is elsewhere, and ends without it', async () => {
    const owner = new User()
    const hub = await owner.serve('--listen', 'tcp://127.0.0.1:0')
    const user = new User()
    const key = join(owner.folder, 'config', 'calloff', 'key')
    const page = await serve(user, '--hub', hub.url, '--key-file', key)
    assert.equal(page.url, hub.url)
    await owner.run('cancel', 'nightly', '--hub', hub.url)
    const answer = await fetch(`${page.address}v1/name?name=nightly`, { headers: bearer(page.token) })
    assert.equal(((await answer.json()) as { state: string }).state, 'cancelled')
    // It runs no hub of its own.
    assert.ok(!existsSync(join(user.folder, 'calloff', 'hub.sock')))
    page.child.kill('SIGTERM')
    assert.equal((await page.ended).code, 0)
    assert.equal((await owner.run('status', 'nightly', '--hub', hub.url)).code, 125)
  })

  it('--idle ends it although the page itself is connected to the hub', async () => {
    const { ended } = await serve(new User(), '--idle', '100ms')
    assert.equal((await ended).code, 0)
  })

  it('a client with an open stream does not keep it from ending', async () => {
    const { child, ended, address, token } = await serve(new User())
    const stream = await fetch(`${address}v1/events?prefix=`, { headers: bearer(token) })
    child.kill('SIGTERM')
    assert.equal((await ended).code, 0)
    await stream.text().catch(() => {})
  })
})

describe('calloff ui', { skip, concurrency: 4 }, () => {
  it('prints the link while a page is served, and says what to do otherwise', async () => {
    const user = new User()
    const none = await user.run('ui')
    assert.deepEqual([none.code, none.stdout], [1, ''])
    assert.match(none.stderr, /^calloff: no page is served; start one with calloff serve --http 127\.0\.0\.1:4748\n$/)
    const { child, ended, link } = await serve(user)
    assert.equal((await user.run('ui', '--print')).stdout, `${link}\n`)
    assert.deepEqual(JSON.parse((await user.run('ui', '--json')).stdout), { page: link })
    child.kill('SIGTERM')
    await ended
    assert.equal((await user.run('ui')).code, 1)
  })

  it('does not give the token to a program that listens where a killed server was', async () => {
    const user = new User()
    const { child, ended } = await serve(user)
    child.kill('SIGKILL')
    await ended
    assert.deepEqual((await user.run('ui')).stdout, '')
  })

  it('opens the link in the browser, without the token among the arguments', async () => {
    const user = new User()
    const { link } = await serve(user)
    const opener = process.platform === 'darwin' ? 'open' : 'xdg-open'
    const told = join(user.folder, 'told')
    writeFileSync(
      join(user.folder, 'bin', opener),
      `#!/bin/sh\nprintf '%s\\n' "$*" > '${told}.new'; mv '${told}.new' '${told}'\n`,
      { mode: 0o755 },
    )
    const opened = await user.start(['ui'], { env: { DISPLAY: ':99' } }).ended
    assert.deepEqual([opened.code, opened.stdout], [0, `${link}\n`])
    await until(() => existsSync(told), 'the browser is started')
    const file = new URL(readFileSync(told, 'utf8').trim())
    assert.equal(file.protocol, 'file:')
    assert.ok(readFileSync(file, 'utf8').includes(`url=${link}"`))
    assert.equal(statSync(file).mode & 0o777, 0o600)
  })
})
