/**
 * Serves the package as built and the compiled tests to a browser, as a site that is isolated from others: what shares
 * memory between threads needs that.
 *
 * Names of modules are resolved here, and not by an import map, since workers have none: `calloff` and its sub-paths lead
 * where package.json says, the modules of Node that the tests use to stand-ins. Everything else in a file is served as it is.
 */
import { readFileSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const standIns = '/build/test/runtimes/browser'
const isolation = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
  'cross-origin-resource-policy': 'same-origin',
}
const types: Readonly<Record<string, string>> = {
  '.js': 'text/javascript; charset=utf-8',
  '.map': 'application/json',
}
const page = '<!doctype html><meta charset="utf-8"><title>calloff</title><link rel="icon" href="data:,">'

export interface Site {
  /** Where it is, without a slash at the end. Its root is an empty page. */
  readonly origin: string
  close(): Promise<void>
}

export async function serve(): Promise<Site> {
  const names = modules()
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost')
    const open = requests[pathname]
    if (open !== undefined) open(response)
    else if (pathname === '/') response.writeHead(200, { ...isolation, 'content-type': 'text/html' }).end(page)
    else sendFile(response, pathname, names)
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => {
        server.close(resolve)
      })
    },
  }
}

/** For tests that need a request which is under way: one never gets an answer, one the first half, one all of it. */
const requests: Readonly<Record<string, (response: ServerResponse) => void>> = {
  '/never': () => {},
  '/half': (response) => response.writeHead(200, { 'content-type': 'text/plain' }).write('half of '),
  '/whole': (response) => response.writeHead(200, { 'content-type': 'text/plain' }).end('all of it'),
}

function sendFile(response: ServerResponse, pathname: string, names: ReadonlyMap<string, string>): void {
  const path = normalize(pathname)
  const type = types[extname(path)]
  let content: string | undefined
  if (type !== undefined && /^[/\\](build|dist|src)[/\\]/.test(path)) {
    try {
      content = readFileSync(join(root, path), 'utf8')
    } catch {
      // There is none.
    }
  }
  if (content === undefined) {
    response.writeHead(404).end()
    return
  }
  const text = extname(path) === '.js' ? resolved(content, names) : content
  response.writeHead(200, { ...isolation, 'content-type': type, 'cache-control': 'no-store' }).end(text)
}

/** The code with the names of modules that a browser cannot know replaced by where they are. */
function resolved(code: string, names: ReadonlyMap<string, string>): string {
  return code.replaceAll(
    /^((?:import|export|\}) ?(?:[^'"\n]* from )?)'([^'\n]+)'/gm,
    (all, before: string, name: string) => (names.has(name) ? `${before}'${names.get(name)}'` : all),
  )
}

function modules(): Map<string, string> {
  const { name, exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    name: string
    exports: Record<string, string | { default: string }>
  }
  const found = new Map([
    ['node:test', `${standIns}/test.js`],
    ['node:assert/strict', `${standIns}/assert.js`],
    ['node:worker_threads', `${standIns}/worker-threads.js`],
  ])
  for (const [key, target] of Object.entries(exports)) {
    if (typeof target === 'object') found.set(name + key.slice(1), target.default.slice(1))
  }
  return found
}
