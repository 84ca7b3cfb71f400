import assert from 'node:assert/strict'
import { after, afterEach, before, describe, it } from 'node:test'
import { type Span, SpanStatusCode, trace } from '@opentelemetry/api'
import { type CancellationKind, openScope, scope, SimpleToken, TimeoutToken } from 'calloff'
import { manualClock } from 'calloff/testing'
import { instrument, type InstrumentOptions } from 'calloff/opentelemetry'
import type * as errorsModule from '../../dist/core/errors.js'
import type * as graphModule from '../../dist/core/graph.js'
import { cancellationsIn, type Sdk, startSdk } from './sdk.js'

const inside = (name: string) => import(new URL(`../../../dist/core/${name}.js`, import.meta.url).href)
const { KINDS } = (await inside('errors')) as typeof errorsModule
const { end } = (await inside('graph')) as typeof graphModule

let sdk: Sdk
before(() => (sdk = startSdk()))
after(() => sdk.stop())
afterEach(() => sdk.reset())

/** Runs `body` in a span of that name, instrumented with these options. */
async function inSpan<T>(name: string, body: (span: Span) => T | Promise<T>): Promise<T> {
  return trace.getTracer('test').startActiveSpan(name, async (span) => {
    try {
      return await body(span)
    } finally {
      span.end()
    }
  })
}

async function instrumented<T>(options: InstrumentOptions | undefined, body: () => T | Promise<T>): Promise<T> {
  const instrumentation = instrument(options)
  try {
    return await body()
  } finally {
    instrumentation[Symbol.dispose]()
  }
}

