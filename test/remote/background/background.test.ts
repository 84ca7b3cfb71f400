/** A hub whose connection lives in a thread keeps the same promises, and some more. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import process from 'node:process'
import { after, describe, it } from 'node:test'
import type { Worker } from 'node:worker_threads'
import { fileURLToPath } from 'node:url'
import { SimpleToken } from 'calloff'
import type { HubError, RemoteToken, TokenHub } from 'calloff/remote'
import { connectHub, TokenServer } from 'calloff/remote'
import { hubConformance } from 'calloff/testing'
import { engineFor } from '../inside.js'
import { proxyTo } from '../proxy.js'
import { runtimes } from '../../node/programs.js'

const key = 'the key of this very test'

/** A background hub that is closed with the test. */
async function background(url: string, options?: object): Promise<TokenHub> {
  return connectHub(url, { background: true, key, ...options })
}

interface Child {
  says(line: string): Promise<void>
  readonly ended: Promise<{ readonly code: number | null; readonly lines: readonly string[]; readonly errors: string }>
  kill(): void
}

/** Cases that need nothing special. */
const isTried = new Set<string>()

const program = fileURLToPath(new URL('background.child.js', import.meta.url))

function start({ command, before }: (typeof runtimes)[number], ...args: string[]): Child {
  const child = spawn(command, [...before, program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let out = ''
  let errors = ''
  const watchers = new Set<() => void>()
  const look = () => {
    for (const one of watchers) one()
  }
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text
    look()
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text))
  const lines = () => out.split('\n').slice(0, -1)
  const watchdog = setTimeout(() => child.kill('SIGKILL'), 60_000)
  const ended = new Promise<Awaited<Child['ended']>>((resolve) => {
    child.once('close', (code) => {
      clearTimeout(watchdog)
      resolve({ code, lines: lines(), errors })
      look()
    })
  })
  return {
    ended,
    kill: () => void child.kill('SIGKILL'),
    says: (line) =>
      new Promise((resolve, reject) => {
        const one = () => {
          if (lines().includes(line)) resolve()
          else if (child.exitCode === null && child.signalCode === null) return
          else reject(new Error(`it ended without saying ${line}: ${out} ${errors}`))
          watchers.delete(one)
        }
        watchers.add(one)
        one()
      }),
  }
}

describe('a background hub', async () => {
  const server = await TokenServer.listen({ port: 0, key })
  after(() => server.close())
  const cases = hubConformance({
    connect: (given) => background(server.url, given),
    engine: () => engineFor(server.url, key),
  })
  for (const { name, run } of cases) {
    isTried.add(name)
    it(name, run)
  }
})

describe('a background hub over connections that are cut', async () => {
  const server = await TokenServer.listen({ port: 0, key })
  const proxy = await proxyTo(Number(new URL(server.url).port))
  after(async () => {
    await proxy.close()
    await server.close()
  })
  const cases = hubConformance({
    connect: (given) => background(`tcp://127.0.0.1:${proxy.port}`, given),
    cut: () => proxy.cut(),
  })
  for (const { name, run } of cases) if (!isTried.has(name)) it(name, run)
})

