import assert from 'node:assert/strict'
import { once } from 'node:events'
import process from 'node:process'
import { before, describe, it } from 'node:test'
import type { MetricLine, SpanLine } from '../../examples/observe/telemetry.js'
import { visit } from '../../examples/observe/visitors.js'
import { type Outcome, start } from './run.js'

const skip = process.platform === 'win32' && 'Windows has no signals to send'

describe('a server whose requests are seen in traces and metrics', { skip }, () => {
  let outcome: Outcome
  let statuses: (number | undefined)[]
  let spans: SpanLine[]
  let metrics: Record<string, MetricLine['values']>
  before(async () => {
    const running = start('observe/main')
    try {
      const [first] = (await once(running.child.stdout, 'data')) as [string]
      const url = /http:\S+/.exec(first)?.[0] as string
      statuses = await visit(url, () => running.child.kill('SIGINT'))
      outcome = await running.outcome
    } finally {
      running.child.kill('SIGKILL')
    }
    const lines = outcome.lines.slice(1).map((line) => JSON.parse(line) as SpanLine | MetricLine)
    spans = lines.filter((line) => 'trace' in line)
    metrics = Object.fromEntries(lines.flatMap((line) => ('metric' in line ? [[line.metric, line.values]] : [])))
  })

  /** The trace of the one request that was cancelled by a token of that name. */
  const traceOf = (name: string) => {
    const pages = spans.filter(
      ({ name: title, events }) =>
        title === 'scope page' && events.some(({ attributes }) => attributes['calloff.cancelled_by'] === name),
    )
    assert.equal(pages.length, 1, name)
    const [page] = pages as [SpanLine]
    return spans.filter(({ trace }) => trace === page.trace)
  }
  const one = (trace: readonly SpanLine[], name: string) => {
    const found = trace.filter((span) => span.name === name)
    assert.equal(found.length, 1, `${name} among ${trace.map((span) => span.name).join(', ')}`)
    return found[0] as SpanLine
  }
  const STOP = "ProcessSignalToken('SIGINT', 'SIGTERM')"

  it('answers the two clients that stay, and ends by the signal', () => {
    assert.deepEqual(statuses, [504, 503])
    assert.deepEqual([outcome.code, outcome.stderr], [130, ''])
  })

  for (const [who, kind, token, status] of [
    ['the client that has left', 'disconnect', 'client', 'unset'],
    ['the deadline that has passed', 'timeout', 'deadline', 'error'],
    ['Ctrl+C', 'process-signal', STOP, 'unset'],
  ] as const) {
    it(`tells ${who} apart, in the span of the request, of its scope and of its tasks`, () => {
      const trace = traceOf(token)
      const page = one(trace, 'scope page')
      const request = trace.find(({ id }) => id === page.parent)
      assert.equal(request?.name, 'GET')
      for (const span of [request, page, one(trace, 'task price'), one(trace, 'task reviews')]) {
        const events = span.events.filter(({ name }) => name === 'cancellation')
        assert.deepEqual(
          events.map(({ attributes }) => [attributes['calloff.kind'], attributes['calloff.cancelled_by']]),
          [[kind, token]],
          span.name,
        )
        if (span === request) continue // its status is that of HTTP: 503 and 504 are errors
        assert.equal('calloff.remaining' in (events[0]?.attributes ?? {}), kind !== 'timeout', span.name)
        assert.deepEqual(
          [span.status, span.attributes['calloff.outcome'], span.attributes['error.type']],
          [status, 'cancelled', status === 'error' ? 'timeout' : undefined],
          span.name,
        )
      }
      for (const name of ['stock', 'price', 'reviews']) assert.equal(one(trace, `task ${name}`).parent, page.id)
    })
  }

  it('has the spans of each fetch in the task that it belongs to', () => {
    const trace = traceOf('client')
    for (const name of ['stock', 'price', 'reviews']) {
      const task = one(trace, `task ${name}`)
      assert.equal(trace.filter(({ parent }) => parent === task.id).length, 1, name)
    }
    assert.equal(one(trace, 'task stock').status, 'unset')
    assert.equal(one(trace, 'task stock').attributes['calloff.outcome'], 'succeeded')
  })

  it('counts them by their kinds, and measures how long each has taken to stop', () => {
    const { disconnect, timeout, 'process-signal': signal } = metrics['calloff.cancellations'] ?? {}
    assert.deepEqual([disconnect, timeout, signal], [1, 1, 1])
    assert.deepEqual(metrics['calloff.scope.stop.duration'], { disconnect: 1, timeout: 1, 'process-signal': 1 })
    assert.deepEqual(metrics['calloff.active_tasks'], { all: 0 })
  })
})
