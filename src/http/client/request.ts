/** Requests to a hub over HTTP, and what can go wrong with them. docs/reference/http.md is the contract. */
import { type NamesOf, optional, wrongType } from '../../core/arguments.js'
import { waitAfter } from '../../core/backoff.js'
import { readWall } from '../../core/clock.js'
import { end } from '../../core/graph.js'
import { type CancellationToken, TimeoutToken } from '../../core/token.js'

/** Headers by their names. */
export type HttpHeaders = Readonly<Record<string, string>>

/** The options of every request. */
export interface RequestOptions {
  /**
   * Headers of the requests, such as `authorization`. A function is called before each request, so it can renew what expires.
   */
  readonly headers?: HttpHeaders | (() => HttpHeaders | PromiseLike<HttpHeaders>) | undefined
  /** Sends the requests. Default: the `fetch` of the platform. */
  readonly fetch?: ((url: string, init: RequestInit) => Promise<Response>) | undefined
}

export const REQUEST_OPTIONS: NamesOf<RequestOptions> = ['headers', 'fetch']

/** A request to the hub has failed. It is not a cancellation. Tell failures apart by `code`. */
export class HttpHubError extends Error {
  override readonly name = 'HttpHubError'
  /**
   * A code of the server, such as `'forbidden'`: see docs/reference/http.md. Or a code of the client: `'unreachable'` (the network has
   * failed), `'refused'` (a refusal without a code), `'bad-answer'` (something else than a calloff handler has answered) or `'closed'`
   * (the token was closed). Codes do not change between versions.
   */
  readonly code: string
  /** The status of the answer. Undefined if there was none, or none that could be read. */
  readonly status: number | undefined
  /** When the server may be asked again, in milliseconds. @internal */
  readonly retryAfter: number | undefined

  /** @internal */
  constructor(code: string, message: string, cause?: unknown, status?: number, retryAfter?: number) {
    super(message, { cause })
    this.code = code
    this.status = status
    this.retryAfter = retryAfter
  }
}

/** Without a `status`, the next answer may be better: this one may have been cut off. */
export const badAnswer = (cause?: unknown, status?: number): HttpHubError =>
  new HttpHubError('bad-answer', 'the answer is none of calloff', cause, status)

export const unreachable = (cause: unknown): HttpHubError =>
  new HttpHubError('unreachable', 'the server cannot be reached', cause)

/** Whether the same request may succeed later: the network has failed, or the server has too much to do, or a fault. */
export function mayPass(error: unknown): boolean {
  const { status } = Object(error) as HttpHubError
  return !((status as number) < 500) || status === 408 || status === 429
}

/** The longest wait that a server may ask for, in milliseconds. A hold does not outlive a longer one. */
const LONGEST = 300_000

/** How long to wait after a failure, in milliseconds. Failures count from 1. */
export function retryIn(error: unknown, failures: number, most = 1_000): number {
  return Math.max(
    Math.min((error as HttpHubError | undefined)?.retryAfter || 0, LONGEST),
    waitAfter(failures - 1, 50, most, 2, Math.random()),
  )
}

/** How long one attempt may take, in milliseconds, if the server does not wait for more. */
const ATTEMPT = 15_000

/**
 * Repeats a task as long as `when` says that it may succeed later. The token of each attempt has a time limit. An attempt ends with its
 * token, also if a `fetch` or the `headers` of the caller do not look at it.
 */
export function persist<T>(
  token: CancellationToken,
  task: (attempt: TimeoutToken) => Promise<T>,
  when: (error: unknown) => boolean = mayPass,
  delay: (error: unknown, failures: number) => number = retryIn,
): Promise<T> {
  const once = async (attempt: CancellationToken): Promise<T> => {
    const limit = new TimeoutToken(ATTEMPT, attempt)
    try {
      return await limit.race(task(limit))
    } catch (error) {
      throw limit.cancelled && error === limit.error ? unreachable(error) : error
    } finally {
      end(limit, 'dispose')
    }
  }
  return token.retry(once, { attempts: Infinity, delay, when })
}

/**
 * Sends one request; with a `body` it is a POST, which goes on when the user leaves the page. `path` begins with `/v1`. Rejects with a
 * `HttpHubError` for every answer that is not a success.
 */
export type Send = (path: string, token: CancellationToken, body?: string, headers?: HttpHeaders) => Promise<Response>

/** The greatest length of a refusal, in characters. What is longer is none of calloff. */
const LONGEST_REFUSAL = 16_384

/** Returns the value that a refusal has in JSON, as far as it is an object. */
async function problemOf({ body }: Response): Promise<Readonly<Record<string, unknown>>> {
  const reader = body?.getReader()
  const decoder = new TextDecoder()
  let text = ''
  try {
    while (reader && text.length < LONGEST_REFUSAL) {
      const { done, value } = await reader.read()
      if (done) return Object(JSON.parse(text)) as Record<string, unknown>
      text += decoder.decode(value, { stream: true })
    }
  } catch {
    // The status says enough.
  }
  reader?.cancel().catch(() => {})
  return {}
}

const textOr = (value: unknown, otherwise: string) => (value && typeof value === 'string' ? value : otherwise)

/** Returns the function that sends requests to the hub at `url`. Throws for arguments with which each attempt would fail. */
export function senderTo(url: string | URL, { headers, fetch: send = fetch }: RequestOptions): Send {
  optional('fetch', 'function', send)
  if (!/^(undefined|object|function)$/.test(typeof headers) || headers === null)
    throw wrongType('headers', 'an object or a function', headers)
  const base = String(url).replace(/\/$/, '')
  const { username, password, search, hash } = new URL(
    base,
    (globalThis as { location?: { href: string } }).location?.href,
  )
  // The link to a page has its token in the fragment. All that is added would be a part of the fragment.
  if (username || password || search || hash) throw new TypeError('url must have no user, no query and no fragment')
  return async (path, { signal }, body, others) => {
    const own = typeof headers === 'function' ? await headers() : headers
    const init = {
      ...(body && { method: 'POST', body, keepalive: true }),
      headers: { 'content-type': 'application/json', ...own, ...others },
      signal,
    }
    let response: Response
    try {
      response = await send(base + path, init)
    } catch (cause) {
      throw unreachable(cause)
    }
    const { ok, status } = response
    if (ok) return response
    const { code, detail } = await problemOf(response)
    const wait = response.headers.get('retry-after') as string
    throw new HttpHubError(
      textOr(code, 'refused'),
      textOr(detail, `the server answers ${status}`),
      undefined,
      status,
      Number(wait) * 1_000 || Date.parse(wait) - readWall(),
    )
  }
}

/** Returns the query that selects a run of a name. The server checks all the rest. */
export function queryOf(name: string, runId = ''): string {
  optional('name', 'string', name ?? null)
  // It throws for text that is not well-formed, which would arrive as another name.
  return `?name=${encodeURIComponent(name)}&runId=${encodeURIComponent(runId)}`
}

/** Resolves with what `read` makes of the value that a response has in JSON. */
export async function readFrom<T>(response: Promise<Response>, read: (value: never) => T): Promise<T> {
  const answer = await response
  try {
    return read((await answer.json()) as never)
  } catch (cause) {
    throw badAnswer(cause)
  }
}
