/**
 * Serves the page with the two headers without which a browser has no shared memory.
 * `node build/examples/browser-worker/serve.js [port]`, then open what it prints.
 *
 * An application has a bundler that knows where 'calloff' is. Here the server puts its address into the code, since import
 * maps do not reach into workers.
 */
import { readFile } from 'node:fs/promises'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'

const root = new URL('../../../', import.meta.url)
const headers = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
}
const types: Readonly<Record<string, string>> = { '.html': 'text/html', '.js': 'text/javascript' }

/** Where a request leads: the code as built, the page as it is. */
function fileOf(path: string): string {
  if (path === '/') return 'examples/browser-worker/index.html'
  if (path.startsWith('/calloff/')) return `dist${path.slice('/calloff'.length)}`
  return path.startsWith('/primes/') ? `build/examples${path}` : `build/examples/browser-worker${path}`
}

const withAddresses = (code: string): string =>
  code
    .replaceAll("from 'calloff'", "from '/calloff/index.js'")
    .replaceAll(/from 'calloff\/(\w+)'/g, "from '/calloff/$1/index.js'")

async function answer(path: string, response: ServerResponse): Promise<void> {
  try {
    const file = new URL(fileOf(path), root)
    const type = types[extname(file.pathname)]
    if (type === undefined) throw new Error(`nothing is served but ${Object.keys(types).join(' and ')}`)
    const text = withAddresses(await readFile(fileURLToPath(file), 'utf8'))
    response.writeHead(200, { ...headers, 'content-type': `${type}; charset=utf-8` }).end(text)
  } catch (error) {
    response.writeHead(404, { 'content-type': 'text/plain' }).end(String(error))
  }
}

const server = createServer((request, response) => {
  // A URL has no way up and out of its root left in it.
  void answer(new URL(request.url ?? '/', 'http://localhost').pathname, response)
})

server.listen(Number(process.argv[2] ?? 8080), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
})
