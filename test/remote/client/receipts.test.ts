/** What a receipt says, whatever happens to the connection meanwhile: in time, and nothing that is not known. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { connectHub, type TokenHub, TokenServer } from 'calloff/remote'
import type { Engine, Link } from 'calloff/remote/engine'
import { node, start } from '../../node/programs.js'
import { withTime } from '../../enough-time.js'
import { engineFor } from '../inside.js'

const folder = mkdtempSync(join(tmpdir(), 'calloff-receipts-'))
const server = await TokenServer.listen({ port: 0 })
after(async () => {
  await server.close()
  rmSync(folder, { recursive: true, force: true })
})

/** The engine of the server, with some of what its links do replaced. */
function engineWith(change: (link: Link) => Partial<Link>): Engine {
  const inner = engineFor(server.url)
  return {
    place: inner.place,
    inOrder: true,
    async connect(...given) {
      const link = await inner.connect(...given)
      return Object.assign(link, change(link))
    },
  }
}

const never = <T>() => new Promise<T>(() => {})

describe('a cancel with a limit', () => {
  const silent: Record<string, (link: Link) => Partial<Link>> = {
    'nothing is answered': () => ({ mark: never, list: never }),
    'the list is not answered': () => ({ list: never }),
    'the list is not answered any more': (link) => {
      let times = 0
      const list = link.list.bind(link)
      return { list: (what) => (times++ === 0 ? list(what) : never()) }
    },
    'the list is refused': () => ({ list: () => Promise.reject(new Error('no list')) }),
    'the connection is lost after the mark': (link) => {
      const mark = link.mark.bind(link)
      return {
        list: never,
        async mark(...given) {
          const stored = await mark(...given)
          setImmediate(() => (link as unknown as { fail(error: Error): void }).fail(new Error('cut')))
          return stored
        },
      }
    },
  }
  for (const [how, change] of Object.entries(silent)) {
    for (const isHeld of [true, false]) {
      it(`ends in time where ${how}, ${isHeld ? 'with a holder' : 'without one'}`, async () => {
        const name = `${how} ${isHeld}`
        await using there = await connectHub(server.url)
        using token = isHeld ? there.open(name) : undefined
        await token?.ready
        const hub = await connectHub(engineWith(change), { backOff: { first: 60_000, most: 60_000 } })
        const receipt = await withTime(50, async (within) => {
          const found = await hub.cancel(name, 'stop', { timeout: within })
          return found.delivered || how === 'nothing is answered' ? found : undefined
        })
        assert.equal(receipt.delivered, how !== 'nothing is answered')
        if (how !== 'the list is not answered any more') assert.equal(receipt.complete, false)
        await hub.close({ timeout: 0 }).catch(() => {})
      })
    }
  }
})

describe('a receipt', () => {
  it('is complete where the list came, and the server has not just come back', async () => {
    await using hub = await connectHub(server.url)
    await using there = await connectHub(server.url)
    const { complete, holders } = await hub.cancel('held by no process')
    assert.deepEqual({ complete, holders }, { complete: true, holders: 0 })
    using token = there.open('held')
    await token.ready
    const receipt = await hub.cancel('held', 'stop', { timeout: 120_000, until: 'acknowledged' })
    assert.deepEqual([receipt.complete, receipt.holders, receipt.acknowledged], [true, 1, 1])
  })

  for (const [where, journal] of [
    ['in a socket folder', false],
    ['with a journal', true],
  ] as const) {
    it(`counts the holders that come back after their server was killed ${where}`, async () => {
      const path = join(folder, `${journal}.sock`)
      const given = journal ? [path, join(folder, 'journal')] : [path]
      const url = `unix:${path}`
      let program = start(node, '../remote/server/server.child.js', ...given)
      await program.printed(url)
      // A holder that comes back later than the canceller, as chance has it.
      const late = { backOff: { first: 900, most: 900 } }
      const holder = await connectHub(url, late)
      const canceller = await connectHub(url, { backOff: { first: 1, most: 1 } })
      try {
        const token = holder.open('job')
        await token.ready
        program.send('SIGKILL')
        await program.ended
        program = start(node, '../remote/server/server.child.js', ...given)
        await program.printed(url)
        const asked: readonly [string, () => Promise<TokenHub>][] = [
          ['that has lost its connection', () => Promise.resolve(canceller)],
          ['that comes now', () => connectHub(url)],
        ]
        while (canceller.state !== 'connected') await delay(1)
        const receipts = await Promise.all(
          asked.map(async ([, connect]) => {
            await using hub = await connect()
            const atOnce = await hub.cancel('job', 'stop')
            assert.ok(atOnce.holders > 0 || !atOnce.complete, 'says that it is held by no process')
            const receipt = await hub.cancel('job', 'stop', { timeout: 120_000, until: 'acknowledged' })
            return [receipt.complete, receipt.holders, receipt.acknowledged]
          }),
        )
        assert.deepEqual(receipts, [
          [true, 1, 1],
          [true, 1, 1],
        ])
      } finally {
        await Promise.allSettled([holder.close({ timeout: 0 }), canceller.close({ timeout: 0 })])
        program.send('SIGKILL')
        await program.ended
      }
    })
  }
})

