/**
 * Tools for tests of code that uses tokens and hubs.
 *
 * @module
 */
export { type MemoryEngine, memoryEngine } from '../remote/memory/engine.js'
export { type ConformanceCase, hubConformance, type HubUnderTest } from './hub-conformance.js'
export { type ManualClock, manualClock } from './manual-clock.js'
