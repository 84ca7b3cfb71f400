/** The trace of a cancel crosses the hub. */
import assert from 'node:assert/strict'
import { after, afterEach, before, describe, it } from 'node:test'
import { trace } from '@opentelemetry/api'
import { connectHub, TokenServer } from 'calloff/remote'
import type { Engine } from 'calloff/remote/engine'
import { instrument } from 'calloff/opentelemetry'
import { memoryEngine } from 'calloff/testing'
import { cancellationsIn, type Sdk, startSdk } from './sdk.js'

let sdk: Sdk
let instrumentation: Disposable
let server: TokenServer
before(async () => {
  sdk = startSdk()
  instrumentation = instrument()
  server = await TokenServer.listen({ port: 0 })
})
after(async () => {
  instrumentation[Symbol.dispose]()
  await Promise.all([sdk.stop(), server.close()])
})
afterEach(() => sdk.reset())

/** In a span of a trace of its own. */
const inSpan = <T>(name: string, body: () => Promise<T>): Promise<T> =>
  trace.getTracer('test').startActiveSpan(name, { root: true }, async (span) => {
    try {
      return await body()
    } finally {
      span.end()
    }
  })

const memory = memoryEngine()
const engines: readonly (readonly [string, () => string | Engine, boolean])[] = [
  ['the embedded server', () => server.url, false],
  ['the embedded server, from a thread of its own', () => server.url, true],
  ['an engine in memory', () => memory, false],
]

describe('a stop that is pressed elsewhere', () => {
  for (const [name, place, background] of engines) {
    for (const reason of ['not needed', undefined, { id: 7 }]) {
      it(`is linked from the span of the job, over ${name}, with the reason ${JSON.stringify(reason)}`, async () => {
        const hubs = [await connectHub(place(), { background }), await connectHub(place(), { background })] as const
        try {
          const id = `job ${background} ${JSON.stringify(reason)}`
          await inSpan('job', async () => {
            const job = hubs[0].open(id)
            const stopped = new Promise((resolve) => job.onCancel(resolve))
            await job.ready
            void inSpan('stop', () => hubs[1].cancel(id, reason))
            await stopped
            assert.deepEqual(job.reason, reason)
          })
          const receipt = await hubs[1].cancel(id)
          assert.deepEqual(receipt.mark?.reason, reason)
        } finally {
          await Promise.all(hubs.map((hub) => hub.close()))
        }
        const [span, stop] = [sdk.span('job'), sdk.span('stop')]
        assert.equal(cancellationsIn(span).length, 1)
        assert.equal(span.events[0]?.attributes?.['calloff.kind'], 'manual')
        assert.deepEqual(
          span.links.map(({ context }) => [context.traceId, context.spanId, context.isRemote]),
          [[stop.spanContext().traceId, stop.spanContext().spanId, true]],
        )
      })
    }
  }

  it('leaves no link where no span was active there, nor where nothing is instrumented', async () => {
    const hubs = [await connectHub(server.url), await connectHub(server.url)] as const
    try {
      for (const isInstrumented of [true, false]) {
        await inSpan(`job ${isInstrumented}`, async () => {
          const job = hubs[0].open(`job ${isInstrumented}`)
          const stopped = new Promise((resolve) => job.onCancel(resolve))
          await job.ready
          if (isInstrumented) void hubs[1].cancel(job.name as string)
          else instrumentation[Symbol.dispose]()
          if (!isInstrumented) void inSpan('stop', () => hubs[1].cancel(job.name as string))
          await stopped
        })
      }
    } finally {
      await Promise.all(hubs.map((hub) => hub.close()))
      instrumentation = instrument()
    }
    assert.deepEqual(sdk.span('job true').links, [])
    assert.deepEqual([sdk.span('job false').links, sdk.span('job false').events], [[], []])
  })
})
