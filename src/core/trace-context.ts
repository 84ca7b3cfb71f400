/**
 * The trace of the code that runs, for what leaves the process. `calloff/opentelemetry` sets the function here. While it
 * is not set, it costs one read of a variable.
 */

/** Returns the trace as the value of a W3C `traceparent` header, or undefined if there is none. Throws nothing. */
export type TraceSource = () => string | undefined

export let currentTrace: TraceSource | undefined

/** Sets the source of traces. Returns a function that removes it, unless another one was set since. */
export function carryTraces(source: TraceSource): () => void {
  currentTrace = source
  return () => {
    if (currentTrace === source) currentTrace = undefined
  }
}
