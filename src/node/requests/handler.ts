import { optionsOf, wrongType } from '../../core/arguments.js'
import { isCancellation } from '../../core/errors.js'
import { turn } from '../../core/clock.js'
import type { CancellationToken } from '../../core/token.js'
import { type FetchRequest, finish, fromRequest, REQUEST_OPTIONS, type RequestOptions } from './from-request.js'

/** The status of an answer that no client receives, as in the logs of nginx: the client has closed the connection. */
const CLIENT_CLOSED = 499

/**
 * Makes a handler for `Bun.serve`, `Deno.serve`, hono and others that receives the request's token as its second
 * argument. Further arguments of the server (Bun's server, Deno's info) follow.
 *
 * It does what {@link fromRequest} cannot do with a `Request` alone. It reads `request.signal` first of all, since Deno
 * forgets a disconnect that came before the first read. On `Deno.serve`, where `request.signal` is also aborted after a
 * success, it watches the body of the response, so that only a disconnect cancels the token.
 *
 * In all functions that the handler calls, `fromRequest(request)` returns the same token. If the client has left and
 * the handler fails with the token's error, the answer has status 499, which no client receives, and the server logs no
 * failure.
 *
 * Errors: `TypeError` if `handler` is no function. All other errors of the handler are thrown on.
 *
 * @example
 * ```ts
 * import { withRequestToken } from 'calloff/node'
 *
 * const handler = withRequestToken(async (request: Request, token) => {
 *   await token.sleep(10)
 *   return new Response(`you asked for ${request.url}`)
 * })
 * const response = await handler(new Request('http://localhost/hello')) // or Bun.serve({ fetch: handler }), Deno.serve(handler)
 * console.log(await response.text()) // → you asked for http://localhost/hello
 * ```
 */
export function withRequestToken<R extends FetchRequest, Rest extends unknown[]>(
  handler: (request: R, token: CancellationToken, ...rest: Rest) => Response | PromiseLike<Response>,
  options?: RequestOptions,
): (request: R, ...rest: Rest) => Promise<Response> {
  if (typeof handler !== 'function') throw wrongType('handler', 'a function', handler)
  optionsOf(options, REQUEST_OPTIONS)
  return async (request, ...rest) => {
    const token = fromRequest(request, options)
    const finished = () => finish(request)
    let response: Response
    try {
      response = await handler(request, token, ...rest)
    } catch (error) {
      if (token.kind === 'disconnect' && isCancellation(error, token))
        return new Response(null, { status: CLIENT_CLOSED })
      finished()
      throw error
    }
    return isOfDeno(rest[0]) ? watchBody(response, finished) : response
  }
}

/** Whether this is the info that `Deno.serve` passes beside the request. */
function isOfDeno(info: unknown): boolean {
  return typeof info === 'object' && info !== null && 'completed' in info && 'remoteAddr' in info
}

/**
 * Returns the same response, and calls `finished` when its body has been read to the end.
 *
 * A body of text or bytes stays one: as a stream it would be sent in chunks, without its length. From outside it looks
 * like a stream. It is recognised because it comes in one piece and ends before the event loop has turned.
 */
async function watchBody(response: Response, finished: () => void): Promise<Response> {
  if (response.body === null || response.body.locked) {
    finished()
    return response
  }
  const reader = response.body.getReader()
  const first = reader.read()
  const chunk = await soon(first)
  const second = chunk?.done === false ? reader.read() : undefined
  const last = second ? await soon(second) : chunk
  if (last?.done === true) {
    finished()
    return new Response((chunk?.value as BodyInit | undefined) ?? '', response)
  }
  const early = second ? [first, second] : [first]
  const rest = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await (early.shift() ?? reader.read())
        if (!done) return controller.enqueue(value)
        finished()
        controller.close()
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  )
  return new Response(rest, response)
}

type Chunk = ReadableStreamReadResult<Uint8Array>

/**
 * Resolves with the chunk if it comes before the event loop has turned. If the chunk fails, its later reader gets the
 * error.
 */
function soon(chunk: Promise<Chunk>): Promise<Chunk | undefined> {
  return new Promise((resolve) => {
    chunk.then(resolve, () => resolve(undefined))
    turn(() => resolve(undefined))
  })
}
