/**
 * The hub over HTTP: for browsers, for programs in any language, and for operators.
 *
 * @module
 */
export { type HubHandler, hubHandler } from './handler.js'
export { type FetchHandler, type NodeRequest, type NodeResponse, toNodeListener } from './node-listener.js'
export { hubPage, type HubPageOptions } from './page.js'
export type { Asked, Authorization, HandlerLimits, HubHandlerOptions } from './options.js'
