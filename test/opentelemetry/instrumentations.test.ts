/** Beside the instrumentations of undici and http, and over OTLP to a server that receives it. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type * as httpModule from 'node:http'
import type { RequestListener, Server } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { after, afterEach, before, describe, it } from 'node:test'
import { SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http'
import { UndiciInstrumentation } from '@opentelemetry/instrumentation-undici'
import { BatchSpanProcessor, type ReadableSpan } from '@opentelemetry/sdk-trace-node'
import { isCancellation, SimpleToken, TimeoutToken } from 'calloff'
import { fromRequest } from 'calloff/node'
import { instrument } from 'calloff/opentelemetry'
import { cancellationsIn, type Sdk, startSdk } from './sdk.js'

const others = [new UndiciInstrumentation(), new HttpInstrumentation()]
// The instrumentation of http changes what is loaded after it.
const http = createRequire(import.meta.url)('node:http') as typeof httpModule

async function serve(listener: RequestListener): Promise<Server> {
  const server = http.createServer(listener)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return server
}
const urlOf = (server: Server): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
function stop(server: Server): void {
  server.closeAllConnections()
  server.close()
}

/** What a collector of OTLP is sent. */
interface Sent {
  readonly resourceSpans: readonly { readonly scopeSpans: readonly { readonly spans: readonly SentSpan[] }[] }[]
}
interface SentSpan {
  readonly name: string
  readonly status: { readonly code?: number }
  readonly events: readonly {
    readonly name: string
    readonly attributes: readonly { readonly key: string; readonly value: { readonly stringValue?: string } }[]
  }[]
}

let sdk: Sdk
let instrumentation: Disposable
let collector: Server
let batches: BatchSpanProcessor
const sent: SentSpan[] = []

before(async () => {
  collector = await serve((req, res) => {
    const parts: Buffer[] = []
    req.on('data', (part: Buffer) => parts.push(part))
    req.on('end', () => {
      const { resourceSpans } = JSON.parse(String(Buffer.concat(parts))) as Sent
      sent.push(...resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)))
      res.setHeader('content-type', 'application/json').end('{}')
    })
  })
  batches = new BatchSpanProcessor(new OTLPTraceExporter({ url: `${urlOf(collector)}v1/traces` }))
  sdk = startSdk(batches)
  instrumentation = instrument()
})
after(async () => {
  instrumentation[Symbol.dispose]()
  for (const one of others) one.disable()
  await sdk.stop()
  stop(collector)
})
afterEach(() => sdk.reset())

/** Waits for the span of that kind in a trace. It ends after the test has seen its request end. */
async function spanOf(kind: SpanKind, traceId: string): Promise<ReadableSpan> {
  for (const end = performance.now() + 60_000; performance.now() < end;) {
    const found = sdk.spans().find((one) => one.kind === kind && one.spanContext().traceId === traceId)
    if (found) return found
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  throw new Error(`no span of the kind ${kind}`)
}

/** Fetches from a server that does not answer, in a span `page`. Returns the span of the client. */
async function fetchUnder(token: () => SimpleToken | TimeoutToken, begun: (token: SimpleToken) => void) {
  const server = await serve(() => begun(made as SimpleToken))
  let made: SimpleToken | TimeoutToken | undefined
  await trace.getTracer('test').startActiveSpan('page', async (span) => {
    made = token()
    await fetch(urlOf(server), { signal: made.signal }).catch((error: unknown) =>
      assert.ok(isCancellation(error, made)),
    )
    span.end()
  })
  stop(server)
  return spanOf(SpanKind.CLIENT, sdk.span('page').spanContext().traceId)
}

describe('a fetch that is cancelled, with the instrumentation of undici', () => {
  it('leaves the event in the span around that of the client, whose status is unset', async () => {
    const client = await fetchUnder(
      () => new SimpleToken({ name: 'user' }),
      (token) => token.cancel('pressed stop'),
    )
    const page = sdk.span('page')
    assert.equal(client.parentSpanContext?.spanId, page.spanContext().spanId)
    assert.deepEqual(cancellationsIn(page), ['manual: user'])
    assert.equal(page.status.code, SpanStatusCode.UNSET)
    assert.equal(page.attributes['error.type'], undefined)
    // The instrumentation leaves it so for errors with the name AbortError, which a CancellationError has.
    assert.deepEqual([client.status.code, client.events], [SpanStatusCode.UNSET, []])
  })

  it('makes the span an error where a deadline has passed', async () => {
    const client = await fetchUnder(
      () => new TimeoutToken(100, { name: 'deadline' }),
      () => {},
    )
    const page = sdk.span('page')
    assert.deepEqual(cancellationsIn(page), ['timeout: deadline'])
    assert.deepEqual([page.status.code, page.attributes['error.type']], [SpanStatusCode.ERROR, 'timeout'])
    assert.equal(client.status.code, SpanStatusCode.ERROR)
    assert.equal(client.status.message, 'token "deadline" ran out of time after 100 ms')
  })
})

describe('a request whose client leaves, with the instrumentation of http', () => {
  it('has the event in the span of the server, whose status is unset', async () => {
    let begun!: () => void
    const beginning = new Promise<void>((resolve) => (begun = resolve))
    const server = await serve((req, res) => {
      void fromRequest(req, res, { name: 'client' }).wait({ hold: false })
      begun()
    })
    const traceId = await trace.getTracer('test').startActiveSpan('visit', async (visit) => {
      const client = http.get(urlOf(server), { agent: false }).on('error', () => {})
      await beginning
      client.destroy()
      visit.end()
      return visit.spanContext().traceId
    })
    const span = await spanOf(SpanKind.SERVER, traceId)
    stop(server)
    assert.deepEqual(cancellationsIn(span), ['disconnect: client'])
    assert.equal(span.status.code, SpanStatusCode.UNSET)
    assert.equal(span.attributes['error.type'], undefined)
  })
})

it('a collector receives the event over OTLP', async () => {
  trace.getTracer('test').startActiveSpan('sent', (span) => {
    new SimpleToken({ name: 'user' }).cancel(new Error('enough'))
    span.end()
  })
  await batches.forceFlush()
  const span = sent.find(({ name }) => name === 'sent')
  const event = span?.events.find(({ name }) => name === 'cancellation')
  assert.deepEqual(Object.fromEntries(event?.attributes.map(({ key, value }) => [key, value.stringValue]) ?? []), {
    'calloff.kind': 'manual',
    'calloff.cancelled_by': 'user',
    'calloff.reason': 'Error: enough',
    'calloff.path': 'user',
  })
  assert.equal(span?.status.code ?? 0, 0)
})
