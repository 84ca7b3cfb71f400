/**
 * Which pages may send requests. A browser says where a request comes from, in `Sec-Fetch-Site` and `Origin`; another
 * program sends neither, and has no cookies that a page of another site could misuse.
 */
import { Problem } from './problem.js'

const METHODS = 'GET, POST'
const HEADERS = 'authorization, content-type, last-event-id, traceparent, tracestate'
/** How long a browser may remember the answer to a preflight, in seconds. */
const PREFLIGHT_AGE = '600'

/** Whether a page of this server has sent the request. */
function isOwnPage(origin: string | null, site: string | null, url: URL): boolean {
  if (site !== null) return site === 'same-origin' || (site === 'none' && origin === null)
  if (origin === null) return true
  // A sandboxed page sends `null`, and so does a page whose URL has no origin.
  if (origin === 'null') return false
  // A proxy may end TLS in front of this server, which then sees http.
  return origin === url.origin || origin === `https://${url.host}`
}

/**
 * Returns the headers that an answer to a page of an allowed origin needs; none for a page of this origin. Throws a `Problem` for a
 * page of an origin that is not allowed.
 */
export function checkOrigin(
  request: Request,
  url: URL,
  allowed: ReadonlySet<string>,
): Readonly<Record<string, string>> {
  const origin = request.headers.get('origin')
  if (origin !== null && allowed.has(origin)) {
    return {
      'access-control-allow-origin': origin,
      'access-control-allow-credentials': 'true',
      'access-control-expose-headers': 'location, retry-after',
    }
  }
  if (isOwnPage(origin, request.headers.get('sec-fetch-site'), url)) return {}
  throw new Problem('cross-origin')
}

/** Whether the request is the preflight of a page of an allowed origin. `cors`: what `checkOrigin` returned. */
export function isPreflight({ method }: Request, cors: Readonly<Record<string, string>>): boolean {
  return method === 'OPTIONS' && Object.keys(cors).length > 0
}

export function preflight(): Response {
  return new Response(null, {
    status: 204,
    headers: {
      'access-control-allow-methods': METHODS,
      'access-control-allow-headers': HEADERS,
      'access-control-max-age': PREFLIGHT_AGE,
    },
  })
}
