/**
 * Tokens that reach other threads. A busy loop in a worker sees a cancel, and learns who cancelled and why.
 *
 * @module
 */

export type { SharedHandle } from './handle.js'
export { share } from './share.js'
export { SharedToken } from './shared-token.js'
export { startTicker, type Ticker, type TickerOptions } from './ticker.js'
