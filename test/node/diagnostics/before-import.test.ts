import assert from 'node:assert/strict'
import diagnostics from 'node:diagnostics_channel'
import { it } from 'node:test'
import { type CancelEvent, scope, SimpleToken } from 'calloff'
import { heard, traced } from './hearing.js'

it('a subscription from before the import of calloff/node hears all from then on', async () => {
  const early: string[] = []
  const task = { start: () => void early.push('task') }
  diagnostics.tracingChannel('calloff:task').subscribe(task as never)
  const events = await heard<CancelEvent>('calloff:cancel', async () => {
    new SimpleToken({ name: 'too early' }).cancel()
    await import('calloff/node')
    new SimpleToken({ name: 'in time' }).cancel()
    const steps = await traced('calloff:task', () => scope((s) => s.run(() => {})))
    assert.equal(steps.length, 4)
  })
  assert.deepEqual(events.map(({ origin, kind }) => `${origin.name} ${kind}`).slice(0, 1), ['in time manual'])
  assert.deepEqual(early, ['task'])
})