describe('a cancel that follows one of its own', () => {
  /** A hub that hears late that its first mark is stored. */
  async function slow() {
    let release = () => {}
    const gate = new Promise<void>((resolve) => (release = resolve))
    let marks = 0
    const engine = engineWith((link) => {
      const mark = link.mark.bind(link)
      return {
        async mark(...given) {
          const isFirst = marks++ === 0
          const stored = await mark(...given)
          if (isFirst) await gate
          return stored
        },
      }
    })
    const hub = await connectHub(engine)
    return { hub, release: () => release(), marks: () => marks }
  }

  for (const through of ['hub', 'token'] as const) {
    it(`has a mark of its own where the first was forgotten meanwhile (by a ${through})`, async () => {
      const name = `forgotten by ${through}`
      const { hub, release } = await slow()
      await using other = await connectHub(server.url)
      const cancel = (reason: string) =>
        through === 'hub' ? hub.cancel(name, reason) : hub.open(name).cancel(reason).delivered
      const first = hub.cancel(name, 'one')
      // It is stored when another connection sees it.
      for (;;) {
        using seen = other.open(name)
        await seen.ready
        if (seen.cancelled) break
      }
      await other.forget(name)
      const second = through === 'hub' ? cancel('two') : hub.cancel(name, 'two')
      release()
      assert.equal((await first).delivered, true)
      const receipt = await second
      assert.equal((receipt as { mark: { reason: unknown } }).mark.reason, 'two')
      using later = other.open(name)
      await later.ready
      assert.equal(later.reason, 'two')
      await hub.close()
    })
  }

  it('has a mark of its own with the connection in a thread, too', async () => {
    // A way to the server on which answers may be kept back.
    let isHeld = false
    const late: (() => void)[] = []
    const sockets: Socket[] = []
    const proxy = createServer((client) => {
      const behind = connect(Number(new URL(server.url).port), '127.0.0.1')
      sockets.push(client, behind)
      for (const socket of [client, behind]) socket.on('error', () => {})
      client.on('data', (data) => void behind.write(data))
      client.on('close', () => void behind.destroy())
      behind.on('data', (data) => {
        const pass = () => void client.write(data)
        if (isHeld) late.push(pass)
        else pass()
      })
    })
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
    const hub = await connectHub(`tcp://127.0.0.1:${(proxy.address() as AddressInfo).port}`, { background: true })
    await using other = await connectHub(server.url)
    try {
      isHeld = true
      const first = hub.cancel('threaded', 'one')
      while ((await other.list('threaded')).length === 0) await delay(1)
      await other.forget('threaded')
      const second = hub.cancel('threaded', 'two')
      isHeld = false
      for (const pass of late) pass()
      assert.equal((await first).mark.reason, 'one')
      const { delivered, mark } = await second
      assert.deepEqual([delivered, mark.reason], [true, 'two'])
      using token = other.open('threaded')
      await token.ready
      assert.equal(token.reason, 'two')
      // Which rejects where a cancel counts as not delivered.
      await hub.close()
    } finally {
      await hub.close({ timeout: 0 }).catch(() => {})
      for (const socket of sockets) socket.destroy()
      proxy.close()
    }
  })

  it('shares the mark of the one before while neither was sent', async () => {
    const { hub, release, marks } = await slow()
    const all = ['one', 'two', 'three', 'four'].map((reason) => hub.cancel('often', reason))
    release()
    const receipts = await Promise.all(all)
    assert.deepEqual(
      receipts.map(({ delivered, mark }) => [delivered, mark.reason]),
      Array.from({ length: 4 }, () => [true, 'one']),
    )
    assert.equal(marks(), 2)
    await hub.close()
  })

  it('counts as a cancel that was not delivered when the hub is closed before', async () => {
    const hub = await connectHub(engineWith(() => ({ mark: never })))
    const both = [hub.cancel('a', 'one'), hub.cancel('a', 'two')]
    const rejected = Promise.all(both.map((one) => assert.rejects(one, { code: 'ERR_HUB_CLOSED' })))
    await assert.rejects(hub.close({ timeout: 1 }), /^HubError: 2 cancels were not delivered/)
    await rejected
  })
})

