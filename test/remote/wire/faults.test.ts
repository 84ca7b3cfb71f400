/** Real faults: connections cut at every byte, calls doubled, notices lost, servers killed. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, connect, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { connectHub, TokenServer } from 'calloff/remote'
import type { Engine, Link } from 'calloff/remote/engine'
import { hubConformance } from 'calloff/testing'
import { sample } from '../../effort.js'
import { runs } from '../../property/runs.js'
import { engineFor } from '../inside.js'
import { chance } from '../simulation/world.js'

const folder = mkdtempSync(join(tmpdir(), 'calloff-faults-'))
after(() => rmSync(folder, { recursive: true, force: true }))

const impatient = { backOff: { first: 1, most: 20 }, timeout: 5_000 }

async function until(isSo: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const began = performance.now()
  while (!(await isSo())) {
    assert.ok(performance.now() - began < 120_000, what)
    await delay(1)
  }
}

/** Something between a client and a server, which cuts the connection when so many bytes have gone one way. */
class Proxy {
  readonly #server: Server
  readonly #to: number
  readonly #pairs = new Set<[Socket, Socket]>()
  /** How many bytes are let through from now on, per direction, of the next connection. */
  next: { up: number; down: number } | undefined
  up = 0
  down = 0

  constructor(to: string) {
    this.#to = Number(new URL(to).port)
    this.#server = createServer((client) => this.#join(client))
  }

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return `tcp://127.0.0.1:${(this.#server.address() as { port: number }).port}`
  }

  #join(client: Socket): void {
    const server = connect({ host: '127.0.0.1', port: this.#to })
    const limit = this.next ?? { up: Infinity, down: Infinity }
    this.next = undefined
    const pair: [Socket, Socket] = [client, server]
    this.#pairs.add(pair)
    const cut = () => {
      this.#pairs.delete(pair)
      for (const one of pair) one.destroy()
    }
    const carry = (from: Socket, to: Socket, direction: 'up' | 'down') => {
      let left = limit[direction]
      from.setNoDelay(true)
      from.on('error', cut).on('close', cut)
      from.on('data', (chunk: Buffer) => {
        this[direction] += chunk.length
        const part = chunk.subarray(0, left)
        left -= part.length
        // What was let through arrives before the cut.
        to.write(part, () => left <= 0 && cut())
      })
    }
    carry(client, server, 'up')
    carry(server, client, 'down')
  }

  cut(): void {
    for (const pair of this.#pairs) for (const one of pair) one.destroy()
  }

  close(): void {
    this.cut()
    this.#server.close()
  }
}

describe('a connection that is cut', () => {
  it('at any byte of the exchange, either way, loses no cancel, and makes none', async () => {
    await using server = await TokenServer.listen({ port: 0 })
    await using direct = await connectHub(server.url)
    const proxy = new Proxy(server.url)
    const url = await proxy.listen()
    let names = 0

    /** One hub over the proxy cancels and is cancelled; gives how many bytes that took. */
    const exchange = async (next: { up: number; down: number } | undefined) => {
      proxy.up = proxy.down = 0
      proxy.next = next
      const hub = await connectHub(url, { ...impatient, lazy: true })
      const stem = `${++names}`
      const [mine, theirs, quiet] = [hub.open(`${stem}-mine`), hub.open(`${stem}-theirs`), hub.open(`${stem}-quiet`)]
      mine.cancel('mine')
      await direct.cancel(`${stem}-theirs`, 'theirs')
      await mine.delivered
      await until(() => theirs.cancelled, 'what the other one has cancelled is heard of')
      const late = direct.open(`${stem}-mine`)
      await late.ready
      const what = JSON.stringify(next)
      assert.deepEqual([theirs.reason, late.reason, quiet.cancelled], ['theirs', 'mine', false], what)
      late.close()
      await hub.close({ timeout: 120_000 })
      return { up: proxy.up, down: proxy.down }
    }
    const whole = await exchange(undefined)
    assert.ok(whole.up > 300 && whole.down > 200, JSON.stringify(whole))
    const upTo = (last: number) => sample(Array.from({ length: last + 1 }, (_, i) => i))
    for (const up of upTo(whole.up)) await exchange({ up, down: Infinity })
    for (const down of upTo(whole.down)) await exchange({ up: Infinity, down })
    proxy.close()
  })

  it('keeps every promise of a hub, over and over', async () => {
    await using server = await TokenServer.listen({ port: 0 })
    const proxy = new Proxy(server.url)
    const url = await proxy.listen()
    const cases = hubConformance({
      connect: (options) => connectHub(url, { ...impatient, ...options }),
      cut: () => proxy.cut(),
    })
    const [last] = cases.slice(-1)
    assert.match(last!.name, /cut/)
    await last!.run()
    proxy.close()
  })
})

/** An engine that does everything twice, in its own time, and loses every other notice. */
function unreliable(engine: Engine, random: () => number): Engine {
  const late = () => delay(random() * 10)
  const twice =
    <A extends unknown[], T>(call: (...args: A) => Promise<T>) =>
    async (...args: A): Promise<T> => {
      const calls = [call(...args), late().then(() => call(...args))] as const
      // A call is repeated until its outcome is known, never after a later call: a late `enter` would bring back a holder that has left.
      await Promise.allSettled(calls)
      // Marks and acquisitions that are repeated have the same effect, so either answer will do.
      return calls[random() < 0.5 ? 0 : 1]
    }
  return {
    place: engine.place,
    connect: async (session, events, token) => {
      const notice: typeof events.notice = (state) => {
        if (random() < 0.5) void late().then(() => events.notice(state))
        if (random() < 0.3) void late().then(() => events.notice(state))
      }
      const link = await engine.connect(session, { notice, lost: (error) => events.lost(error) }, token)
      const doubled: Link = {
        enter: twice((holders) => link.enter(holders)),
        leave: twice((ids) => link.leave(ids)),
        read: twice((topics) => link.read(topics)),
        mark: twice((topic, mark, ttl) => link.mark(topic, mark, ttl)),
        list: (what) => link.list(what),
        forget: (topic) => link.forget(topic),
        beat: twice(() => link.beat()),
        acquire: (topic, owner, ttl) => link.acquire(topic, owner, ttl),
        renew: twice((topic, fence, ttl) => link.renew(topic, fence, ttl)),
        release: twice((topic, fence) => link.release(topic, fence)),
        bye: () => link.bye(),
        close: () => link.close(),
      }
      return doubled
    },
  }
}

describe('an engine that doubles and delays what it is asked, and loses, doubles and reorders notices', async () => {
  const server = await TokenServer.listen({ port: 0 })
  after(() => server.close())
  const random = chance(runs(0).seed ?? 7)
  const cases = hubConformance({
    connect: (options) => connectHub(unreliable(engineFor(server.url), random), { reread: 50, ...options }),
  })
  for (const { name, run } of cases) it(name, run)
})

describe('an engine that has a lot to do', () => {
  it('is not given up while it answers: each answer counts', async () => {
    await using server = await TokenServer.listen({ port: 0 })
    const engine = engineFor(server.url)
    let line = Promise.resolve()
    const slow: Engine = {
      place: engine.place,
      connect: async (session, events, token) => {
        const link = await engine.connect(session, events, token)
        const list: Link['list'] = (what) => {
          line = line.then(() => delay(50))
          return line.then(() => link.list(what))
        }
        return Object.create(link, { list: { value: list }, ...boundTo(link) }) as Link
      },
    }
    await using hub = await connectHub(slow, { ...impatient, timeout: 1_000 })
    const told: string[] = []
    hub.onEvent(({ type }) => told.push(type))
    await Promise.all(Array.from({ length: 60 }, () => hub.list()))
    assert.deepEqual(told, [])
  })

  const skip = process.platform === 'win32' && 'Windows has no Unix sockets'
  it('is not given up by a process that was busy itself, and finds the answer when it looks', { skip }, async () => {
    const program = fileURLToPath(new URL('../server/server.child.js', import.meta.url))
    const server = spawn(process.execPath, [program, join(folder, 'elsewhere')], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    after(() => server.kill('SIGKILL'))
    const [line] = (await once(server.stdout, 'data')) as [Buffer]
    const hub = await connectHub(line.toString().trim(), { ...impatient, timeout: 600 })
    const told: string[] = []
    hub.onEvent(({ type }) => told.push(type))
    const listed = hub.list()
    setImmediate(() => {
      for (const began = performance.now(); performance.now() - began < 1_000;);
    })
    await listed
    assert.deepEqual(told, [])
    await hub.close()
  })
})

/** The calls of a link, but for its lists, which know nothing of who asks. */
function boundTo(link: Link): PropertyDescriptorMap {
  const calls = [
    'enter',
    'leave',
    'read',
    'mark',
    'forget',
    'beat',
    'acquire',
    'renew',
    'release',
    'bye',
    'close',
  ] as const
  return Object.fromEntries(calls.map((call) => [call, { value: (link[call] as () => unknown).bind(link) }]))
}

const withoutUnix = process.platform === 'win32' && 'Windows has no Unix sockets'

describe('a server that is killed', { skip: withoutUnix }, () => {
  const program = fileURLToPath(new URL('../server/server.child.js', import.meta.url))
  const path = join(folder, 's')
  const journal = join(folder, 'journal')
  let child: ChildProcess

  const start = async (): Promise<string> => {
    child = spawn(process.execPath, [program, path, journal], { stdio: ['ignore', 'pipe', 'inherit'] })
    const [line] = (await once(child.stdout!, 'data')) as [Buffer]
    return line.toString().trim()
  }
  const kill = async () => {
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }

  it('and started again has lost nothing that it had acknowledged', async () => {
    const count = runs(400).numRuns ?? 0
    const url = await start()
    const [here, there] = [await connectHub(url, impatient), await connectHub(url, impatient)]
    const names = Array.from({ length: count }, (_, i) => `job-${i}`)
    const tokens = names.map((name) => there.open(name))
    const quiet = Array.from({ length: 50 }, (_, i) => there.open(`quiet-${i}`))
    let acknowledged = 0
    let kills = 0
    let isOver = false
    const killing = (async () => {
      while (!isOver) {
        await delay(150)
        await kill()
        kills++
        await start()
        // It has time to do something in between, however slow the machine is.
        const before = acknowledged
        await until(() => isOver || acknowledged > before, 'something is acknowledged')
      }
    })()
    const cancelling = names.map(async (name, i) => {
      await delay((i / count) * 1_500)
      await here.cancel(name, i)
      acknowledged++
    })
    await Promise.all(cancelling)
    isOver = true
    await killing
    assert.ok(kills > 1, `${kills} kills`)
    for (const [i, token] of tokens.entries()) {
      await until(() => token.cancelled, `job-${i} hears of its cancel`)
      assert.equal(token.reason, i)
    }
    for (const token of quiet) assert.equal(token.cancelled, false)
    // The last word is the disk's.
    await kill()
    await start()
    const later = await connectHub(url, impatient)
    const again = names.map((name) => later.open(name))
    await Promise.all(again.map(({ ready }) => ready))
    assert.deepEqual(
      again.map(({ reason }) => reason),
      names.map((_, i) => i),
    )
    await Promise.all([here, there, later].map((hub) => hub.close()))
    await kill()
  })

  it('keeps what it had promised, and its leases', async () => {
    const url = await start()
    const cases = hubConformance({
      connect: (options) => connectHub(url, { ...impatient, ...options }),
      restart: async () => {
        await kill()
        await start()
      },
    })
    const [last] = cases.slice(-1)
    assert.match(last!.name, /restart/)
    await last!.run()
    await kill()
  })
})
