/** hono: the same app on Node, Bun and Deno; a handler below asks for the token of its request. */
import { connect } from 'node:net'
import { type Context, Hono } from 'hono'
import type { HttpBindings } from '@hono/node-server'
import type { CancellationToken } from 'calloff'
import { fromRequest, withRequestToken } from 'calloff/node'

type Env = { Bindings: Partial<HttpBindings> }
const app = new Hono<Env>()

/** On Node, hono's server shows what it stands on; elsewhere there is the request alone. */
function tokenOf({ env, req }: Context<Env>): CancellationToken {
  const { incoming, outgoing } = env
  return incoming && outgoing ? fromRequest(incoming, outgoing) : fromRequest(req.raw)
}

app.get('/quick', (c) => c.text('here you are'))

let stopped!: (token: CancellationToken) => void
const stop = new Promise<CancellationToken>((resolve) => (stopped = resolve))
app.get('/slow', async (c) => {
  const token = tokenOf(c)
  token.onCancel(() => stopped(token))
  client.destroy() // the user closes the page
  await token.sleep(60_000)
  return c.text('nobody waits for this')
})
// What a handler throws when the client has left is no failure.
app.onError((error, c) => (tokenOf(c).error === error ? c.body(null, 499 as never) : c.text('failed', 500)))

const server = await serve()
const response = await fetch(`http://127.0.0.1:${server.port}/quick`)
console.log(`${response.status}: ${await response.text()}`)

const client = connect(server.port, '127.0.0.1').on('error', () => {})
client.write('GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n')
const token = await stop
console.log(`${String(token.kind)}: the work has stopped`)
await server.close()

/** As each runtime does it. */
async function serve(): Promise<{ port: number; close(): unknown }> {
  const { Bun, Deno } = globalThis as unknown as Runtimes
  if (Bun) {
    const server = Bun.serve({ port: 0, fetch: (request) => app.fetch(request, {}) })
    return { port: server.port, close: () => server.stop(true) }
  }
  if (Deno) {
    const quiet = { port: 0, onListen: () => {} }
    const server = Deno.serve(
      quiet,
      withRequestToken((request) => app.fetch(request, {})),
    )
    return { port: server.addr.port, close: () => server.shutdown() }
  }
  const node = await import('@hono/node-server')
  return new Promise((resolve) => {
    const server = node.serve({ fetch: app.fetch, port: 0 }, ({ port }) =>
      resolve({ port, close: () => server.close() }),
    )
  })
}

/** What there is of Bun and Deno here, for a compiler that knows neither. */
type Handler = (request: Request) => Response | Promise<Response>
interface Runtimes {
  readonly Bun?: { serve(options: { port: number; fetch: Handler }): { port: number; stop(force: boolean): unknown } }
  readonly Deno?: {
    serve(options: object, handler: Handler): { addr: { port: number }; shutdown(): Promise<void> }
  }
}
