/**
 * One request, three kinds of work under one token: a child process, a request to another server, and a loop in a worker
 * thread that never yields. The client that leaves, the deadline and Ctrl+C each stop all three.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import process from 'node:process'
import { type CancellationToken, isCancellation, scope, TimeoutToken, toHeaders } from 'calloff'
import { fromRequest, run } from 'calloff/node'
import { share } from 'calloff/threads'

export interface Settings {
  /** Cancels everything. */
  readonly stop: CancellationToken
  /** Milliseconds for a request. */
  readonly deadline: number
  /** The other server. */
  readonly prices: string
  /** How long the child takes, and how far the worker counts. */
  readonly renderMs: number
  readonly primesBelow: number
  readonly log: (line: string) => void
}

export async function startServer(settings: Settings): Promise<Server> {
  let requests = 0
  const server = createServer((req, res) => void answer(++requests, req, res, settings))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return server
}

export const urlOf = (server: Server): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}/`

async function answer(id: number, req: IncomingMessage, res: ServerResponse, settings: Settings): Promise<void> {
  const { stop, deadline, log } = settings
  const token = fromRequest(req, res, { name: 'client' }).plus(new TimeoutToken(deadline, { name: 'deadline' }), stop)
  let calledOffAt = 0
  // Taken back at the end: `stop` lives longer than a request.
  using _ = token.onCancel(() => (calledOffAt = performance.now()))
  try {
    const report = await gather(token, settings)
    res.setHeader('content-type', 'application/json').end(JSON.stringify(report))
    log(`request ${id}: done`)
  } catch (error) {
    // Here all three have ended: a scope waits for what it has started.
    const after = Math.round(performance.now() - calledOffAt)
    if (isCancellation(error, token)) {
      const { kind, message } = token.error as Error & { kind: string }
      log(`request ${id}: cancelled (${kind}): ${message}; all stopped after ${after} ms`)
      res.writeHead(kind === 'timeout' ? 504 : 503).end()
    } else {
      log(`request ${id}: failed: ${String(error)}`)
      res.writeHead(500).end()
    }
  }
}

function gather(token: CancellationToken, { prices, renderMs, primesBelow }: Settings) {
  return scope(token, async (s) => {
    const picture = s.run((own) => render(renderMs, own), { name: 'render' })
    const price = s.run((own) => ask(prices, own), { name: 'ask' })
    const primes = s.run((own) => crunch(primesBelow, own), { name: 'crunch' })
    return { picture: await picture, price: await price, primes: await primes }
  })
}

/** A child process: asked to end, and killed if it has not within 20 ms. */
async function render(ms: number, token: CancellationToken): Promise<string> {
  const program = fileURLToPath(new URL('render.js', import.meta.url))
  const { stdout } = await run(process.execPath, [program, String(ms)], { token, grace: 20 })
  return stdout.trim()
}

/** Another server: it is told how much time is left, and sees the connection go. */
async function ask(url: string, token: CancellationToken): Promise<number> {
  const response = await fetch(url, { signal: token.signal, headers: toHeaders(token) })
  return Number(await response.text())
}

/** A thread that never yields: the token reaches it through shared memory. */
async function crunch(below: number, token: CancellationToken): Promise<number> {
  using shared = share(token)
  const worker = new Worker(new URL('crunch.js', import.meta.url), { workerData: { token: shared.handle, below } })
  const [[primes]] = await Promise.all([once(worker, 'message'), once(worker, 'exit')])
  token.check() // what it has counted by then is not the answer
  return primes as number
}
