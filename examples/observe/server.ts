/** A page made of three answers of another server. One comes at once, the other two take longer than a client waits. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type CancellationToken, fromHeaders, isCancellation, scope, toHeaders } from 'calloff'
import { fromRequest } from 'calloff/node'

export const urlOf = (server: Server): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}/`

async function listening(server: Server, port = 0): Promise<Server> {
  await once(server.listen(port, '127.0.0.1'), 'listening')
  return server
}

/** The other server. It answers `/stock` after 20 ms, and everything else after a minute. */
export function startUpstream(): Promise<Server> {
  const server = createServer((req, res) => {
    const timer = setTimeout(() => res.end('42'), req.url === '/stock' ? 20 : 60_000)
    res.on('close', () => clearTimeout(timer))
  })
  return listening(server)
}

/** The server of the page. `stop` cancels all requests. */
export function startShop(upstream: string, stop: CancellationToken): Promise<Server> {
  return listening(createServer((req, res) => void answer(req, res, upstream, stop)))
}

async function answer(req: IncomingMessage, res: ServerResponse, upstream: string, stop: CancellationToken) {
  const deadline = fromHeaders(req.headers, { name: 'deadline', max: 60_000 })
  const token = fromRequest(req, res, { name: 'client' }).plus(deadline, stop)
  try {
    const page = await scope(
      token,
      (s) => {
        const parts = ['stock', 'price', 'reviews'].map((part) =>
          s.run((own) => ask(`${upstream}${part}`, own), { name: part }),
        )
        void parts[0]?.then(
          () => res.writeProcessing(),
          () => {},
        ) // 102 Processing: tells the client that the answer is under way
        return Promise.all(parts)
      },
      { name: 'page' },
    )
    res.end(JSON.stringify(page))
  } catch (error) {
    const status = !isCancellation(error, token) ? 500 : token.kind === 'timeout' ? 504 : 503
    res.writeHead(status, { connection: 'close' }).end()
  }
}

async function ask(url: string, token: CancellationToken): Promise<string> {
  const response = await fetch(url, { signal: token.signal, headers: toHeaders(token) })
  return response.text()
}
