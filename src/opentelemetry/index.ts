/**
 * Cancellations in the traces and the metrics of OpenTelemetry.
 *
 * @module
 */
export { instrument, type InstrumentOptions } from './instrument.js'
export type { CancellationPolicy, CancellationTreatment } from './policy.js'
