/** What PostgreSQL says went wrong, in the words of the hub: told apart by the SQLSTATE. */
import { HubError } from '../contract/errors.js'

/** Password, role or certificate: class 28. */
const REFUSES_US = /^28/
/** The server is going, or coming, or has become a standby, or it was never about the server: connect again. */
const GONE = /^(08|57P0|25006)/

/** A prepared statement is not where it was made, or where nobody has made it. */
const POOLED = /^(42P05|26000)$/
export const POOLER = 'is there a pooler between, that is not in session mode?'

export function errorOf(place: string, cause: Error): HubError {
  if (cause instanceof HubError) return cause
  const { code } = cause as { code?: unknown }
  const text = `${place}: ${cause.message}${typeof code === 'string' && POOLED.test(code) ? `; ${POOLER}` : ''}`
  // A SQLSTATE; other codes are those of sockets.
  if (typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && !GONE.test(code)) {
    return new HubError(REFUSES_US.test(code) ? 'ERR_HUB_AUTH' : 'ERR_HUB_REFUSED', text, { cause })
  }
  return new HubError('ERR_HUB_UNREACHABLE', text, { cause })
}

/** Whether another connection is needed. */
export function isGone({ code }: HubError): boolean {
  return code === 'ERR_HUB_UNREACHABLE'
}
