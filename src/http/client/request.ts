/** Requests to a hub over HTTP, and what can go wrong with them. docs/reference/http.md is the contract. */
import { type NamesOf, optional } from '../../core/arguments.js'
import { waitAfter } from '../../core/backoff.js'
import { readWall } from '../../core/clock.js'
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
   * failed), `'refused'` (a refusal without a code), `'bad-answer'` (something else than a calloff handler has answered) or `'closed'` (the token was closed).
   * Codes do not change between versions.
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

/** Whether the same request may succeed later: the network has failed, or the server has too much to do, or a fault. */
export function mayPass(error: unknown): boolean {
  const { status } = Object(error) as HttpHubError
  return !((status as number) < 500) || status === 408 || status === 429
}

/** How long to wait after a failure, in milliseconds. Failures count from 1. */
export function retryIn(error: unknown, failures: number, most = 1_000): number {
  return Math.max(
    (error as HttpHubError | undefined)?.retryAfter || 0,
    waitAfter(failures - 1, 50, most, 2, Math.random()),
  )
}

/** How long one attempt may take, in milliseconds, if the server does not wait for more. */
const ATTEMPT = 15_000

/** Repeats a task as long as `when` says that it may succeed later. The token of each attempt has a time limit. */
export function persist<T>(
  token: CancellationToken,
  task: (attempt: TimeoutToken) => Promise<T>,
  when: (error: unknown) => boolean = mayPass,
  delay: (error: unknown, failures: number) => number = retryIn,
): Promise<T> {
  return token.retry((attempt) => task(new TimeoutToken(ATTEMPT, attempt)), { attempts: Infinity, delay, when })
}

/**
 * Sends one request; with a `body` it is a POST, which goes on when the user leaves the page. `path` begins with `/v1`. Rejects with a
 * `HttpHubError` for every answer that is not a success.
 */
export type Send = (path: string, token: CancellationToken, body?: string, headers?: HttpHeaders) => Promise<Response>

/** Returns the function that sends requests to the hub at `url`. Throws `TypeError` for text that is not a URL. */
export function senderTo(url: string | URL, { headers, fetch: send = fetch }: RequestOptions): Send {
  const base = String(url).replace(/\/$/, '')
  void new URL(base, (globalThis as { location?: { href: string } }).location?.href)
  return async (path, { signal }, body, others) => {
    const own = typeof headers === 'function' ? await headers() : headers
    const init = {
      ...(body && { method: 'POST', body, keepalive: true }),
      headers: { 'content-type': 'application/json', ...own, ...others },
      signal,
    }
    const response = await send(base + path, init).catch((cause: unknown) => {
      throw new HttpHubError('unreachable', 'the server cannot be reached', cause)
    })
    const { ok, status } = response
    if (ok) return response
    const { code, detail } = (await response.json().catch(() => ({}))) as Record<string, string | undefined>
    const wait = response.headers.get('retry-after') as string
    throw new HttpHubError(
      code ?? 'refused',
      detail ?? `the server answers ${status}`,
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
