/**
 * What a program sets up before it loads the rest: the SDK, the instrumentations of http and fetch, and calloff's. The spans and
 * the metrics are written as lines of JSON here; a real program exports them by OTLP.
 */
import { createRequire } from 'node:module'
import { metrics } from '@opentelemetry/api'
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http'
import { UndiciInstrumentation } from '@opentelemetry/instrumentation-undici'
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import { NodeTracerProvider, type ReadableSpan, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node'
import { instrument } from 'calloff/opentelemetry'

/** A span as a line of the output. */
export interface SpanLine {
  readonly trace: string
  readonly id: string
  readonly parent: string | undefined
  readonly name: string
  /** Milliseconds since 1970. */
  readonly start: number
  /** Milliseconds. */
  readonly duration: number
  readonly status: 'unset' | 'ok' | 'error'
  readonly attributes: Readonly<Record<string, unknown>>
  readonly events: readonly {
    readonly name: string
    readonly time: number
    readonly attributes: Readonly<Record<string, unknown>>
  }[]
}

/** A metric as a line of the output: its values by the kinds of cancellations; of a histogram, the counts. */
export interface MetricLine {
  readonly metric: string
  readonly values: Readonly<Record<string, number>>
}

/** Starts telemetry. The returned function writes the metrics and stops telemetry. */
export function startTelemetry(write: (line: SpanLine | MetricLine) => void): () => Promise<void> {
  const others = [new HttpInstrumentation(), new UndiciInstrumentation()]
  createRequire(import.meta.url)('node:http') // the instrumentation patches it at this moment

  const exporter = {
    export(spans: ReadableSpan[], done: (result: { code: number }) => void) {
      for (const span of spans) write(lineOf(span))
      done({ code: 0 })
    },
    shutdown: async () => {},
  }
  const tracing = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
  tracing.register()
  const reader = new PeriodicExportingMetricReader({
    exporter: new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE),
  })
  const measuring = new MeterProvider({ readers: [reader] })
  metrics.setGlobalMeterProvider(measuring)

  const instrumentation = instrument({ scopes: true, tasks: true })
  return async () => {
    const { resourceMetrics } = await reader.collect()
    for (const { descriptor, dataPoints } of resourceMetrics.scopeMetrics.flatMap((scope) => scope.metrics)) {
      if (!descriptor.name.startsWith('calloff.')) continue
      const values = dataPoints.map(({ attributes, value }) => [
        String(attributes['calloff.kind'] ?? 'all'),
        typeof value === 'number' ? value : (value as { count: number }).count,
      ])
      write({ metric: descriptor.name, values: Object.fromEntries(values) as Record<string, number> })
    }
    instrumentation[Symbol.dispose]()
    for (const one of others) one.disable()
    await Promise.all([tracing.shutdown(), measuring.shutdown()])
  }
}

const ms = ([seconds, nanoseconds]: readonly [number, number]): number => seconds * 1e3 + nanoseconds / 1e6

function lineOf(span: ReadableSpan): SpanLine {
  const { traceId, spanId } = span.spanContext()
  return {
    trace: traceId,
    id: spanId,
    parent: span.parentSpanContext?.spanId,
    name: span.name,
    start: ms(span.startTime),
    duration: ms(span.duration),
    status: (['unset', 'ok', 'error'] as const)[span.status.code],
    attributes: span.attributes,
    events: span.events.map(({ name, time, attributes = {} }) => ({ name, time: ms(time), attributes })),
  }
}
