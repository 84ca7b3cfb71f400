/** What the tokens of a hub are here: tokens like any other, with and without a connection. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Worker } from 'node:worker_threads'
import { allOf, anyOf, isCancellation, SimpleToken } from 'calloff'
import { connectHub, type HubError, type HubEvent, type HubOptions, type TokenHub, TokenServer } from 'calloff/remote'
import type { Engine, LinkEvents, TopicState } from 'calloff/remote/engine'
import { share } from 'calloff/threads'
import { uncaught } from '../../behaviour/helpers.js'
import { engineFor } from '../inside.js'

const folder = mkdtempSync(join(tmpdir(), 'calloff-hub-'))
after(() => rmSync(folder, { recursive: true, force: true }))

async function until(isSo: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const began = performance.now()
  while (!(await isSo())) {
    assert.ok(performance.now() - began < 120_000, what)
    await delay(5)
  }
}

const isHubError = (code: string) => (error: unknown) => (error as HubError).code === code

const server = await TokenServer.listen({ port: 0 })
const [here, there] = [await connectHub(server.url), await connectHub(server.url)]
after(async () => {
  await Promise.all([here.close(), there.close()])
  await server.close()
})
let names = 0
const name = () => `name-${++names}`

describe('a token that is opened after a mark was forgotten', () => {
  it('is not called off by an answer from before', async () => {
    const inner = engineFor(server.url)
    let hold = Promise.resolve()
    let held = 0
    const engine: Engine = {
      place: 'slow',
      async connect(...given) {
        const link = await inner.connect(...given)
        const enter = link.enter.bind(link)
        link.enter = async (holders) => {
          const states = await enter(holders)
          held++
          await hold
          held--
          return states
        }
        return link
      },
    }
    await using slow = await connectHub(engine)
    const at = name()
    const old = slow.open(at)
    await old.ready
    let release = () => {}
    hold = new Promise((resolve) => (release = resolve))
    await here.cancel(at)
    await until(() => old.cancelled && held === 1, 'the old one says that it has seen it')
    await here.forget(at)
    const fresh = slow.open(at)
    release()
    await fresh.ready
    assert.equal(fresh.cancelled, false)
    // What comes later counts.
    await here.cancel(at, 'again')
    await until(() => fresh.cancelled, 'the new one ends')
  })

  it('a notice of a mark that is forgotten since does not end who has just opened the name', async () => {
    const engine = engineFor(server.url)
    const heard: TopicState[] = []
    let notice: LinkEvents['notice'] = () => {}
    await using hub = await connectHub({
      place: engine.place,
      connect: (session, events, token) => {
        notice = (state) => {
          heard.push(state)
          events.notice(state)
        }
        return engine.connect(session, { ...events, notice, lost: (error) => events.lost(error) }, token)
      },
    })
    const at = name()
    const old = hub.open(at)
    await old.ready
    await here.cancel(at, 'stop')
    await until(() => old.cancelled, 'the old one ends')
    const late = heard.find(({ mark }) => mark)
    assert.ok(late)
    await here.forget(at)
    const fresh = hub.open(at)
    await fresh.ready
    notice(late)
    assert.equal(fresh.cancelled, false)
    await hub.list(at)
    assert.equal(fresh.cancelled, false)
    await here.cancel(at, 'again')
    await until(() => fresh.cancelled, 'what is true ends it')
  })
})

describe('a remote token is a token like any other', () => {
  it('summed, nested, raced, made a signal and composed', async () => {
    const at = name()
    const token = here.open(at)
    await token.ready
    const sum = anyOf(new SimpleToken(), token)
    const child = new SimpleToken(token)
    const both = allOf(token, new SimpleToken({ cancelled: true }))
    const refused = assert.rejects(
      token.race(new Promise(() => {})),
      (error) => error === token.error && isCancellation(error, child),
    )
    const { signal } = child
    await there.cancel(at, 'stop', { timeout: 120_000, until: 'acknowledged' })
    assert.deepEqual([sum.cancelled, child.cancelled, both.cancelled, signal.aborted], [true, true, true, true])
    assert.equal(signal.reason, token.error)
    await refused
    assert.match(
      token.error!.message,
      new RegExp(`^token "${at}" was cancelled in process ${process.pid} on .+: stop$`),
    )
    assert.equal(token.error!.name, 'AbortError')
  })

  it('reads as the call that makes it', async () => {
    assert.equal(String(here.open("it's")), `hub.open('it\\'s')`)
    assert.equal(String(here.open('a', { runId: '2' })), `hub.open('a', { runId: '2' })`)
    const at = name()
    using lease = await here.lease(at, { ttl: 10_000 })
    assert.equal(String(new SimpleToken(lease)), `SimpleToken(hub.lease('${at}'))`)
    assert.ok(lease.remaining > 0 && lease.remaining <= 10_000)
  })

  it('reaches a busy loop in a worker when it is shared', async () => {
    const at = name()
    const token = here.open(at)
    await token.ready
    using shared = share(token)
    const program = `
      const { workerData, parentPort } = require('node:worker_threads')
      import('calloff/threads').then(({ SharedToken }) => {
        const token = SharedToken.from(workerData)
        parentPort.postMessage('begun')
        while (token.keepOn());
        parentPort.postMessage(token.reason)
      })`
    const worker = new Worker(program, { eval: true, workerData: shared.handle })
    const said: unknown[] = []
    worker.on('message', (what) => {
      said.push(what)
      if (what === 'begun') void there.cancel(at, 'stop')
    })
    await until(() => said.length === 2, 'the loop ends')
    assert.deepEqual(said, ['begun', 'stop'])
    await worker.terminate()
  })

  it('has one error for one cancellation, also in several tokens of its name', async () => {
    const at = name()
    const [one, two] = [here.open(at), here.open(at)]
    await Promise.all([one.ready, two.ready])
    await there.cancel(at)
    await Promise.all([one.wait(), two.wait()])
    assert.equal(one.error, two.error)
  })

  it('closed, ends here alone', async () => {
    const at = name()
    const [mine, theirs] = [here.open(at), there.open(at)]
    await Promise.all([mine.ready, theirs.ready])
    mine.close()
    mine.close()
    assert.deepEqual([mine.kind, mine.cancelled, mine.who], ['dispose', true, undefined])
    await assert.rejects(mine.delivered, isHubError('ERR_HUB_CLOSED'))
    await delay(50)
    assert.equal(theirs.cancelled, false)
  })

  it('is delivered even if it is closed right after its cancel', async () => {
    const at = name()
    const token = here.open(at).cancel('stop')
    token.close()
    await token.delivered
    const late = there.open(at)
    await late.ready
    assert.equal(late.reason, 'stop')
  })

  it('is told to be over where it was cancelled when the cancel is stored, with the others of its name there', async () => {
    const at = name()
    const tokens = [here.open(at), here.open(at)]
    await Promise.all(tokens.map(({ ready }) => ready))
    await tokens[0]?.cancel().delivered
    const states = async () => {
      const [listing] = await there.list(at)
      return listing?.holders.map(({ state }) => state).join(' ')
    }
    await until(async () => (await states()) === 'acknowledged acknowledged', 'both are')
  })

  it('takes what finished() is given, and gives it back', async () => {
    const token = here.open(name())
    const work = Promise.reject(new Error('failed'))
    assert.equal(token.finished(work), work)
    await assert.rejects(work, /failed/)
    assert.throws(() => token.finished(5 as never), /task must be a promise, got 5/)
  })
})

describe('22. the stack of a cancel by hand', () => {
  for (const background of [false, true]) {
    for (const how of ['token', 'hub'] as const) {
      it(`begins with the caller, for a listener of another token, too: by a ${how}, background ${background}`, async () => {
        await using hub = await connectHub(server.url, { background })
        const at = name()
        const [one, other] = [hub.open(at), hub.open(at)]
        const heard: (string | undefined)[] = []
        for (const token of [one, other]) token.onCancel(({ stack }) => heard.push(stack))
        function cancels(): Promise<unknown> {
          return how === 'token' ? one.cancel('why').delivered : hub.cancel(at, 'why')
        }
        await cancels()
        assert.equal(heard.length, 2)
        for (const stack of heard) assert.match(stack?.split('\n')[1] ?? '', /\bcancels\b/, stack)
      })
    }
  }
})

describe('bad input', () => {
  it('is refused by name', async () => {
    const bad = (what: () => unknown, message: RegExp) => assert.throws(what, message)
    bad(() => here.open(5 as never), /name must be a string, got 5/)
    bad(() => here.open(''), /name must not be empty/)
    bad(() => here.open('x'.repeat(257)), /name must have at most 256 bytes of UTF-8, got 257/)
    bad(() => here.open('a\0b'), /name must be well-formed text without NUL/)
    bad(() => here.open('\uD800'), /name must be well-formed text/)
    bad(() => here.open('a', { runId: 5 as never }), /runId must be a string, got 5/)
    bad(
      () => here.open('a', { onDisconnect: 'maybe' as never }),
      /onDisconnect must be 'keep' or 'cancel', got "maybe"/,
    )
    bad(() => here.expose('a', 5 as never), /token must be a token or an AbortSignal, got 5/)
    bad(() => here.onEvent(5 as never), /listener must be a function, got 5/)
    await assert.rejects(here.cancel('a', 0, { timeout: -1 }), /timeout must not be negative or NaN, got -1/)
    await assert.rejects(here.cancel('a', 0, { until: 'never' as never }), /until must be/)
    await assert.rejects(here.cancel('a', 0, { ttl: 0 }), /ttl must be 1 or more, and finite, got 0/)
    await assert.rejects(here.list(5 as never), /prefix must be a string/)
    await assert.rejects(here.forget(''), /name must not be empty/)
    await assert.rejects(here.lease('a', { ttl: 5 }), /ttl must be 100 or more, and finite, got 5/)
    await assert.rejects(here.lease('a', undefined as never), /ttl must be a number, got undefined/)
    const options: [unknown, HubOptions | undefined, RegExp][] = [
      [5, undefined, /url must be a string, a URL or an engine, got 5/],
      [null, undefined, /url must be/],
      ['nonsense', undefined, /url must be a valid URL, such as/],
      ['gopher://x', undefined, /there is no engine for gopher:/],
      ['nats://x', { key: 'k'.repeat(16) }, /key works with a TokenServer only; for nats: put the user/],
      ['tcp://x', undefined, /url must name a host and a port/],
      ['tcp://u:secret@x:5', undefined, /url must not have a user or a password/],
      ['unix:x', undefined, /absolute path/],
      [server.url, { key: 'short' }, /key must have at least 16 bytes/],
      [server.url, { timeout: 0 }, /timeout must be 1 or more/],
      [server.url, { sessionTtl: 5 }, /sessionTtl must be 100 or more/],
      [server.url, { lazy: 1 as never }, /lazy must be a boolean/],
      [server.url, { backOff: 5 as never }, /options must be a plain object/],
    ]
    for (const [url, given, message] of options) await assert.rejects(connectHub(url as string, given), message)
  })
})

describe('without a connection', () => {
  const impatient = { backOff: { first: 5, most: 50 }, timeout: 2_000 }

  it('a lazy hub is there at once, and its cancels are delivered when there is a server', async () => {
    const probe = await TokenServer.listen({ port: 0 })
    const port = Number(new URL(probe.url).port)
    await probe.close()
    await assert.rejects(connectHub(`tcp://127.0.0.1:${port}`), isHubError('ERR_HUB_UNREACHABLE'))
    await using hub = await connectHub(`tcp://127.0.0.1:${port}`, { ...impatient, lazy: true })
    const events: HubEvent[] = []
    hub.onEvent((event) => events.push(event))
    const token = hub.open('early').cancel('stop')
    assert.equal(token.cancelled, true)
    assert.equal((await hub.cancel('early', 'again', { timeout: 20 })).delivered, false)
    await until(() => events.length > 1, 'it is told')
    assert.equal(events[0]?.type, 'disconnected')
    await using late = await TokenServer.listen({ port })
    await token.delivered
    assert.equal(hub.state, 'connected')
    await using other = await connectHub(late.url)
    const seen = other.open('early')
    await seen.ready
    assert.equal(seen.reason, 'stop')
  })

  it('each that asked is told until it has enough; what one throws is an uncaught error, and does not keep it from the others', async () => {
    for (const inThread of [false, true]) {
      await using gone = await TokenServer.listen({ port: 0 })
      await using hub = await connectHub(gone.url, { ...impatient, background: inThread })
      const heard: string[] = []
      const fault = new Error('of the listener')
      const listener = () => void heard.push('first')
      const first = hub.onEvent(listener)
      const second = hub.onEvent(listener)
      const faulty = hub.onEvent(() => {
        throw fault
      })
      hub.onEvent(() => void heard.push('last'))
      assert.deepEqual([first.stop(), first.stop()], [true, false])
      const errors = await uncaught(async () => {
        await gone.close()
        await until(() => heard.includes('last'), 'it is told')
        second.stop()
        faulty.stop()
      })
      assert.ok(errors.length > 0)
      assert.ok(errors.every((error) => error === fault))
      assert.deepEqual(heard.slice(0, 2), ['first', 'last'])
    }
  })

  it('tokens are kept, or called off after a while if that was asked for', async () => {
    const gone = await TokenServer.listen({ port: 0 })
    const hub = await connectHub(gone.url, { ...impatient, onDisconnect: 'cancel', disconnectAfter: 30 })
    const [called, kept] = [hub.open('a'), hub.open('b', { onDisconnect: 'keep' })]
    await Promise.all([called.ready, kept.ready])
    const told: HubEvent[] = []
    hub.onEvent((event) => told.push(event))
    await gone.close()
    const error = await called.wait()
    assert.deepEqual(
      [error.kind, error.message],
      ['disconnect', 'token "a" was cancelled because its hub was out of reach'],
    )
    await until(() => told.some(({ type }) => type === 'gave-up'), 'it is told')
    assert.equal(kept.cancelled, false)
    await assert.rejects(called.delivered, isHubError('ERR_HUB_CLOSED'))
    // One that is opened meanwhile gets its own time.
    assert.equal((await hub.open('c').wait()).kind, 'disconnect')
    await hub.close({ timeout: 0 })
    assert.equal(kept.kind, 'dispose')
  })

  it('a hub that is closed with cancels under way says so', async () => {
    const gone = await TokenServer.listen({ port: 0 })
    const hub = await connectHub(gone.url, impatient)
    await gone.close()
    const token = hub.open('a').cancel()
    await assert.rejects(hub.close({ timeout: 20 }), /1 cancels were not delivered before the hub was closed/)
    await assert.rejects(token.delivered, isHubError('ERR_HUB_CLOSED'))
    for (const call of [() => hub.open('a'), () => hub.expose('a', token)])
      assert.throws(call, isHubError('ERR_HUB_CLOSED'))
    for (const call of [hub.cancel('a'), hub.list(), hub.lease('a', { ttl: 1_000 }), hub.forget('a')]) {
      await assert.rejects(call, isHubError('ERR_HUB_CLOSED'))
    }
    await hub.close()
  })

  it('the owner of a lease gives up by its own clock, even in a loop that never yields', async () => {
    const gone = await TokenServer.listen({ port: 0 })
    const hub = await connectHub(gone.url, impatient)
    const lease = await hub.lease('a', { ttl: 1_000 })
    await gone.close()
    const began = performance.now()
    while (lease.keepOn()) assert.ok(performance.now() - began < 120_000)
    assert.equal(lease.error?.message, 'token "a" was cancelled because its lease was lost')
    await hub.close({ timeout: 0 })
  })
})

describe('what is left behind', () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void

  it('of a token that is dropped while a caller awaits its promise: that promise', async () => {
    const collecting = setInterval(collect, 1)
    for (let i = 0; i < 20; i++) {
      await here.open(name()).cancel('stop').delivered
      await there.open(name()).ready
      collect()
    }
    clearInterval(collecting)
  })

  it('by tokens that are dropped: nothing, and the others are told', async () => {
    const stem = name()
    const kept: TokenHub[] = [here]
    const open = async () => {
      const tokens = Array.from({ length: 1_000 }, (_, i) => here.open(`${stem}-${i}`))
      await Promise.all(tokens.map(({ ready }) => ready))
    }
    await open()
    const heard: string[] = []
    here.open(`${stem}-listened`).onCancel(({ message }) => heard.push(message))
    await until(async () => {
      collect()
      return (await there.list(`${stem}-`)).length === 1
    }, 'what was dropped is taken off the list')
    await there.cancel(`${stem}-listened`)
    await until(() => heard.length === 1, 'a listener is told, though nobody keeps the token')
    assert.equal(kept.length, 1)
  })
})

describe('a process', () => {
  const program = fileURLToPath(new URL('../programs.child.js', import.meta.url))
  const run = async (which: string, during?: (line: string) => void) => {
    const { NODE_TEST_CONTEXT: _context, ...env } = process.env
    const child = spawn(process.execPath, [program, which, server.url], { env, stdio: ['ignore', 'pipe', 'inherit'] })
    const lines: string[] = []
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      for (const line of text.trim().split('\n')) {
        lines.push(line)
        during?.(line)
      }
    })
    const limit = setTimeout(() => child.kill('SIGKILL'), 120_000)
    const code = await new Promise((resolve) => void child.once('close', resolve))
    clearTimeout(limit)
    return { code, lines }
  }

  it('is not kept alive by a hub, nor by open tokens and leases', async () => {
    assert.deepEqual(await run('idle'), { code: 0, lines: ['has nothing to do'] })
  })

  it('lives until its cancels are delivered', async () => {
    assert.deepEqual(await run('cancels'), { code: 0, lines: ['has said it'] })
    const token = here.open('last-word')
    await token.ready
    assert.equal(token.reason, 'and goes')
  })

  it('lives while it waits', async () => {
    const said = 'token "awaited" was cancelled: enough'
    const stop = (line: string) => line === 'waits' && void here.cancel('awaited', 'enough')
    assert.deepEqual(await run('waits', stop), { code: 0, lines: ['waits', said] })
  })
})