describe('a lease with a limit', () => {
  it('rejects in time where nothing is answered, or there is no connection', async () => {
    const hub = await connectHub(engineWith(() => ({ acquire: never })))
    await assert.rejects(hub.lease('silent', { ttl: 1_000, timeout: 20 }), {
      code: 'ERR_HUB_UNREACHABLE',
      message: 'no answer about the lease of "silent" within 20 ms',
    })
    await hub.close()
    await using lazy = await connectHub('tcp://127.0.0.1:1', { lazy: true })
    await assert.rejects(lazy.lease('alone', { ttl: 1_000, timeout: 20 }), { code: 'ERR_HUB_UNREACHABLE' })
  })

  it('that is given late is given back', async () => {
    let release = () => {}
    const gate = new Promise<void>((resolve) => (release = resolve))
    const engine = engineWith((link) => {
      const acquire = link.acquire.bind(link)
      return {
        async acquire(...given) {
          const acquired = await acquire(...given)
          await gate
          return acquired
        },
      }
    })
    const hub = await connectHub(engine)
    await assert.rejects(hub.lease('late', { ttl: 60_000, timeout: 20 }), { code: 'ERR_HUB_UNREACHABLE' })
    release()
    await using other = await connectHub(server.url)
    using lease = await other.lease('late', { ttl: 60_000, timeout: 50_000 })
    assert.ok(lease.fence > 0)
    await hub.close()
  })
})

describe('the owner of a lease whose machine has slept', () => {
  // While a machine sleeps the wall clock goes on and, on Linux, the monotonic clock does not.
  const wakeAfter = <T>(ms: number, what: () => T): T => {
    const real = Date.now
    Date.now = () => real() + ms
    try {
      return what()
    } finally {
      Date.now = real
    }
  }
  for (const background of [false, true]) {
    it(`gives up before its first poll${background ? ', with the connection in a thread' : ''}`, async () => {
      await using hub = await connectHub(server.url, { background })
      for (const [how, poll] of Object.entries({
        keepOn: (token: { keepOn(): boolean }) => !token.keepOn(),
        cancelled: (token: { cancelled: boolean }) => token.cancelled,
        remaining: (token: { remaining: number }) => token.remaining === 0,
      })) {
        using lease = await hub.lease(`sleep ${how} ${background}`, { ttl: 60_000 })
        assert.equal(
          wakeAfter(30_000, () => lease.cancelled),
          false,
          'it has slept for less than its lease lasts',
        )
        assert.equal(
          wakeAfter(70_000, () => poll(lease)),
          true,
          how,
        )
        assert.equal(lease.kind, 'lease')
      }
    })
  }
})

describe('a cancel that the server refuses', () => {
  for (const background of [false, true]) {
    it(`counts as seen here only once it is stored${background ? ', in the background too' : ''}`, async () => {
      await using full = await TokenServer.listen({ port: 0, limits: { marks: 1 } })
      await using other = await connectHub(full.url)
      await using hub = await connectHub(full.url, { background })
      await other.cancel('the only mark')
      const token = hub.open('name')
      await token.ready
      const refused = new Promise<void>((resolve) => hub.onEvent(({ type }) => type === 'refused' && resolve()))
      token.cancel('stop')
      await refused
      // Asked over the same connection, after anything that was sent before.
      const [listing] = await hub.list('name')
      assert.deepEqual([listing?.state, listing?.holders.map(({ state }) => state)], ['live', ['open']])

      await other.forget('the only mark')
      await token.delivered
      const [later] = await hub.list('name')
      assert.deepEqual([later?.state, later?.holders.map(({ state }) => state)], ['cancelled', ['acknowledged']])
    })
  }
})
