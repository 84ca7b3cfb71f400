import assert from 'node:assert/strict'
import diagnostics from 'node:diagnostics_channel'
import { describe, it } from 'node:test'
import { type CancelEvent, SimpleToken } from 'calloff'
import 'calloff/node'
import { connectHub, type HubCancel, type HubMessage, type TokenHub, TokenServer } from 'calloff/remote'
import { redisServer, skip } from '../redis/server.js'

const SECRET = 'a secret of sixteen bytes'

interface Server extends AsyncDisposable {
  readonly url: string
}

const servers: Readonly<Record<string, { readonly skip: string | false; start(): Promise<Server> }>> = {
  'the embedded server': { skip: false, start: () => TokenServer.listen({ port: 0, key: SECRET }) },
  Redis: {
    skip,
    async start() {
      const server = await redisServer()
      return { url: `redis://127.0.0.1:${server.port}`, [Symbol.asyncDispose]: () => server.end() }
    },
  },
}

const isCancel = (message: HubMessage): message is HubMessage & HubCancel => message.type.startsWith('cancel-')

/** Collects the messages of all hubs. */
class Hearing {
  readonly messages: HubMessage[] = []
  readonly #waiting = new Set<() => void>()
  readonly #hear = (message: unknown) => {
    this.messages.push(message as HubMessage)
    for (const look of this.#waiting) look()
  }

  constructor() {
    diagnostics.subscribe('calloff:hub', this.#hear)
  }

  of(hub: TokenHub): HubMessage[] {
    return this.messages.filter((message) => message.hub === hub)
  }

  /** Resolves with the first message of a hub that has this type. */
  first(hub: TokenHub, type: HubMessage['type']): Promise<HubMessage> {
    return new Promise((resolve) => {
      const holds = setInterval(() => {}, 60_000) // a hub does not keep the process alive
      const look = () => {
        const found = this.of(hub).find((message) => message.type === type)
        if (!found) return
        clearInterval(holds)
        this.#waiting.delete(look)
        resolve(found)
      }
      this.#waiting.add(look)
      look()
    })
  }

  [Symbol.dispose](): void {
    diagnostics.unsubscribe('calloff:hub', this.#hear)
  }
}

for (const [place, { skip: why, start }] of Object.entries(servers)) {
  for (const background of [false, true]) {
    const connect = (url: string) => connectHub(url, { background, ...(url.startsWith('tcp:') ? { key: SECRET } : {}) })

    describe(`calloff:hub over ${place}${background ? ', with the connection in a thread' : ''}`, { skip: why }, () => {
      it('shows the way of a cancel from one hub to another, each step once', async () => {
        await using server = await start()
        using hearing = new Hearing()
        await using hub = await connect(server.url)
        await using other = await connect(server.url)
        const here = hub.open('report-7', { runId: '1' })
        const there = other.open('report-7', { runId: '1' })
        await Promise.all([here.ready, there.ready])
        here.cancel('no longer wanted')
        await here.delivered
        await there.wait()
        assert.equal((await hearing.first(hub, 'connected')).engine, server.url)
        const received = await hearing.first(other, 'cancel-received')
        const acknowledged = await hearing.first(hub, 'cancel-acknowledged')
        const types = hearing.of(hub).map(({ type }) => type)
        assert.deepEqual(types, ['connected', 'cancel-sent', 'cancel-acknowledged'])
        assert.deepEqual(
          hearing.of(other).map(({ type }) => type),
          ['connected', 'cancel-received'],
        )
        const sent = hearing.of(hub).find(isCancel)
        for (const message of [sent, received, acknowledged]) {
          const { name, runId, id, kind, reason, who, at } = message as HubCancel
          assert.deepEqual(
            [name, runId, kind, reason, who.token],
            ['report-7', '1', 'manual', 'no longer wanted', 'report-7'],
          )
          assert.equal(who.pid, process.pid)
          assert.equal(id, sent?.id)
          assert.ok(at instanceof Date)
        }
        assert.equal((received as HubCancel).tokens, 1)
      })

      it('publishes what was sent before what it cancels, and what was received too', async () => {
        await using server = await start()
        const order: string[] = []
        const hearHub = (message: unknown) => {
          const { type } = message as HubMessage
          if (type.startsWith('cancel-')) order.push(type)
        }
        const hearCancel = (message: unknown) => void order.push(`${(message as CancelEvent).token.name}`)
        await using hub = await connect(server.url)
        await using other = await connect(server.url)
        const here = hub.open('here')
        const there = other.open('here')
        await Promise.all([here.ready, there.ready])
        diagnostics.subscribe('calloff:hub', hearHub)
        diagnostics.subscribe('calloff:cancel', hearCancel)
        try {
          here.cancel()
          await there.wait()
          await here.delivered
        } finally {
          diagnostics.unsubscribe('calloff:hub', hearHub)
          diagnostics.unsubscribe('calloff:cancel', hearCancel)
        }
        assert.deepEqual(order.slice(0, 2), ['cancel-sent', 'here'])
        const received = order.indexOf('cancel-received')
        assert.ok(received > 0 && order.indexOf('here', received) > received, order.join())
      })

      it('does not count as received what the hub itself has cancelled, however soon its mark comes back', async () => {
        await using server = await start()
        using hearing = new Hearing()
        await using hub = await connect(server.url)
        const token = hub.open('report-7')
        await token.ready
        // The mark comes back while this thread has not got to the end of the cancel.
        const block = (message: unknown) => {
          if ((message as HubMessage).type === 'cancel-sent')
            Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200)
        }
        diagnostics.subscribe('calloff:hub', block)
        token.cancel()
        diagnostics.unsubscribe('calloff:hub', block)
        assert.equal(token.cancelledBy, token)
        await token.delivered
        await hub.close()
        const types = hearing.of(hub).map(({ type }) => type)
        assert.deepEqual(types, ['connected', 'cancel-sent', 'cancel-acknowledged', 'closed'])
      })

      it('publishes a cancel by name, and of an exposed token', async () => {
        await using server = await start()
        using hearing = new Hearing()
        await using hub = await connect(server.url)
        await hub.cancel('by name', 'why')
        const token = new SimpleToken({ name: 'local' })
        const exposed = hub.expose('shown', token)
        await exposed.ready
        token.cancel()
        await exposed.delivered
        const cancels = hearing.of(hub).filter(isCancel)
        assert.deepEqual(
          cancels.map(({ type, name, who }) => `${type} ${name} ${who.token}`),
          ['cancel-sent', 'cancel-acknowledged', 'cancel-sent', 'cancel-acknowledged'].map(
            (type, at) => `${type} ${at < 2 ? 'by name by name' : 'shown local'}`,
          ),
        )
      })
    })
  }
}

describe('calloff:hub', () => {
  for (const background of [false, true]) {
    it(`says that the connection is lost, and that the hub is closed${background ? ', from a thread' : ''}`, async () => {
      const server = await TokenServer.listen({ port: 0 })
      using hearing = new Hearing()
      const hub = await connectHub(server.url, { background })
      await server.close()
      const lost = await hearing.first(hub, 'lost')
      assert.ok(lost.type === 'lost' && lost.error instanceof Error && lost.retryIn >= 0)
      await hub.close()
      assert.equal(hearing.of(hub).at(-1)?.type, 'closed')
      assert.equal(hearing.messages.filter(({ type }) => type === 'connected').length, 1)
    })
  }
})
