/**
 * What Node programs meet, as tokens; for Bun and Deno as well.
 *
 * Importing it makes listeners run in the async context they were registered in.
 *
 * @module
 */
import './async-context.js'

export { type ProcessSignalArgument, ProcessSignalToken } from './process-signals.js'

// HTTP requests as tokens, and deadlines that travel with them
export {
  type DeadlineHeaders,
  fromHeaders,
  type HeaderOptions,
  type HeaderSource,
  InvalidDeadlineError,
  toHeaders,
} from '../core/deadline-headers.js'
export { fromRequest, type FetchRequest, type RequestOptions } from './request.js'
export { withRequestToken } from './request-handler.js'
