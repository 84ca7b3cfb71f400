/** The source of traces for what leaves the process. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type * as traceContext from '../../dist/core/trace-context.js'

const file = new URL('../../../dist/core/trace-context.js', import.meta.url)
const traces = (await import(file.href)) as typeof traceContext

test('the last source of traces counts, and removes itself alone', () => {
  const [first, second] = [() => 'one', () => 'two']
  const removeFirst = traces.carryTraces(first)
  assert.equal(traces.currentTrace, first)
  const removeSecond = traces.carryTraces(second)
  removeFirst()
  assert.equal(traces.currentTrace, second)
  removeSecond()
  assert.equal(traces.currentTrace, undefined)
})
