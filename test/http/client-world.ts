/** A hub over HTTP for tests of the client: a token server, servers of HTTP with a hub each, and a proxy that cuts. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { type HubHandlerOptions, hubHandler, toNodeListener } from 'calloff/http'
import { connectHub, type TokenHub, TokenServer } from 'calloff/remote'
import { type Proxy, proxyTo } from '../remote/proxy.js'

/** One server of HTTP, with a hub of its own. */
export interface Web {
  readonly url: string
  readonly port: number
  readonly hub: TokenHub
  /** The requests so far: `POST /v1/cancel`. */
  readonly asked: string[]
  /** Ends the server without a warning. */
  end(): Promise<void>
}

export interface World extends AsyncDisposable {
  /** A hub of another process, so to speak. */
  readonly hub: TokenHub
  /** Starts a server of HTTP. `before` answers a request instead of the handler if it returns true. */
  serve(options?: Partial<HubHandlerOptions>, before?: Before, port?: number): Promise<Web>
  /** Starts a server that is none of calloff. */
  listen(listener: RequestListener): Promise<string>
  proxy(port: number): Promise<Proxy>
  /** Connects another hub. */
  connect(): Promise<TokenHub>
  name(): string
}

export type Before = (...given: Parameters<RequestListener>) => boolean

let worlds = 0

export async function makeWorld(): Promise<World> {
  const closing: (() => unknown)[] = []
  const tokens = await TokenServer.listen({ port: 0 })
  closing.push(() => tokens.close())
  const connect = async () => {
    const hub = await connectHub(tokens.url)
    closing.push(() => hub.close().catch(() => {}))
    return hub
  }
  const start = async (listener: RequestListener, port = 0) => {
    const server = createServer(listener)
    await once(server.listen(port, '127.0.0.1'), 'listening')
    closing.push(() => endOf(server))
    return { server, port: (server.address() as AddressInfo).port }
  }
  const stem = `client-${process.pid}-${++worlds}`
  let names = 0
  return {
    hub: await connect(),
    connect,
    name: () => `${stem}-${++names}`,
    async serve(options, before, at) {
      const hub = await connect()
      const handler = hubHandler(hub, { authorize: () => true, onError: () => {}, ...options })
      const listener = toNodeListener(handler)
      const asked: string[] = []
      const { server, port } = await start((request, response) => {
        asked.push(`${request.method} ${request.url?.split('?')[0]}`)
        if (!before?.(request, response)) void listener(request, response)
      }, at)
      closing.push(() => handler.close())
      const end = async () => {
        await endOf(server)
        handler.close()
      }
      return { url: `http://127.0.0.1:${port}`, port, hub, asked, end }
    },
    async listen(listener) {
      const { port } = await start(listener)
      return `http://127.0.0.1:${port}`
    },
    async proxy(port) {
      const proxy = await proxyTo(port)
      closing.push(() => proxy.close())
      return proxy
    },
    async [Symbol.asyncDispose]() {
      for (const close of closing.toReversed()) await close()
    },
  }
}

async function endOf(server: Server): Promise<void> {
  if (!server.listening) return
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
}

/** Waits until it is so. */
export async function until(isSo: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (const start = performance.now(); !(await isSo());) {
    if (performance.now() - start > 60_000) throw new Error(`${what}, which did not happen in time`)
    await pause(5)
  }
}

export const pathOf = ({ url = '' }: IncomingMessage): string => url.split('?')[0] as string