for (const runtime of runtimes) {
  describe(`a background hub on ${runtime.name}`, { skip: runtime.skip }, async () => {
    const server = await TokenServer.listen({ port: 0 })
    const hub = await connectHub(server.url)
    after(async () => {
      await hub.close()
      await server.close()
    })
    const long = 'x'.repeat(5_000)

    for (const how of ['busy', 'sleep']) {
      it(`is seen by a loop that never yields, with all that there is to know (${how})`, async () => {
        const child = start(runtime, server.url, `job-${how}`, how)
        await child.says('ready')
        const receipt = await hub.cancel(`job-${how}`, new RangeError(long), { timeout: 120_000 })
        const { lines, code, errors } = await child.ended
        assert.equal(code, 0, errors)
        const told = JSON.parse(lines.at(-1) as string) as { kind: string; reason: string; who: { pid: number } }
        assert.deepEqual([told.kind, told.reason, told.who.pid], ['manual', 'RangeError: 5000', process.pid])
        assert.deepEqual([receipt.holders, receipt.finished], [1, 1])
      })
    }

    it('renews a lease while its owner is busy', async () => {
      const child = start(runtime, server.url, 'shard', 'lease')
      await child.says('watching')
      const follower = hub.open('shard')
      await follower.ready
      // Three times as long as it would live without.
      await new Promise((resolve) => setTimeout(resolve, 1_800))
      assert.equal(follower.cancelled, false)
      await hub.cancel('shard-stop')
      const { lines } = await child.ended
      assert.equal(lines.at(-1), 'lease held')
    })

    it('ends a lease of an owner that is killed', async () => {
      const child = start(runtime, server.url, 'shard-2', 'lease')
      await child.says('watching')
      const follower = hub.open('shard-2')
      await follower.ready
      child.kill()
      assert.equal((await follower.wait({ timeout: 120_000 })).kind, 'lease')
      await child.ended
    })

    it('heeds onDisconnect in a loop that never yields', async () => {
      const own = await TokenServer.listen({ port: 0 })
      const child = start(runtime, own.url, 'job', 'cut')
      await child.says('ready')
      await own.close()
      const { lines } = await child.ended
      assert.equal((JSON.parse(lines.at(-1) as string) as { kind: string }).kind, 'disconnect')
    })

    it('does not keep its process alive, but for what is to be delivered', async () => {
      assert.deepEqual((await start(runtime, server.url, 'leave', 'leave').ended).lines, ['ready'])
      assert.equal((await start(runtime, server.url, 'exit', 'exit').ended).code, 7)
      const { code, errors } = await start(runtime, server.url, 'cancelled', 'cancel').ended
      assert.equal(code, 0, errors)
      const late = hub.open('cancelled')
      await late.ready
      assert.equal(late.reason, 'by the child')
    })
  })
}

