/**
 * What Node programs meet, as tokens; for Bun and Deno as well.
 *
 * Importing it makes listeners run in the async context they were registered in.
 *
 * @module
 */
import './async-context.js'

export { currentToken, withToken } from './ambient.js'
export { type ProcessSignalArgument, ProcessSignalToken } from './process-signals.js'
