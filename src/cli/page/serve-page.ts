/** Serves the page for operators, and the API that it uses, for a hub. */
import { createHash, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { hubHandler, hubPage, toNodeListener } from '../../http/index.js'
import type { TokenHub } from '../../remote/index.js'
import { messageOf } from '../terminal/errors.js'
import { printMessage } from '../terminal/output.js'
import { type Address, hostCheck, urlOf } from './address.js'

/** The page, while it is served. */
export interface PageServer {
  readonly url: string
  /** Whether there is a connection, for example of a browser. */
  isUsed(): boolean
  close(): void
}

/** Serves the page and the API at the address, and keeps the process alive until `close`. Rejects if it cannot listen there. */
export async function servePage(hub: TokenHub, address: Address, token: string): Promise<PageServer> {
  const isToken = tokenCheck(token)
  const api = hubHandler(hub, {
    authorize: ({ headers }) => isToken(headers.get('authorization')) || 401,
    onError: (error) => printMessage(messageOf(error)),
  })
  const page = hubPage()
  const isOurs = hostCheck(address)
  const answer = toNodeListener((request) => (new URL(request.url).pathname === '/' ? page(request) : api(request)))
  const server = createServer((request, response) => {
    if (isOurs(request.headers.host)) void answer(request, response)
    else {
      response.writeHead(421, { 'content-type': 'text/plain; charset=utf-8', connection: 'close' })
      response.end('This server is not known by that name.\n')
    }
  })
  let connections = 0
  server.on('connection', (socket) => {
    connections++
    socket.once('close', () => connections--)
  })
  server.listen(address.port, address.host)
  await once(server, 'listening')
  return {
    url: urlOf({ host: address.host, port: (server.address() as AddressInfo).port }),
    isUsed: () => connections > 0,
    close() {
      api.close()
      server.close()
      server.closeAllConnections()
    },
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

/** Returns a check for the header `Authorization`, which takes the same time for every wrong token. */
function tokenCheck(token: string): (header: string | null) => boolean {
  const wanted = digest(`Bearer ${token}`)
  return (header) => timingSafeEqual(digest(header ?? ''), wanted)
}
