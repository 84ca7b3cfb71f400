/** The server on the other side of the HTTP clients: it answers, or never does, and tells when a client has left. */
import { once } from 'node:events'
import { createServer } from 'node:http'

/**
 * Starts a server on the loopback interface.
 *
 * @param {(request: import('node:http').IncomingMessage, response: import('node:http').ServerResponse, hang: () => void, body: string) => void} [answer]
 *   Answers a request, or calls `hang` (after the headers and a part of the body, if it wants to) and leaves it at that.
 */
export async function openOrigin(answer = plainly) {
  const meetings = new Meetings()
  const server = createServer((request, response) => {
    const chunks = []
    request.on('data', (chunk) => chunks.push(chunk))
    request.on('end', () => {
      const hang = () => meetings.add(once(response, 'close'))
      answer(request, response, hang, Buffer.concat(chunks).toString())
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    server,
    meetings,
    url: `http://127.0.0.1:${server.address().port}`,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** What hangs on the other side. */
export class Meetings {
  /** How many calls have arrived. */
  count = 0
  #waiting = []

  /** A call has arrived; `left` resolves when the other side sees that the client has cancelled it. */
  add(left) {
    this.count++
    for (const resolve of this.#waiting.splice(0)) resolve({ left })
  }

  /** Resolves with the next call that arrives. */
  next() {
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
    })
  }
}

function plainly({ url }, response, hang) {
  if (url === '/hang') {
    hang()
    return
  }
  response.writeHead(200, { 'content-type': 'application/json' })
  if (url === '/body') {
    response.write('{"ok":')
    hang()
  } else response.end('{"ok":true}')
}
