/** A hub over HTTP for tests: real servers, a client that is as rude as a socket can be, and a reader of events. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { type HubHandler, hubHandler, type HubHandlerOptions, toNodeListener } from 'calloff/http'
import { connectHub, type HubOptions, type TokenHub, TokenServer } from 'calloff/remote'

export const GOOD = 'Bearer good'

export interface World extends AsyncDisposable {
  readonly store: TokenServer
  readonly hub: TokenHub
  readonly handler: HubHandler
  readonly server: Server
  readonly port: number
  readonly url: string
  /** What `onError` was told. */
  readonly errors: unknown[]
}

/** Starts a token server, a hub, and a handler behind `node:http`. By default `authorize` wants {@link GOOD}. */
export async function start(options: Partial<HubHandlerOptions> = {}, hubOptions: HubOptions = {}): Promise<World> {
  const store = await TokenServer.listen({ port: 0 })
  const hub = await connectHub(store.url, hubOptions)
  const errors: unknown[] = []
  const handler = hubHandler(hub, {
    authorize: ({ headers }) => (headers.get('authorization') === GOOD ? true : 401),
    onError: (error) => void errors.push(error),
    pace: 10,
    ...options,
  })
  const server = createServer((request, response) => void toNodeListener(handler)(request, response))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  return {
    store,
    hub,
    handler,
    server,
    port,
    url: `http://127.0.0.1:${port}`,
    errors,
    async [Symbol.asyncDispose]() {
      handler.close()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await hub.close({ timeout: 0 }).catch(() => {})
      await store.close()
    },
  }
}

// ---- Requests as bytes

/** An answer as it came over the socket. */
export interface Answer {
  readonly status: number
  /** The headers, by their names in lower case. */
  readonly headers: ReadonlyMap<string, string>
  /** The lines of the head, as they are. */
  readonly head: readonly string[]
  readonly body: string
}

export interface Raw {
  readonly method?: string
  readonly target: string
  /** Lines of the head. `host` and `authorization` are added if they are absent. */
  readonly headers?: readonly string[]
  readonly body?: string | Uint8Array
  /** Leave out `content-length`. */
  readonly isOpenEnded?: boolean
}

export function textOf(port: number, { method = 'GET', target, headers = [], body, isOpenEnded }: Raw): Uint8Array {
  const has = (name: string) => headers.some((line) => line.toLowerCase().startsWith(`${name}:`))
  const bytes = Buffer.from(body ?? '')
  const lines = [
    `${method} ${target} HTTP/1.1`,
    ...(has('host') ? [] : [`Host: 127.0.0.1:${port}`]),
    ...(has('authorization') ? [] : [`Authorization: ${GOOD}`]),
    ...(body === undefined || isOpenEnded ? [] : [`Content-Length: ${bytes.length}`]),
    ...(has('connection') ? [] : ['Connection: close']),
    ...headers,
  ]
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), bytes])
}

/** Opens a socket that survives whatever the server does to it. */
export async function socketTo(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  socket.on('error', () => {})
  return socket
}

/** Sends a request as it is, and reads until the server closes the connection. */
export async function ask(port: number, raw: Raw): Promise<Answer> {
  const socket = await socketTo(port)
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  socket.write(textOf(port, raw))
  await closed(socket)
  return answerFrom(Buffer.concat(chunks).toString('latin1'))
}

export function answerFrom(text: string): Answer {
  const [head = '', ...rest] = text.split('\r\n\r\n')
  const [first = '', ...lines] = head.split('\r\n')
  const pairs = lines.map((line) => {
    const at = line.indexOf(':')
    return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()] as const
  })
  const headers = new Map(pairs)
  const sent = rest.join('\r\n\r\n')
  const body = headers.get('transfer-encoding') === 'chunked' ? unchunked(sent) : sent
  return {
    status: Number(first.split(' ')[1]),
    headers,
    head: [first, ...lines],
    body: Buffer.from(body, 'latin1').toString(),
  }
}

function unchunked(text: string): string {
  const size = Number.parseInt(text, 16)
  const begin = text.indexOf('\r\n') + 2
  return size > 0 ? text.slice(begin, begin + size) + unchunked(text.slice(begin + size + 2)) : ''
}

export async function closed(socket: Socket): Promise<void> {
  if (!socket.closed) await once(socket, 'close')
}

/** Resolves when the answer has begun. Returns what has come so far. */
export async function begun(socket: Socket, text = '\r\n\r\n'): Promise<string> {
  let seen = ''
  while (!seen.includes(text)) {
    const [chunk] = (await once(socket, 'data')) as [Buffer]
    seen += chunk.toString('latin1')
  }
  return seen
}

// ---- Requests by fetch

export interface Asking {
  readonly method?: string
  readonly headers?: Record<string, string>
  readonly body?: unknown
  readonly signal?: AbortSignal
}

/** A polite request, with the right key. */
export function get({ url }: { readonly url: string }, target: string, asking: Asking = {}): Promise<Response> {
  const { method = 'GET', headers = {}, body, signal } = asking
  return fetch(url + target, {
    method,
    headers: {
      authorization: GOOD,
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    ...(signal && { signal }),
  })
}

export const post = (at: { readonly url: string }, target: string, body?: unknown): Promise<Response> =>
  get(at, target, { method: 'POST', ...(body !== undefined && { body }) })

// ---- Events

export interface Sent {
  readonly event: string
  readonly id: string | undefined
  readonly data: unknown
}

/** Cuts whole events off the beginning of a text, as the standard says. Lines that are no field of an event throw. */
export function eventsIn(text: string): { readonly events: readonly Sent[]; readonly rest: string } {
  const blocks = text.split('\n\n')
  const rest = blocks.pop() as string
  const events: Sent[] = []
  for (const block of blocks) {
    const fields = new Map<string, string>()
    for (const line of block.split(/\r\n|\r|\n/)) {
      if (line === ':') continue
      const [, name, value] = /^(id|event|data): (.*)$/su.exec(line) ?? []
      if (name === undefined || fields.has(name)) throw new Error(`no line of an event: ${JSON.stringify(line)}`)
      fields.set(name, value as string)
    }
    if (fields.size === 0) continue
    events.push({
      event: fields.get('event') as string,
      id: fields.get('id'),
      data: JSON.parse(fields.get('data') as string),
    })
  }
  return { events, rest }
}

/** Yields the events of a stream until it ends. */
export async function* eventsOf(response: Response): AsyncGenerator<Sent> {
  if (response.status !== 200) throw new Error(`no stream: ${response.status} ${await response.text()}`)
  let text = ''
  const decoder = new TextDecoder()
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    text += decoder.decode(chunk, { stream: true })
    const { events, rest } = eventsIn(text)
    text = rest
    yield* events
  }
}

/** Reads until an event of that type, which it returns. Leaves the stream open. */
export async function until(events: AsyncGenerator<Sent>, ...types: readonly string[]): Promise<Sent> {
  for (;;) {
    const { done, value } = await events.next()
    if (done) throw new Error(`the stream has ended without ${types.join(' or ')}`)
    if (types.includes(value.event)) return value
  }
}

/** Tries again until the check is true: for what the server does in its own time. */
export async function eventually(check: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await check())) await new Promise((resolve) => setTimeout(resolve, 5))
}
