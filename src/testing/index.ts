/**
 * Tools for tests of code that uses tokens and hubs.
 *
 * @module
 */
export {
  cancelEverywhere,
  CancelEverywhereError,
  type CancelEverywhereOptions,
  type CancelEverywhereProblem,
  type CancelEverywhereReport,
  type CancelEverywhereRun,
  type CancelPoint,
  type CancelPointKind,
} from './cancel-everywhere.js'
export { type MemoryEngine, memoryEngine } from '../remote/memory/engine.js'
export { type ConformanceCase, hubConformance, type HubUnderTest } from './hub-conformance.js'
export { type ManualClock, manualClock, type ManualClockOptions } from './manual-clock.js'
