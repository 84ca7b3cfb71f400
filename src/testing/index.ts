/**
 * For tests of code that takes tokens.
 *
 * @module
 */
export { type ManualClock, manualClock } from './manual-clock.js'
