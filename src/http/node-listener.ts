/** Turns a handler into a listener for `node:http`, and for what takes such a listener: `node:http2`, express, fastify. */
import { wrongType } from '../core/arguments.js'
import { after } from '../core/clock.js'
import { Problem } from './problem.js'

/** How long a client may go on sending the body of a request that was answered, in milliseconds. */
const LINGER = 10_000

/** The part of an `IncomingMessage`, of HTTP/1.1 or HTTP/2, that the listener uses. */
export interface NodeRequest {
  readonly method?: string | undefined
  readonly url?: string | undefined
  /** Set by express: the URL before a router has cut off its path. */
  readonly originalUrl?: string | undefined
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  /** Set by a body parser, which has then read the stream. */
  readonly body?: unknown
  readonly socket: object | null
  /** Whether all of the request has arrived. */
  readonly complete: boolean
  /** Whether the client has left. */
  readonly aborted?: boolean | undefined
  on(event: 'data' | 'end' | 'error' | 'close', listener: (chunk: Uint8Array) => void): unknown
  pause(): unknown
  resume(): unknown
  destroy(): unknown
}

/** The part of a `ServerResponse`, of HTTP/1.1 or HTTP/2, that the listener uses. */
export interface NodeResponse {
  writeHead(status: number, headers: Record<string, string | string[]>): unknown
  /** Sends the headers before there is a body to send with them. */
  flushHeaders?(): unknown
  write(chunk: Uint8Array): boolean
  end(): unknown
  destroy(error?: Error): unknown
  on(event: 'close' | 'drain' | 'error', listener: () => void): unknown
}

/** Answers a request, as servers on Deno, Bun and the edge call it. */
export type FetchHandler = (request: Request) => Response | PromiseLike<Response>

/**
 * Returns a listener for `node:http`, `node:http2`, express and fastify that answers requests by a handler that takes a `Request` and
 * returns a `Response`. When the client leaves, `request.signal` is aborted, and the body of the response is cancelled.
 *
 * If a body parser has read the body, the listener takes it from `request.body`. For fastify, call `reply.hijack()` first, and pass
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
    outgoing.on('close', () => left.abort())
    outgoing.on('error', () => {}) // the client is gone; `close` follows
    if (incoming.aborted) left.abort()
    const answer = await answerTo(handler, incoming, left.signal)
    try {
      if (left.signal.aborted) await answer.body?.cancel()
      else {
        outgoing.writeHead(answer.status, headersOf(answer))
        // The first event may come much later, and the client wants to know that it is connected.
        if (answer.headers.get('content-type')?.startsWith('text/event-stream')) outgoing.flushHeaders?.()
        await send(answer.body, outgoing, left.signal)
      }
    } catch {
      outgoing.destroy()
    }
    discard(incoming)
  }
}

/**
 * Drops what the client still sends, so that it reads the answer and its connection can be used again. Cuts the client off if it goes
 * on for longer than `LINGER`.
 */
function discard(incoming: NodeRequest): void {
  incoming.resume()
  if (incoming.complete) return
  const stop = after(LINGER, () => incoming.destroy(), false)
  incoming.on('close', stop)
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
  const { method = 'GET', headers } = incoming
  const url = urlOf(incoming)
  const given = new Headers()
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || name.startsWith(':')) continue
    for (const one of typeof value === 'string' ? [value] : value) given.append(name, one)
  }
  const hasBody = method !== 'GET' && method !== 'HEAD'
  const body = hasBody ? bodyOf(incoming) : undefined
  return new Request(url, { method, headers: given, signal, ...(body !== undefined && { body, duplex: 'half' }) })
}

/** Returns the URL of the request. Throws for a `Host` that contains more than a host, and for a URL that is not of HTTP. */
function urlOf({ headers, socket, originalUrl, url: target = '/' }: NodeRequest): URL {
  const host = String(headers[':authority'] ?? headers['host'] ?? 'localhost')
  if (!/^[^\s/?#@\\]+$/.test(host)) throw new TypeError('the host is malformed')
  const scheme = 'encrypted' in Object(socket) ? 'https' : 'http'
  const path = originalUrl ?? target
  // A client of a proxy sends a whole URL.
  const url = new URL(path.startsWith('/') ? `${scheme}://${host}${path}` : path)
  if (!/^https?:$/.test(url.protocol)) throw new TypeError('the URL is malformed')
  return url
}

function bodyOf(incoming: NodeRequest): BodyInit | undefined {
  const { body, headers } = incoming
  if (body === undefined) return streamOf(incoming)
  // A parser of bodies makes an empty object of a request without a body.
  if (headers['content-type'] === undefined) return undefined
  return typeof body === 'string' ? body : JSON.stringify(body)
}

/** The body as a stream that is read no faster than the handler takes it. */
function streamOf(incoming: NodeRequest): ReadableStream<Uint8Array> {
  let isBegun = false
  let isOver = false
  const end = (how: () => void) => {
    if (isOver) return
    isOver = true
    how()
  }
  const begin = (controller: ReadableStreamDefaultController<Uint8Array>) => {
    isBegun = true
    incoming.on('data', (chunk) => {
      if (isOver) return
      controller.enqueue(chunk)
      incoming.pause()
    })
    incoming.on('end', () => end(() => controller.close()))
    const broken = () => end(() => controller.error(new Error('the client has left')))
    incoming.on('error', broken)
    incoming.on('close', broken)
  }
  return new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        if (!isBegun) begin(controller)
        incoming.resume()
      },
      cancel() {
        isOver = true
      },
    },
    { highWaterMark: 0 },
  )
}

async function send(body: ReadableStream<Uint8Array> | null, outgoing: NodeResponse, left: AbortSignal): Promise<void> {
  const reader = body?.getReader()
  if (!reader) return void outgoing.end()
  let resume: (() => void) | undefined
  outgoing.on('drain', () => resume?.())
  outgoing.on('close', () => {
    // Not awaited: it also ends a read that waits for the next event.
    void reader.cancel().catch(() => {})
    resume?.()
  })
  // Also while the client does not read.
  reader.closed.catch(() => outgoing.destroy())
  for (;;) {
    const { done, value } = await reader.read()
    if (left.aborted) return
    if (done) return void outgoing.end()
    if (!outgoing.write(value)) await new Promise<void>((resolve) => (resume = resolve))
  }
}
