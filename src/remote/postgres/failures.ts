/** Classifies errors of PostgreSQL by their SQLSTATE. */
import type { Failure } from '../adapter/failures.js'

/** Password, role or certificate: class 28. */
const REFUSES_US = /^28/
/** The server is stopping or starting, has become a standby, or the error is not one of the server: connect again. */
const GONE = /^(08|57P0|25006)/

/** A prepared statement is missing, or exists on a connection where no one prepared it: connections were switched. */
const POOLED = /^(42P05|26000)$/
export const POOLER = 'check that no connection pooler in transaction mode is in between'

/** A code of five characters is a SQLSTATE. Other codes are codes of sockets. */
function stateOf(error: Error): string | undefined {
  const { code } = error as { readonly code?: unknown }
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : undefined
}

export function classify(error: Error): Failure {
  const state = stateOf(error)
  if (state === undefined || GONE.test(state)) return 'gone'
  return REFUSES_US.test(state) ? 'auth' : 'refused'
}

export function describe(error: Error): string {
  return `${error.message}${POOLED.test(stateOf(error) ?? '') ? `; ${POOLER}` : ''}`
}
