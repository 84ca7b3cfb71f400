/** Spans as W3C's `traceparent`. */
import { isSpanContextValid, type SpanContext, trace } from '@opentelemetry/api'

/** Returns the active span as text. Undefined if there is none. */
export function currentTraceParent(): string | undefined {
  const context = trace.getActiveSpan()?.spanContext()
  if (!context || !isSpanContextValid(context)) return undefined
  const { traceId, spanId, traceFlags } = context
  return `00-${traceId}-${spanId}-${(traceFlags & 0xff).toString(16).padStart(2, '0')}`
}

/** Returns the span of a checked `traceparent` of another process. */
export function contextOf(traceParent: string): SpanContext {
  const [, traceId = '', spanId = '', flags = ''] = traceParent.split('-')
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true }
}
