/**
 * calloff/http/client: the hub over HTTP, for browsers and everything else that has `fetch`.
 *
 * @module
 */
export { HttpToken, httpToken, type HttpTokenOptions } from './http-token.js'
export type { HoldEvent } from './hold.js'
export { HttpHubError, type HttpHeaders, type RequestOptions } from './request.js'
export { stop, type StopOptions } from './stop.js'
export type { Holder, HolderState, Mark, Receipt, Who } from '../../remote/contract/hub.js'
