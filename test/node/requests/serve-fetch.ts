/** A server for a fetch-style handler: the runtime's own, or on Node that of hono. */
import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface FetchSite extends AsyncDisposable {
  readonly port: number
}

type Handler = (request: Request, ...rest: never[]) => Response | Promise<Response>

interface Host {
  readonly Bun?: {
    serve(options: { port: number; hostname: string; idleTimeout: number; fetch: Handler }): {
      readonly port: number
      stop(hard: boolean): Promise<void>
    }
  }
  readonly Deno?: {
    serve(
      options: { port: number; hostname: string; onListen(): void; onError(error: unknown): Response },
      handler: Handler,
    ): { readonly addr: { readonly port: number }; shutdown(): Promise<void>; readonly finished: Promise<void> }
  }
}

const { Bun, Deno } = globalThis as Host
const hostname = '127.0.0.1'

export async function serveFetch(handler: Handler): Promise<FetchSite> {
  if (Bun !== undefined) {
    const server = Bun.serve({ port: 0, hostname, idleTimeout: 60, fetch: handler })
    return { port: server.port, [Symbol.asyncDispose]: () => server.stop(true) }
  }
  if (Deno !== undefined) {
    const onError = (): Response => new Response(null, { status: 500 })
    const stop = new AbortController()
    const options = { port: 0, hostname, onListen() {}, onError, signal: stop.signal }
    const server = Deno.serve(options, handler)
    return {
      port: server.addr.port,
      async [Symbol.asyncDispose]() {
        stop.abort()
        await server.finished
      },
    }
  }
  const { serve } = await import('@hono/node-server')
  const server = serve({ fetch: handler as (request: Request) => Promise<Response>, port: 0, hostname }) as Server
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