describe('a cancellation in a span of the program', () => {
  it('is an event that says who, why, on which way, and how much time was left', async () => {
    await instrumented({}, async () => {
      const server = new SimpleToken({ name: 'server' })
      await inSpan('work', () => {
        const request = new SimpleToken({ name: 'request' }, server, new TimeoutToken(60_000))
        request.onCancel(() => {})
        server.cancel('maintenance')
      })
    })
    const { events, status, attributes } = sdk.span('work')
    assert.equal(events.length, 1)
    const { 'calloff.remaining': remaining, ...others } = events[0]?.attributes ?? {}
    assert.deepEqual(others, {
      'calloff.kind': 'manual',
      'calloff.cancelled_by': 'server',
      'calloff.reason': 'maintenance',
      'calloff.path': 'server > request',
    })
    assert.ok((remaining as number) > 0 && (remaining as number) <= 60_000)
    assert.deepEqual(status, { code: SpanStatusCode.UNSET })
    assert.equal(attributes['error.type'], undefined)
  })

  it('says how much time a deadline had left that was cancelled itself', async () => {
    await instrumented({}, () => inSpan('work', () => void new TimeoutToken(60_000).cancel()))
    const left = Number(sdk.span('work').events[0]?.attributes?.['calloff.remaining'])
    assert.ok(left > 0 && left <= 60_000)
  })

  it('stands in the span of the work that a deadline ends, whatever runs when the timer rings', async () => {
    using clock = manualClock()
    await instrumented({}, async () => {
      await inSpan('work', async () => {
        const token = new TimeoutToken(1_000, { name: 'deadline' })
        token.onCancel(() => {})
        await trace.getTracer('test').startActiveSpan('other', { root: true }, async (other) => {
          clock.tick(2_000)
          other.end()
        })
      })
    })
    const work = sdk.span('work')
    assert.deepEqual(cancellationsIn(work), ['timeout: deadline'])
    assert.equal(work.status.code, SpanStatusCode.ERROR)
    assert.match(work.status.message ?? '', /"deadline" ran out of time after 1000 ms/)
    assert.equal(work.attributes['error.type'], 'timeout')
    assert.equal(work.events[0]?.attributes?.['calloff.remaining'], undefined)
    const other = sdk.span('other')
    assert.deepEqual([other.events, other.links, other.status.code], [[], [], SpanStatusCode.UNSET])
  })

  it('stands in every span that a token of the whole program reaches, also by signals alone', async () => {
    await instrumented({}, async () => {
      const stop = new SimpleToken({ name: 'stop' })
      const requests = ['listening', 'with a signal', 'with a signal of a derived token'].map((name, at) =>
        inSpan(name, async () => {
          const token = new SimpleToken(stop)
          const { signal } = at === 2 ? new SimpleToken(token) : token
          await new Promise((resolve) => {
            if (at === 0) token.onCancel(resolve)
            else signal.addEventListener('abort', resolve)
          })
        }),
      )
      const bystander = inSpan('bystander', () => new Promise((resolve) => setTimeout(resolve)))
      stop.cancel('SIGTERM')
      await Promise.all([...requests, bystander])
    })
    for (const name of ['listening', 'with a signal', 'with a signal of a derived token']) {
      assert.deepEqual(cancellationsIn(sdk.span(name)), ['manual: stop'], name)
    }
    assert.deepEqual(sdk.span('bystander').events, [])
  })

  it('stands in the span around a scope, also where a task is the first to use the token', async () => {
    await instrumented({ scopes: true, tasks: true }, async () => {
      const stop = new SimpleToken({ name: 'stop' })
      const working = inSpan('request', () =>
        scope(stop.plus(new TimeoutToken(60_000)), (s) => s.run((token) => token.wait(), { name: 'waits' })),
      )
      stop.cancel()
      await working.catch(() => {})
    })
    for (const name of ['request', 'scope', 'task waits']) {
      assert.deepEqual(cancellationsIn(sdk.span(name)), ['manual: stop'], name)
      assert.ok(Number(sdk.span(name).events[0]?.attributes?.['calloff.remaining']) > 0, name)
    }
  })

  it('stands in every span also if the token was first used in a span that has ended', async () => {
    await instrumented({}, async () => {
      const stop = new SimpleToken()
      const use = () => new SimpleToken(stop).signal
      await inSpan('first', () => void use())
      const working = inSpan('second', () => new Promise((resolve) => use().addEventListener('abort', resolve)))
      stop.cancel()
      await working
    })
    assert.equal(cancellationsIn(sdk.span('second')).length, 1)
  })

  it('stands in the active span where no token belongs to a span', async () => {
    await instrumented({}, async () => {
      const token = new SimpleToken()
      await inSpan('active', () => void token.cancel())
    })
    assert.deepEqual(cancellationsIn(sdk.span('active')), ['manual: SimpleToken({ cancelled: true })'])
  })

  it('stands nowhere where the span of the token has ended', async () => {
    await instrumented({}, async () => {
      const token = await inSpan('before', () => new SimpleToken({ name: 'late' }))
      await inSpan('after', () => void token.cancel())
    })
    assert.deepEqual([sdk.span('before').events, sdk.span('after').events], [[], []])
  })

  it('links the span to that of the code which cancels, if it belongs to another trace', async () => {
    await instrumented({}, async () => {
      let job!: SimpleToken
      const working = inSpan('job', async () => {
        job = new SimpleToken({ name: 'job' })
        await new Promise((resolve) => job.onCancel(resolve))
      })
      await inSpan('stop button', () => void job.cancel('not needed'))
      await working
      await inSpan('own', () => void new SimpleToken({ name: 'own' }).cancel())
    })
    const [job, button] = [sdk.span('job'), sdk.span('stop button')]
    assert.deepEqual(
      job.links.map(({ context, attributes }) => [context.spanId, attributes]),
      [[button.spanContext().spanId, { 'calloff.kind': 'manual' }]],
    )
    assert.notEqual(job.spanContext().traceId, button.spanContext().traceId)
    assert.deepEqual(sdk.span('own').links, [])
  })

  it('is none where a scope or a task ends', async () => {
    await instrumented({}, async () => {
      await inSpan('work', () => scope((s) => s.run((token) => token.sleep(1)), { name: 'fan-out' }))
      await inSpan('failure', () => scope(() => Promise.reject(new Error('no'))).catch(() => {}))
    })
    assert.deepEqual(cancellationsIn(sdk.span('work')), [])
    assert.deepEqual(cancellationsIn(sdk.span('failure')), ['sibling: SimpleToken({ cancelled: true })'])
  })

  it('has its texts cut at 256 characters, and is not harmed by a reason without a text', async () => {
    const { proxy, revoke } = Proxy.revocable({}, {})
    revoke()
    await instrumented({}, async () => {
      for (const [name, reason] of [
        ['long', 'x'.repeat(10_000)],
        ['error', new RangeError('disk full')],
        ['none', proxy],
      ] as const) {
        await inSpan(name, () => void new SimpleToken({ name: 'n'.repeat(1_000) }).cancel(reason))
      }
    })
    const texts = (name: string) => sdk.span(name).events[0]?.attributes ?? {}
    for (const key of ['reason', 'cancelled_by', 'path']) {
      assert.match(String(texts('long')[`calloff.${key}`]), /^[xn]{256}…$/, key)
    }
    assert.equal(texts('error')['calloff.reason'], 'RangeError: disk full')
    assert.equal(typeof texts('none')['calloff.reason'], 'string')
  })

  it('is seen no more when the instrumentation has ended', async () => {
    await instrumented({}, () => {})
    await inSpan('work', () => void new SimpleToken({ name: 'token' }).cancel())
    assert.deepEqual(sdk.span('work').events, [])
  })
})

