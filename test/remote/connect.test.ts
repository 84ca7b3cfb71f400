/** All engines connect alike: under a token, and with nothing left behind where that is cancelled. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { describe, it } from 'node:test'
import { SimpleToken } from 'calloff'
import { memoryEngine } from 'calloff/testing'
import { until } from './adapter/cases.js'
import type { Engine } from 'calloff/remote/engine'
import { engineFor, engineOfUrl } from './inside.js'

/** The engine of a server at a port of this machine. */
const engines: Readonly<Record<string, (port: number) => Engine | Promise<Engine>>> = {
  'in memory': () => memoryEngine(),
  'the embedded server': (port) => engineFor(`tcp://127.0.0.1:${port}`),
  Redis: (port) => engineOfUrl(`redis://127.0.0.1:${port}`),
  NATS: (port) => engineOfUrl(`nats://127.0.0.1:${port}`),
  PostgreSQL: (port) => engineOfUrl(`postgres://user:secret@127.0.0.1:${port}/database`),
}

/** A server that takes connections and never says a word. */
async function silentServer() {
  const open = new Set<Socket>()
  const server = createServer((socket) => {
    open.add(socket)
    socket.on('error', () => {})
    socket.resume()
    socket.once('close', () => open.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    open,
    connected: () => once(server, 'connection'),
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

const session = { id: 'a session of this test', host: 'here', pid: 1, ttl: 30_000 }

for (const [name, make] of Object.entries(engines)) {
  describe(`connecting, ${name}`, () => {
    const lost: Error[] = []
    const events = { notice() {}, lost: (error: Error) => void lost.push(error) }

    it('rejects with the error of the token when that is cancelled before', async () => {
      await using server = await silentServer()
      const token = new SimpleToken().cancel('not now')
      const outcome = (await make(server.port)).connect(session, events, token)
      await assert.rejects(outcome, (error) => error === token.error)
      assert.equal(server.open.size, 0)
    })

    it('rejects with the error of the token when that is cancelled meanwhile, and leaves nothing open', async () => {
      await using server = await silentServer()
      const token = new SimpleToken()
      const connected = server.connected()
      const outcome = (await make(server.port)).connect(session, events, token)
      const rejected = assert.rejects(outcome, (error) => error === token.error)
      if (name !== 'in memory') await connected
      token.cancel('too slow')
      await rejected
      await until(() => server.open.size === 0, 'all connections are closed')
      assert.equal(lost.length, 0, 'what was never there is not lost')
    })

    it('rejects with ERR_HUB_UNREACHABLE, and the place, where the server ends the connection', async () => {
      if (name === 'in memory') return
      await using server = await silentServer()
      const engine = await make(server.port)
      const outcome = engine.connect(session, events, new SimpleToken())
      const ended = server.connected().then(([socket]) => (socket as Socket).destroy())
      await assert.rejects(outcome, (error: Error & { code: string }) => {
        assert.equal(error.code, 'ERR_HUB_UNREACHABLE')
        assert.ok(error.message.startsWith(`${engine.place}: `), error.message)
        return true
      })
      await ended
      await until(() => server.open.size === 0, 'all connections are closed')
      assert.equal(lost.length, 0)
    })
  })
}
