/** The handler as a listener of `node:http`, and of all that takes such a listener: `node:http2`, express, fastify. */
import { wrongType } from '../core/arguments.js'
import { Problem } from './problem.js'

/** What is needed of an `IncomingMessage`, of HTTP/1.1 or HTTP/2. */
export interface NodeRequest extends AsyncIterable<Uint8Array> {
  readonly method?: string | undefined
  readonly url?: string | undefined
  /** Set by express: the URL before a router has cut off its path. */
  readonly originalUrl?: string | undefined
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  /** Set by a parser of bodies. The stream was read then. */
  readonly body?: unknown
  readonly socket: object | null
}

/** What is needed of a `ServerResponse`, of HTTP/1.1 or HTTP/2. */
export interface NodeResponse {
  writeHead(status: number, headers: Record<string, string | string[]>): unknown
  write(chunk: Uint8Array): boolean
  end(): unknown
  destroy(error?: Error): unknown
  on(event: 'close' | 'drain' | 'error', listener: () => void): unknown
  off(event: 'drain', listener: () => void): unknown
}

/** Answers a request, as servers on Deno, Bun and the edge call it. */
export type FetchHandler = (request: Request) => Response | PromiseLike<Response>

/**
 * Returns a listener for `node:http`, `node:http2`, express and fastify that answers requests by a fetch-style handler. It never
 * rejects. When the client leaves, `request.signal` is aborted, and the body of the response is cancelled.
 *
 * It takes a body that was parsed before from `request.body`. For fastify, call `reply.hijack()` first, and pass
 * `Object.assign(request.raw, { body: request.body })` and `reply.raw`.
 *
 * @example
 * ```ts
 * import { once } from 'node:events'
 * import { createServer } from 'node:http'
 * import { toNodeListener } from 'calloff/http'
 *
 * const server = createServer(toNodeListener(async (request) => new Response(`you asked for ${new URL(request.url).pathname}`)))
 * await once(server.listen(0, '127.0.0.1'), 'listening')
 * const { port } = server.address() as { port: number }
 * const answer = await fetch(`http://127.0.0.1:${port}/v1/names`)
 * console.log(await answer.text()) // → you asked for /v1/names
 * server.close()
 * ```
 */
export function toNodeListener(handler: FetchHandler): (request: NodeRequest, response: NodeResponse) => Promise<void> {
  if (typeof handler !== 'function') throw wrongType('handler', 'a function', handler)
  return async (incoming, outgoing) => {
    const left = new AbortController()
    let isGone = false
    outgoing.on('close', () => {
      isGone = true
      left.abort()
    })
    outgoing.on('error', () => {}) // the client is gone; `close` follows
    const answer = await answerTo(handler, incoming, left.signal)
    if (isGone) await answer.body?.cancel().catch(() => {})
    else {
      outgoing.writeHead(answer.status, headersOf(answer))
      await send(answer.body, outgoing, () => isGone)
    }
  }
}

async function answerTo(handler: FetchHandler, incoming: NodeRequest, signal: AbortSignal): Promise<Response> {
  let request: Request
  try {
    request = requestFrom(incoming, signal)
  } catch {
    return new Problem('bad-request', 'the host, the path or the method is malformed').toResponse()
  }
  try {
    return await handler(request)
  } catch {
    return new Problem('internal').toResponse()
  }
}

function headersOf({ headers }: Response): Record<string, string | string[]> {
  const cookies = headers.getSetCookie()
  return { ...Object.fromEntries(headers), ...(cookies.length > 0 && { 'set-cookie': cookies }) }
}

function requestFrom(incoming: NodeRequest, signal: AbortSignal): Request {
  const { method = 'GET', headers, socket } = incoming
  const host = headers[':authority'] ?? headers['host'] ?? 'localhost'
  const scheme = 'encrypted' in Object(socket) ? 'https' : 'http'
  const path = incoming.originalUrl ?? incoming.url ?? '/'
  // A path that begins with two slashes would be read as a host.
  const url = new URL(`${scheme}://${String(host)}${path.startsWith('/') ? path : '/'}`)
  const given = new Headers()
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || name.startsWith(':')) continue
    for (const one of typeof value === 'string' ? [value] : value) given.append(name, one)
  }
  const hasBody = method !== 'GET' && method !== 'HEAD'
  if (!hasBody) return new Request(url, { method, headers: given, signal })
  const body = incoming.body === undefined ? streamOf(incoming) : JSON.stringify(incoming.body)
  return new Request(url, { method, headers: given, signal, body, duplex: 'half' } as RequestInit)
}

/** The body as a stream that is read no faster than the handler takes it. */
function streamOf(incoming: NodeRequest): ReadableStream<Uint8Array> {
  let parts: AsyncIterator<Uint8Array> | undefined
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        parts ??= incoming[Symbol.asyncIterator]()
        const { done, value } = await parts.next()
        if (done) controller.close()
        else controller.enqueue(value)
      },
    },
    { highWaterMark: 0 },
  )
}

async function send(
  body: ReadableStream<Uint8Array> | null,
  outgoing: NodeResponse,
  isGone: () => boolean,
): Promise<void> {
  const reader = body?.getReader()
  if (!reader) return void outgoing.end()
  // Not awaited: it also ends a read that waits for the next event.
  outgoing.on('close', () => void reader.cancel().catch(() => {}))
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (isGone()) return
      if (done) return void outgoing.end()
      if (!outgoing.write(value)) await drained(outgoing)
    }
  } catch {
    outgoing.destroy()
  }
}

/** Waits until the client has read, or has left. */
function drained(outgoing: NodeResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      outgoing.off('drain', done)
      resolve()
    }
    outgoing.on('drain', done)
    outgoing.on('close', done)
  })
}
