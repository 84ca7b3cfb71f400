/** Refusals, as problems in JSON (RFC 9457). */

/** Identifies a refusal. Codes do not change between versions. */
export type ProblemCode =
  | 'bad-request'
  | 'unauthenticated'
  | 'forbidden'
  | 'cross-origin'
  | 'not-found'
  | 'method-not-allowed'
  | 'timeout'
  | 'too-large'
  | 'unsupported-media-type'
  | 'too-many'
  | 'internal'
  | 'unavailable'

const KINDS: Readonly<Record<ProblemCode, readonly [status: number, title: string]>> = {
  'bad-request': [400, 'The request is wrong'],
  unauthenticated: [401, 'The request does not say who sends it'],
  forbidden: [403, 'The sender may not do this'],
  'cross-origin': [403, 'A page of another origin sent the request'],
  'not-found': [404, 'There is no such path or hold'],
  'method-not-allowed': [405, 'The path does not take this method'],
  timeout: [408, 'The body did not arrive in time'],
  'too-large': [413, 'The body is too large'],
  'unsupported-media-type': [415, 'The body must be application/json'],
  'too-many': [429, 'The client has too many streams'],
  internal: [500, 'The server failed'],
  unavailable: [503, 'The hub cannot do this now'],
}

/** A refusal on its way to the client. */
export class Problem extends Error {
  readonly code: ProblemCode
  readonly headers: Readonly<Record<string, string>>

  constructor(code: ProblemCode, detail?: string, headers: Readonly<Record<string, string>> = {}) {
    super(detail)
    this.code = code
    this.headers = headers
  }

  toResponse(): Response {
    const [status, title] = KINDS[this.code]
    const { code, message } = this
    const body = { status, code, title, ...(message && { detail: message }) }
    return new Response(JSON.stringify(body), {
      status,
      headers: { 'content-type': 'application/problem+json', ...this.headers },
    })
  }
}

/** @param seconds after how many seconds the client should try again */
export function unavailable(detail: string, seconds: number): Problem {
  return new Problem('unavailable', detail, { 'retry-after': String(seconds) })
}
