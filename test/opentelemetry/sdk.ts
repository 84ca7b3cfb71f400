/** The real SDK, with exporters that keep what they get in memory. */
import { context, metrics, propagation, trace } from '@opentelemetry/api'
import {
  AggregationTemporality,
  type DataPoint,
  type Histogram,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import {
  InMemorySpanExporter,
  NodeTracerProvider,
  type ReadableSpan,
  SimpleSpanProcessor,
  type SpanProcessor,
} from '@opentelemetry/sdk-trace-node'

export interface Sdk {
  /** The spans that have ended. */
  readonly spans: () => ReadableSpan[]
  /** Returns the span of that name, which has ended. */
  readonly span: (name: string) => ReadableSpan
  /** Returns the data points of a metric: the value (or, of a histogram, the count) by its attributes. */
  readonly points: (name: string) => Promise<Record<string, number>>
  /** Returns the sum of all that a histogram has recorded. */
  readonly sum: (name: string) => Promise<number>
  readonly reset: () => void
  readonly stop: () => Promise<void>
}

/** Sets the global providers. */
export function startSdk(...processors: SpanProcessor[]): Sdk {
  const spanExporter = new InMemorySpanExporter()
  const tracerProvider = new NodeTracerProvider({
    spanProcessors: [new SimpleSpanProcessor(spanExporter), ...processors],
  })
  tracerProvider.register()
  const metricExporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const reader = new PeriodicExportingMetricReader({ exporter: metricExporter, exportIntervalMillis: 2 ** 31 - 1 })
  const meterProvider = new MeterProvider({ readers: [reader] })
  metrics.setGlobalMeterProvider(meterProvider)
  const spans = () => spanExporter.getFinishedSpans()
  const pointsOf = async (name: string) => {
    const { resourceMetrics } = await reader.collect()
    const all = resourceMetrics.scopeMetrics.flatMap((scope) => scope.metrics)
    return (all.find(({ descriptor }) => descriptor.name === name)?.dataPoints ?? []) as DataPoint<number | Histogram>[]
  }
  return {
    spans,
    span(name) {
      const found = spans().filter((one) => one.name === name)
      if (found.length !== 1)
        throw new Error(
          `${found.length} spans ${name} of ${spans()
            .map((one) => one.name)
            .join(', ')}`,
        )
      return found[0] as ReadableSpan
    },
    async points(name) {
      const points = (await pointsOf(name)).map(({ attributes, value }) => [
        Object.values(attributes).join(),
        typeof value === 'number' ? value : value.count,
      ])
      return Object.fromEntries(points) as Record<string, number>
    },
    async sum(name) {
      return (await pointsOf(name)).reduce(
        (sum, { value }) => sum + (typeof value === 'number' ? value : (value.sum ?? 0)),
        0,
      )
    },
    reset: () => spanExporter.reset(),
    async stop() {
      await Promise.all([tracerProvider.shutdown(), meterProvider.shutdown()])
      for (const api of [trace, metrics, context, propagation]) api.disable()
    },
  }
}

/** Returns the cancellations that stand in a span, as `kind: cancelled by`. */
export const cancellationsIn = (span: ReadableSpan): string[] =>
  span.events
    .filter(({ name }) => name === 'cancellation')
    .map(({ attributes }) => `${attributes?.['calloff.kind']}: ${attributes?.['calloff.cancelled_by']}`)
