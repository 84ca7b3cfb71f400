/** Tokens of requests are garbage once the response has ended and nobody holds them, however the request ended. */
import assert from 'node:assert/strict'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import type { CancellationToken } from 'calloff'
import { collect, isBrowser, isBun, pause } from './collect.js'

const MANY = 200
/** Clients, sockets and responses of one connection or another that a runtime still has in its hands. */
const FEW = 10
const skip = isBrowser && 'a page serves nothing'

type Answer = (res: ServerResponse, token: CancellationToken, leave: () => void) => void

/** Makes so many requests one after the other; gives how many of their tokens outlive a collection, by what was made of each. */
async function left(count: number, answer: Answer): Promise<number> {
  // Not among the imports: a page has neither.
  const { createServer, request, Agent } = await import('node:http')
  const { fromRequest } = await import('calloff/node')
  const references: WeakRef<CancellationToken>[] = []
  let leave = (): void => {}
  const server = createServer((req: IncomingMessage, res: ServerResponse) => {
    const token = fromRequest(req, res)
    references.push(new WeakRef(token))
    answer(res, token, leave)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const agent = new Agent({ keepAlive: true })
  for (let i = 0; i < count; i++) {
    await new Promise<void>((resolve) => {
      const client = request({ port, agent, host: '127.0.0.1' }, (response) => {
        response.resume().on('end', resolve).on('error', resolve)
      })
      leave = () => client.destroy()
      client.on('error', () => resolve()).end()
    })
  }
  leave = () => {}
  let alive = count
  for (let attempt = 0; attempt < 20 && alive > FEW; attempt++) {
    await pause(20)
    await collect(2)
    alive = references.filter((one) => one.deref() !== undefined).length
  }
  agent.destroy()
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  assert.equal(references.length, count)
  return alive
}

test('the token of a request is garbage after its response, on a connection that lives on', { skip }, async () => {
  assert.ok((await left(MANY, (res) => res.end('answer'))) <= FEW)
})

test(
  'the token of a request is garbage with a listener, a signal and a token that derives from it',
  { skip },
  async () => {
    const alive = await left(MANY, (res, token) => {
      token.onCancel(() => {})
      token.signal.addEventListener('abort', () => {})
      token.plus(token).onCancel(() => {})
      res.end('answer')
    })
    assert.ok(alive <= FEW, `${alive} are alive`)
  },
)

test('the token of a request is garbage after its client has left', { skip }, async () => {
  const alive = await left(MANY, (_, token, leave) => {
    token.onCancel(() => {})
    leave()
  })
  assert.ok(alive <= FEW + (isBun ? 10 : 0), `${alive} are alive`)
})
