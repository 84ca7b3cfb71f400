/** Serves the hub over HTTP by the server of the runtime that runs this program, uses it, and prints `served`. */
import process from 'node:process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { hubHandler, toNodeListener, type FetchHandler } from 'calloff/http'
import { connectHub, TokenServer } from 'calloff/remote'
import { options, useApi } from './scenario.js'

interface Platform {
  readonly Bun?: { serve(options: object): { readonly port: number } }
  readonly Deno?: { serve(options: object, handler: FetchHandler): { readonly addr: { readonly port: number } } }
}

async function listen(handler: FetchHandler): Promise<number> {
  const { Bun, Deno } = globalThis as Platform
  if (Bun) return Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: handler, idleTimeout: 0 }).port
  if (Deno) return Deno.serve({ port: 0, hostname: '127.0.0.1', onListen: () => {} }, handler).addr.port
  const listener = toNodeListener(handler)
  const server = createServer((request, response) => void listener(request, response))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return (server.address() as { port: number }).port
}

const server = await TokenServer.listen({ port: 0 })
const hub = await connectHub(server.url)
const handler = hubHandler(hub, options)
const port = await listen(handler)
await useApi(hub, (path, init) => fetch(`http://127.0.0.1:${port}${path}`, init))
handler.close()
console.log('served')
process.exit(0)