describe('the thread of a background hub', () => {
  it('is started again when it has died, which is told; what was open learns of what happens then', async () => {
    const server = await TokenServer.listen({ port: 0, key })
    const threads: Worker[] = []
    const see = (worker: Worker) => void threads.push(worker)
    process.on('worker', see)
    const hub = await background(server.url, { disconnectAfter: 60_000 })
    const events: string[] = []
    hub.onEvent((event) => {
      events.push(event.type === 'disconnected' ? `${event.type} ${(event.error as HubError).code}` : event.type)
    })
    const exposed = new SimpleToken({ name: 'exposed' })
    const tokens = [hub.open('first'), hub.open('second', { onDisconnect: 'cancel' })]
    const exposure = hub.expose('third', exposed, { cancellable: true })
    await Promise.all([...tokens, exposure].map(({ ready }) => ready))
    const dead = hub.list().catch((error: unknown) => error)
    await threads[0]?.terminate()
    assert.equal(((await dead) as HubError | readonly unknown[]) instanceof Error || Array.isArray(await dead), true)
    // Made while nobody is there.
    const mine = hub.open('fourth')
    mine.cancel('while it was dead')
    assert.equal(mine.cancelled, true)
    await mine.delivered
    assert.deepEqual(events, ['disconnected ERR_HUB_UNREACHABLE', 'connected'])
    assert.equal(hub.state, 'connected')
    const other = await connectHub(server.url, { key })
    for (const name of ['first', 'second', 'third']) {
      const receipt = await other.cancel(name, 'later', { timeout: 120_000, until: 'acknowledged' })
      assert.deepEqual([receipt.holders, receipt.acknowledged], [1, 1])
    }
    assert.deepEqual(
      [...tokens, exposed].map(({ reason }) => reason),
      ['later', 'later', 'later'],
    )
    const late = other.open('fourth')
    await late.ready
    assert.equal(late.reason, 'while it was dead')
    await other.close()
    await hub.close()
    process.off('worker', see)
    await server.close()
  })

  it('when it is started again, closed tokens have no holders, and a lease that its token still has is not taken twice', async () => {
    await using server = await TokenServer.listen({ port: 0, key })
    const threads: Worker[] = []
    const see = (worker: Worker) => void threads.push(worker)
    process.on('worker', see)
    await using hub = await background(server.url)
    process.off('worker', see)
    const first = await hub.lease('lease', { ttl: 60_000 })
    const tokens = ['a', 'b', 'c', 'd'].map((name) => hub.open(name))
    await Promise.all(tokens.map(({ ready }) => ready))
    tokens[0]?.close()
    await hub.list() // the worker is told before it ends
    const connected = new Promise<void>((resolve) => hub.onEvent(({ type }) => type === 'connected' && resolve()))
    await threads[0]?.terminate()
    tokens[2]?.close() // there is no worker to be told
    await connected
    await assert.rejects(hub.lease('lease', { ttl: 60_000 }), { code: 'ERR_LEASE_HELD' })
    assert.equal(first.cancelled, false)
    await hub.open('e').ready
    const holders = Object.fromEntries((await hub.list()).map((one) => [one.name, one.holders.length]))
    assert.deepEqual(holders, { b: 1, d: 1, e: 1, lease: 1 })
  })

  it('when it dies, tokens with onDisconnect: "cancel" end after a while, and leases by their deadline', async () => {
    const server = await TokenServer.listen({ port: 0, key })
    const threads: Worker[] = []
    const see = (worker: Worker) => void threads.push(worker)
    process.on('worker', see)
    const options = { disconnectAfter: 0, backOff: { first: 60_000, most: 120_000 } }
    const hub = await background(server.url, options)
    const kept = hub.open('kept')
    const ended = hub.open('ended', { onDisconnect: 'cancel' })
    const lease = await hub.lease('lease', { ttl: 500 })
    await Promise.all([kept.ready, ended.ready])
    await threads[0]?.terminate()
    assert.equal((await ended.wait()).kind, 'disconnect')
    assert.equal((await lease.wait()).kind, 'lease')
    assert.deepEqual([kept.cancelled, hub.state], [false, 'disconnected'])
    await assert.rejects(hub.list(), { code: 'ERR_HUB_UNREACHABLE' })
    kept.cancel('in vain')
    await assert.rejects(hub.close({ timeout: 10 }), { code: 'ERR_HUB_UNREACHABLE' })
    process.off('worker', see)
    await server.close()
  })

  it('refuses what cannot go there', async () => {
    await assert.rejects(connectHub(engineFor('tcp://127.0.0.1:1'), { background: true }), {
      name: 'TypeError',
      message: /^url must be a string or a URL, because `background` cannot move an engine/,
    })
    await assert.rejects(
      connectHub('tls://127.0.0.1:1', { background: true, tls: { checkServerIdentity: () => undefined } }),
      { name: 'TypeError', message: /^options must be plain data with `background`/ },
    )
    await assert.rejects(connectHub('tcp://127.0.0.1:1', { background: 1 as never }), { name: 'TypeError' })
    await assert.rejects(background('tcp://127.0.0.1:1'), { name: 'HubError', code: 'ERR_HUB_UNREACHABLE' })
    await assert.rejects(background('gopher://127.0.0.1'), { name: 'HubError', code: 'ERR_HUB_SCHEME' })
  })

  const wrong = (program: string) => new URL(`data:text/javascript,${encodeURIComponent(program)}`)
  for (const [what, worker, said] of [
    ['is missing', new URL('no-such-program.mjs', import.meta.url), /no-such-program/],
    ['ends at once', wrong('1'), /it ended at once/],
    ['throws', wrong('throw new Error("another program")'), /another program/],
  ] as const) {
    it(`says what to do where its program ${what}`, async () => {
      await assert.rejects(background('tcp://127.0.0.1:1', { worker }), (error: HubError) => {
        assert.deepEqual([error.name, error.code], ['HubError', 'ERR_HUB_WORKER'])
        assert.match(error.message, said)
        assert.match(error.message, /bundle calloff\/remote\/worker .* as `worker`$/)
        return true
      })
    })
  }

  it('takes the place of its program', async () => {
    const server = await TokenServer.listen({ port: 0, key })
    const url = new URL(import.meta.resolve('calloff/remote/worker'))
    for (const worker of [url, fileURLToPath(url)]) {
      const hub = await background(server.url, { worker })
      const token = hub.open(`with ${typeof worker}`)
      await token.ready
      await hub.close()
    }
    await server.close()
    await assert.rejects(background(server.url, { worker: 7 }), { name: 'TypeError', message: /^worker must be/ })
    await assert.rejects(connectHub(server.url, { key, worker: url }), {
      name: 'TypeError',
      message: /^worker works with background/,
    })
  })

  it('leaves nothing behind', async () => {
    const server = await TokenServer.listen({ port: 0, key })
    const resources = () => process.getActiveResourcesInfo().filter((name) => /Worker|MessagePort|Socket/.test(name))
    const before = resources().length
    for (let i = 0; i < 3; i++) {
      const hub = await background(server.url)
      const token: RemoteToken = hub.open('job')
      await token.ready
      await hub.close()
      await hub.close()
      assert.deepEqual([token.kind, hub.state], ['dispose', 'closed'])
      assert.throws(() => hub.open('job'), { code: 'ERR_HUB_CLOSED' })
    }
    await server.close()
    assert.ok(resources().length <= before, String(resources()))
  })
})
