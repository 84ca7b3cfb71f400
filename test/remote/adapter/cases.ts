/** What every adapter is tried with beyond the conformance suite: other processes, other runtimes, servers that die. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { after, describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { connectHub, type HubOptions, type TokenHub } from 'calloff/remote'
import { share } from '../../effort.js'
import { start as example } from '../../examples/run.js'
import { runs } from '../../property/runs.js'
import { node, runtimes, start } from '../../node/programs.js'
import { type Proxy, proxyTo } from '../proxy.js'
import type { Server } from '../servers.js'

export interface Adapter {
  readonly name: string
  readonly skip: string | false
  serve(): Promise<Server>
  url(port: number): string
  /** How many connections a hub makes. */
  readonly connections: number
}

const quick: HubOptions = { backOff: { first: 10, most: 200 }, timeout: 2_000 }

export async function until(isSo: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const began = performance.now()
  while (!(await isSo())) {
    assert.ok(performance.now() - began < 120_000, `${what}, which did not happen in time`)
    await pause(5)
  }
}

export function tryAdapter({ name, skip, serve, url, connections }: Adapter): void {
  describe(`${name}, beyond one process`, { skip }, async () => {
    if (skip !== false) return
    const server = await serve()
    const proxy: Proxy = await proxyTo(server.port)
    const hubs: TokenHub[] = []
    after(async () => {
      await Promise.allSettled(hubs.map((hub) => hub.close({ timeout: 0 })))
      await proxy.close()
      await server.end()
    })
    const hubOf = async (options: HubOptions = quick) => {
      const hub = await connectHub(url(proxy.port), options)
      hubs.push(hub)
      return hub
    }

    it('a token that is open here is cancelled from another process', async () => {
      const token = (await hubOf()).open('here')
      await token.ready
      const program = start(node, '../remote/client/hub.child.js', url(server.port), 'cancel', 'here')
      await until(() => token.cancelled, 'the token ends')
      assert.ok(token.reason instanceof RangeError)
      assert.notEqual(token.who?.pid, process.pid)
      assert.deepEqual(await program.ended, { code: 0, signal: null, lines: ['cancelled, 1 held it'], errors: '' })
    })

    for (const runtime of runtimes) {
      it(`a token that is open on ${runtime.name} is cancelled from here`, { skip: runtime.skip }, async () => {
        const program = start(runtime, '../remote/client/hub.child.js', url(server.port), 'watch', runtime.name)
        await program.printed('watching')
        const receipt = await (await hubOf()).cancel(runtime.name, 'enough', { timeout: 120_000 })
        assert.equal(receipt.finished, 1)
        assert.deepEqual(await program.ended, {
          code: 0,
          signal: null,
          lines: ['watching', 'ended: enough'],
          errors: '',
        })
      })
    }

    it('the programs of examples/hub run on it, with this URL in place of another', async () => {
      const job = example('hub/job', [url(server.port), 'report'])
      await once(job.child.stdout, 'data')
      const stop = await example('hub/stop', [url(server.port), 'report', 'no longer wanted']).outcome
      assert.deepEqual([stop.lines, stop.stderr, stop.code], [['1 held it, 1 finished'], '', 0])
      const { lines, stderr, code } = await job.outcome
      assert.match(lines.at(-1) ?? '', /^saved after (some|no) steps; no longer wanted, says process \d+$/)
      assert.deepEqual([stderr, code], ['', 0])
    })

    it('a process with an open hub ends by itself', async () => {
      const program = start(node, '../remote/client/hub.child.js', url(server.port), 'stay', 'stays')
      assert.deepEqual(await program.ended, { code: 0, signal: null, lines: ['ready'], errors: '' })
    })

    const many = share(1_000)
    it(`${many} tokens share ${connections} connection${connections > 1 ? 's' : ''}`, async () => {
      const before = proxy.open
      const hub = await hubOf()
      const tokens = Array.from({ length: many }, (_, i) => hub.open(`many-${i}`))
      await Promise.all(tokens.map(({ ready }) => ready))
      assert.equal(proxy.open - before, connections)
      assert.equal((await hub.list('many-')).length, many)
      const other = await hubOf()
      const receipts = await Promise.all(tokens.map((_, i) => other.cancel(`many-${i}`, i)))
      assert.ok(receipts.every(({ delivered, holders }) => delivered && holders === 1))
      await until(() => tokens.every(({ cancelled }) => cancelled), 'all of them end')
    })

    it('when nothing comes through any more, another connection is made, and the cancel is found', async () => {
      const hub = await hubOf({ ...quick, lazy: true, timeout: 300, sessionTtl: 900 })
      const token = hub.open('hushed')
      await token.ready
      proxy.hush()
      await (await hubOf()).cancel('hushed')
      await until(() => token.cancelled, 'the token ends')
    })

    it('a partition that heals loses no cancel and makes none, though what was sent comes late, and again', async () => {
      const patient = { ...quick, lazy: true, timeout: 300, sessionTtl: 900 }
      const direct = await connectHub(url(server.port), quick)
      hubs.push(direct)
      const hub = await hubOf(patient)
      const tokens = Array.from({ length: 20 }, (_, i) => hub.open(`parted-${i}`))
      const quiet = hub.open('parted-quiet')
      await Promise.all([quiet, ...tokens].map(({ ready }) => ready))
      for (let round = 0; round < 3; round++) {
        const name = `taken-back-${round}`
        proxy.part()
        const mine = tokens.slice(round * 5, round * 5 + 5)
        for (const token of mine) token.cancel('cut off')
        // One is under way, but nobody hears that it is stored; when it is, it is taken back.
        const taken = hub.open(name).cancel('taken back')
        await direct.cancel(`parted-${15 + round}`, 'from the other side')
        await pause(700)
        proxy.heal()
        await Promise.all([taken, ...mine].map(({ delivered }) => delivered))
        await direct.forget(name)
        await until(() => tokens[15 + round]?.cancelled === true, 'it hears of the cancel on the other side')
        for (const { name } of mine) {
          const late = direct.open(name as string)
          await late.ready
          assert.equal(late.reason, 'cut off')
          late.close()
        }
        await pause(100)
        const fresh = direct.open(name)
        await fresh.ready
        assert.equal(fresh.cancelled, false, 'what was forgotten does not come back')
        fresh.close()
      }
      assert.equal(quiet.cancelled, false)
    })

    /** CALLOFF_RUNS says how many. */
    const count = runs(1_000).numRuns ?? 0
    it(`of ${count} cancels around a crash, every one that was acknowledged is seen by all`, async () => {
      const [here, there] = [await hubOf(), await hubOf()]
      const names = Array.from({ length: count }, (_, i) => `crash-${i}`)
      const tokens = new Map(names.map((name) => [name, there.open(name)]))
      const bystanders = Array.from({ length: 100 }, (_, i) => there.open(`bystander-${i}`))
      await Promise.all([...tokens.values(), ...bystanders].map(({ ready }) => ready))
      let delivered = 0
      const crash = { begins() {} }
      const crashed = new Promise<void>((resolve) => (crash.begins = resolve))
      const cancels = names.map(async (name, i) => {
        // One half before it, as far as they get, and the other half in it.
        await (i < count / 2 ? pause(i % 100) : crashed)
        await here.cancel(name, i)
        delivered++
      })
      await until(() => delivered >= count / 10, 'some are delivered')
      crash.begins()
      await server.kill()
      await pause(300)
      await server.start()
      await Promise.all(cancels)
      await until(() => [...tokens.values()].every(({ cancelled }) => cancelled), 'all of them end')
      // By what is stored alone, too.
      const late = await hubOf()
      const read = names.map((name) => late.open(name))
      await Promise.all(read.map(({ ready }) => ready))
      assert.ok(read.every(({ cancelled }) => cancelled))
      assert.ok(bystanders.every(({ cancelled }) => !cancelled))
    })

    it('a server that takes connections and never says anything is given up, and nothing is left behind', async () => {
      const sockets = new Set<Socket>()
      let made = 0
      const silent = createServer((socket) => {
        made++
        sockets.add(socket)
        socket.on('error', () => {})
        socket.on('close', () => sockets.delete(socket))
        socket.resume()
      })
      await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
      const { port } = silent.address() as AddressInfo
      await assert.rejects(connectHub(url(port), { timeout: 300 }), { code: 'ERR_HUB_UNREACHABLE' })
      await until(() => sockets.size === 0, 'all connections are closed')
      assert.equal(made, connections)
      await new Promise((resolve) => silent.close(resolve))
    })

    it('a lease whose process is killed is missed by the others when its time is up', async () => {
      const hub = await hubOf()
      const program = start(node, '../remote/client/hub.child.js', url(server.port), 'lease', 'work')
      await program.printed('leased')
      const token = hub.open('work')
      await token.ready
      await assert.rejects(hub.lease('work', { ttl: 1_000 }), { code: 'ERR_LEASE_HELD' })
      assert.equal(token.cancelled, false)
      program.send('SIGKILL')
      await until(() => token.cancelled, 'the token ends')
      assert.equal(token.kind, 'lease')
      const next = await hub.lease('work', { ttl: 10_000 })
      assert.ok(next.fence > 0)
      next.close()
    })
  })
}
