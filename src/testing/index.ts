/**
 * For tests of code that takes tokens.
 *
 * @module
 */
export { type MemoryEngine, memoryEngine } from '../remote/memory/engine.js'
export { type ConformanceCase, hubConformance, type HubUnderTest } from './hub-conformance.js'
export { type ManualClock, manualClock } from './manual-clock.js'
