/** Requests to the server of the page, and to no other. */

/** The server has refused a request. */
export class Refusal extends Error {
  readonly status: number
  /** After how many milliseconds the request may be sent again; 0 if the server has not said. */
  readonly retryAfter: number

  constructor(status: number, message: string, retryAfter: number) {
    super(message)
    this.status = status
    this.retryAfter = retryAfter
  }
}

type Init = Omit<RequestInit, 'headers'> & { readonly headers?: Readonly<Record<string, string>> }
type Query = Readonly<Record<string, string>>

export class Server {
  readonly #api: string
  readonly #store: string
  #token: string | undefined
  /** Milliseconds by which the clock of the server is ahead of the clock of this machine. */
  ahead = 0

  /** `api` is the path of the handler, without `/v1`. */
  constructor(api: string) {
    this.#api = api
    this.#store = `calloff-token:${api}`
    this.#token = this.#stored() ?? undefined
  }

  /** Takes the token out of the address. Returns false if there is none. */
  takeToken(): boolean {
    const token = new URLSearchParams(location.hash.slice(1)).get('token')
    if (token === null) return false
    history.replaceState(null, '', location.pathname + location.search)
    this.setToken(token)
    return true
  }

  setToken(token: string): void {
    // A header cannot carry anything else.
    this.#token = token.replaceAll(/[^!-~]/g, '')
    try {
      sessionStorage.setItem(this.#store, this.#token)
    } catch {
      // The browser keeps nothing for this page. The token is lost with a reload.
    }
  }

  #stored(): string | null {
    try {
      return sessionStorage.getItem(this.#store)
    } catch {
      return null
    }
  }

  /** Sends a request. Errors: {@link Refusal}, or the error of `fetch` if there is no answer. */
  async send(path: string, query: Query, init: Init = {}): Promise<Response> {
    const headers: Record<string, string> = { ...init.headers }
    // Without a token the session of the app, in its cookies, decides.
    if (this.#token !== undefined) headers['authorization'] = `Bearer ${this.#token}`
    const response = await fetch(`${this.#api}/v1/${path}?${new URLSearchParams(query)}`, {
      ...init,
      headers,
      cache: 'no-store',
      credentials: 'same-origin',
      redirect: 'error',
    })
    const date = Date.parse(response.headers.get('date') ?? '')
    // The header has whole seconds.
    if (Math.abs(date - Date.now()) > 2_000) this.ahead = date - Date.now()
    if (response.ok) return response
    throw await refusalFrom(response)
  }

  async post(path: string, query: Query, body: object, signal?: AbortSignal): Promise<unknown> {
    const response = await this.send(path, query, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      ...(signal && { signal }),
    })
    const text = await response.text()
    return text === '' ? undefined : (JSON.parse(text) as unknown)
  }
}

async function refusalFrom(response: Response): Promise<Refusal> {
  const seconds = Number(response.headers.get('retry-after') ?? 0)
  const text = await response.text().catch(() => '')
  let message = `the server answered ${response.status}`
  try {
    const { title, detail } = JSON.parse(text) as { title?: unknown; detail?: unknown }
    const words = detail ?? title
    if (typeof words === 'string' && words !== '') message = words
  } catch {
    // Another program has answered, such as a proxy.
  }
  return new Refusal(response.status, message, Number.isFinite(seconds) ? seconds * 1_000 : 0)
}
