import { optionsOf, wrongType } from '../../core/arguments.js'
import { isCancellation } from '../../core/errors.js'
import { turn } from '../../core/clock.js'
import type { CancellationToken } from '../../core/token.js'
import { type FetchRequest, finish, fromRequest, REQUEST_OPTIONS, type RequestOptions } from './from-request.js'

/** The status of an answer that nobody gets, as in the logs of nginx: the client has closed the connection. */
const CLIENT_CLOSED = 499

/**
 * A handler for `Bun.serve`, `Deno.serve`, hono and others that gets the request's token as its second argument; what the server
 * gives besides (Bun's server, Deno's info) follows.
 *
 * It does what {@link fromRequest} cannot do with a `Request` alone: it looks at the request before anything else, since
 * Deno forgets a disconnect that came before the first look; and on `Deno.serve`, where `request.signal` is aborted after a
 * success as well, it watches the body of the response, so that the token is cancelled by a disconnect only.
 *
 * Anywhere below the handler, `fromRequest(request)` gives the same token. When the client has left and the handler
 * fails with the token's error, that is answered with status 499, which nobody gets, instead of being logged as a failure.
 *
 * Errors: `TypeError` for what is no function. What the handler throws otherwise is thrown.
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

/** What `Deno.serve` gives beside the request. */
function isOfDeno(info: unknown): boolean {
  return typeof info === 'object' && info !== null && 'completed' in info && 'remoteAddr' in info
}

/**
 * The same response, with `finished` called when its body has been taken to the end.
 *
 * A text, or bytes, stays what it is: as a stream it would travel in chunks, without its length. It looks like a stream from
 * outside, but is known by this: it comes in one piece and ends, and the event loop has not turned meanwhile.
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

/** The chunk, if it comes before the event loop has turned. One that fails is for whoever reads it later. */
function soon(chunk: Promise<Chunk>): Promise<Chunk | undefined> {
  return new Promise((resolve) => {
    chunk.then(resolve, () => resolve(undefined))
    turn(() => resolve(undefined))
  })
}