describe('the policy', () => {
  const errors: ReadonlySet<string> = new Set(['timeout', 'lease'])
  const kinds = Object.keys(KINDS) as CancellationKind[]

  for (const kind of kinds) {
    it(`shows a cancellation of the kind ${kind} as ${errors.has(kind) ? 'an error' : 'intended'}, and otherwise if asked`, async () => {
      const seen: unknown[] = []
      for (const treatment of [undefined, 'unset', 'error', 'ignore'] as const) {
        await instrumented({ policy: { [kind]: treatment } }, () =>
          inSpan('work', () => end(new SimpleToken({ name: 'token' }) as never, kind, 'why')),
        )
        const { status, attributes, events } = sdk.span('work')
        seen.push([status.code, attributes['error.type'], events.length])
        sdk.reset()
      }
      const [unset, error, ignored] = [
        [SpanStatusCode.UNSET, undefined, 1],
        [SpanStatusCode.ERROR, kind, 1],
        [SpanStatusCode.UNSET, undefined, 0],
      ]
      assert.deepEqual(seen, [errors.has(kind) ? error : unset, unset, error, ignored])
    })
  }

  it('is refused where it has an unknown kind or treatment, as are other options', () => {
    for (const [options, text] of [
      [{ policy: { timout: 'unset' } }, /policy has no kind "timout", did you mean "timeout"\?/],
      [{ policy: { toString: 'unset' } }, /policy has no kind "toString", only manual, /],
      [{ policy: { timeout: 'fine' } }, /policy\.timeout must be 'unset', 'error' or 'ignore', got "fine"/],
      [{ policy: { timeout: null } }, /policy\.timeout must be 'unset'/],
      [{ policy: ['timeout'] }, /policy must be an object/],
      [{ policy: 'unset' }, /policy must be an object, got "unset"/],
      [{ tracer: {} }, /tracer must be a tracer/],
      [{ meter: 1 }, /meter must be a meter, got 1/],
      [{ scopes: 'yes' }, /scopes must be a boolean, got "yes"/],
      [{ tasks: 1 }, /tasks must be a boolean, got 1/],
      [{ task: true }, /there is no option "task", did you mean "tasks"\?/],
      [trace.getTracer('test'), /options must be a plain object/],
    ] as const) {
      assert.throws(() => instrument(options as never), { name: 'TypeError', message: text })
    }
  })
})

