import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import sirv from 'sirv'

/** What a page needs for memory that threads share: without it `crossOriginIsolated` is false. */
const isolation = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
}

function setHeaders(response) {
  for (const [name, value] of Object.entries(isolation)) response.setHeader(name, value)
}

/** Serves the built site, as a host of static files would. Resolves with its address and what closes it. */
export async function serve(folder, port = 0) {
  const files = sirv(folder, { extensions: ['html'], setHeaders })
  const server = createServer((request, response) => {
    files(request, response, () => {
      const missing = join(folder, '404.html')
      response.writeHead(404, { ...isolation, 'content-type': 'text/html; charset=utf-8' })
      response.end(existsSync(missing) ? readFileSync(missing) : 'not found')
    })
  })
  await new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })
  return {
    address: `http://127.0.0.1:${server.address().port}`,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
