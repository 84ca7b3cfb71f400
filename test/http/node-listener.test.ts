import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import process from 'node:process'
import { after, describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { toNodeListener } from 'calloff/http'

const servers: Server[] = []
after(() => {
  for (const server of servers) {
    server.close()
    server.closeAllConnections()
  }
})

async function serve(handler: (request: Request) => Response): Promise<string> {
  const listener = toNodeListener(handler)
  const server = createServer((request, response) => void listener(request, response)).listen(0, '127.0.0.1')
  servers.push(server)
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
}

describe('toNodeListener', () => {
  it('sends the headers of a stream of events before the first event', async () => {
    const address = await serve(
      () => new Response(new ReadableStream({}), { headers: { 'content-type': 'text/event-stream; charset=utf-8' } }),
    )
    const response = await fetch(address, { signal: AbortSignal.timeout(60_000) })
    assert.equal(response.status, 200)
    await response.body?.cancel()
  })

  it('leaves no listener behind for each time that the client reads more slowly than the handler writes', async () => {
    const warnings: Error[] = []
    const warn = (warning: Error) => void warnings.push(warning)
    process.on('warning', warn)
    const size = 1_000_000
    let left = 30
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (left-- > 0) controller.enqueue(new Uint8Array(size))
        else controller.close()
      },
    })
    const address = await serve(() => new Response(body))
    const response = await fetch(address)
    let read = 0
    for await (const chunk of response.body!) {
      read += (chunk as Uint8Array).length
      await pause(0)
    }
    assert.equal(read, 30 * size)
    process.off('warning', warn)
    assert.deepEqual(warnings, [])
  })
})