describe('the spans of scopes and tasks', () => {
  const both: InstrumentOptions = { scopes: true, tasks: true }
  const nap = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
  const outcome = (name: string) => {
    const { status, attributes, events } = sdk.span(name)
    return [
      attributes['calloff.outcome'],
      status.code === SpanStatusCode.ERROR ? attributes['error.type'] : 'unset',
      events.map((event) => event.attributes?.['calloff.kind'] ?? event.name).join(),
    ]
  }
  const parentOf = (name: string) =>
    sdk.spans().find((one) => one.spanContext().spanId === sdk.span(name).parentSpanContext?.spanId)?.name

  it('are not made unless they are asked for', async () => {
    await instrumented({}, () => scope((s) => s.run(async function load() {}), { name: 'page' }))
    await instrumented({ scopes: true }, () => scope((s) => s.run(async function load() {}), { name: 'page' }))
    await instrumented({ tasks: true }, () => scope((s) => s.run(async function load() {}), { name: 'page' }))
    assert.deepEqual(
      sdk.spans().map(({ name }) => name),
      ['scope page', 'task load'],
    )
  })

  it('lie in each other as the scopes and the tasks do', async () => {
    await instrumented(both, () =>
      inSpan('request', () =>
        scope(
          async (s) => {
            await nap(1)
            await s.run(
              () =>
                scope(
                  async (inner) => {
                    await inner.run(() => inSpan('query', () => nap(1)), { name: 'second' })
                  },
                  { name: 'below' },
                ),
              { name: 'first' },
            )
            await s.map([1], async () => {}, { name: 'item' })
            await s.run(() => inSpan('in an unnamed task', () => {}))
          },
          { name: 'page' },
        ),
      ),
    )
    assert.deepEqual(
      ['query', 'task second', 'scope below', 'task first', 'scope page', 'task item', 'in an unnamed task'].map(
        parentOf,
      ),
      ['task second', 'scope below', 'task first', 'scope page', 'request', 'scope page', 'scope page'],
    )
    assert.equal(sdk.span('task item').attributes['calloff.name'], 'item[0]')
  })

  it('lie in their scope also in an open scope, and where a task had to wait', async () => {
    await instrumented(both, () =>
      inSpan('request', async () => {
        const s = openScope(undefined, { name: 'open', concurrency: 1 })
        for (const name of ['first', 'second', 'third']) void s.run(() => nap(1), { name })
        await s.close()
      }),
    )
    assert.deepEqual(['task first', 'task second', 'task third', 'scope open'].map(parentOf), [
      'scope open',
      'scope open',
      'scope open',
      'request',
    ])
  })

  it('end as the scope and the task have ended, and are no error where that was intended', async () => {
    await instrumented(both, async () => {
      const stop = new SimpleToken({ name: 'stop' })
      await scope(
        stop,
        async (s) => {
          void s.run((token) => token.sleep(60_000), { name: 'sleeps' })
          void s.run(async (token) => void (await token.wait()), { name: 'ends well' })
          await s.run(async () => {}, { name: 'done' })
          stop.cancel('enough')
        },
        { name: 'stopped' },
      ).catch(() => {})
      await scope(new TimeoutToken(0, { name: 'deadline' }).plus(), () => {}, { name: 'too late' }).catch(() => {})
      await scope(
        new TimeoutToken(5, { name: 'deadline' }),
        (s) => s.run((token) => token.sleep(60_000), { name: 'slow' }),
        { name: 'timed' },
      ).catch(() => {})
      await scope(
        async (s) => {
          void s.run((token) => token.sleep(60_000), { name: 'sibling' })
          await s.run(() => Promise.reject(new RangeError('disk full')), { name: 'fails' })
        },
        { name: 'broken' },
      ).catch(() => {})
    })
    for (const [name, ...wanted] of [
      ['task done', 'succeeded', 'unset', ''],
      ['task sleeps', 'cancelled', 'unset', 'manual'],
      ['task ends well', 'succeeded', 'unset', 'manual'],
      ['scope stopped', 'cancelled', 'unset', 'manual'],
      ['task slow', 'cancelled', 'timeout', 'timeout'],
      ['scope timed', 'cancelled', 'timeout', 'timeout'],
      ['task fails', 'failed', 'RangeError', 'exception'],
      ['task sibling', 'cancelled', 'unset', 'sibling'],
      ['scope broken', 'failed', 'RangeError', 'sibling,exception'],
    ]) {
      assert.deepEqual(outcome(name as string), wanted, name)
    }
  })

  it('tell a cancellation that the token finds out late, once', async () => {
    await instrumented(both, async () => {
      const stop = new SimpleToken({ name: 'stop' })
      await scope(
        stop,
        (s) =>
          s.run(
            async (token) => {
              stop.cancel('enough')
              token.check()
            },
            { name: 'polls' },
          ),
        { name: 'polled' },
      ).catch(() => {})
    })
    assert.deepEqual(cancellationsIn(sdk.span('task polls')), ['manual: stop'])
    assert.deepEqual(cancellationsIn(sdk.span('scope polled')), ['manual: stop'])
  })
})
