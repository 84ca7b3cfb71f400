import { type NamesOf, optionsOf, wrongType } from '../core/arguments.js'
import { PAGE, SCRIPT_HASH, STYLE_HASH } from './page-text.js'

/** The options of {@link hubPage}. */
export interface HubPageOptions {
  /** The `basePath` of the {@link hubHandler} that the page sends its requests to, on the same origin. Default: `''`. */
  readonly api?: string | undefined
  /** The title of the page. Default: `calloff`. */
  readonly title?: string | undefined
}

/**
 * Returns a handler for the page for operators: a live table of the names of a hub, with a Stop button that shows the receipt.
 *
 * The page is one HTML text without other files, and sends requests only to the {@link hubHandler} at `api`. Its
 * Content-Security-Policy allows no other origin. The page contains no data of the hub, so it may be served to everyone: `authorize` of the
 * {@link hubHandler} decides what the user may see and cancel. The page sends the token of its address, `#token=…`, as
 * `Authorization: Bearer …`. It also sends the cookies of its origin, so that without a token the session of your app decides.
 *
 * The path of the request does not matter: mount the function where the page should be. It answers GET and HEAD, and other methods with
 * 405.
 *
 * Errors: throws `TypeError` for a wrong option.
 *
 * @example
 * ```ts
 * import { hubPage } from 'calloff/http'
 *
 * const page = hubPage({ api: '/admin/hub', title: 'Jobs' })
 * const response = page(new Request('http://localhost/admin/jobs'))
 * console.log(response.status, response.headers.get('content-type')) // → 200 text/html; charset=utf-8
 * ```
 */
export function hubPage(options?: HubPageOptions): (request: Request) => Response {
  const { api = '', title = 'calloff' } = optionsOf(options, NAMES)
  // Two slashes, or a slash and a backslash, would begin the name of another host.
  if (typeof api !== 'string' || !/^(\/[^/\\?#\s]+)*$/.test(api)) {
    throw wrongType('api', "'' or a path such as '/calloff', without a slash at its end", api)
  }
  if (typeof title !== 'string') throw wrongType('title', 'a text', title)
  const body = PAGE.replace('data-api=""', () => `data-api="${escaped(api)}"`)
    .replace('data-title=""', () => `data-title="${escaped(title)}"`)
    .replace('<title></title>', () => `<title>${escaped(title)}</title>`)
  return ({ method }) => {
    if (method === 'GET') return new Response(body, { headers: HEADERS })
    if (method === 'HEAD') return new Response(null, { headers: HEADERS })
    return new Response(null, { status: 405, headers: { allow: 'GET, HEAD' } })
  }
}

const NAMES: NamesOf<HubPageOptions> = ['api', 'title']

const POLICY = [
  "default-src 'none'",
  `script-src '${SCRIPT_HASH}'`,
  `style-src '${STYLE_HASH}'`,
  // The picture of the page, which is in its text.
  'img-src data:',
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
]

const HEADERS: Readonly<Record<string, string>> = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': POLICY.join('; '),
  'cache-control': 'no-cache',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }

/** Returns the text as it is written in an element, and between double quotes. */
function escaped(text: string): string {
  return text.replaceAll(/[&<>"]/g, (one) => ENTITIES[one] as string)
}
