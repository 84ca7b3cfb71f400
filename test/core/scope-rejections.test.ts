/** A failure of a task that is the caller's to handle surfaces where no caller handles it. */
import assert from 'node:assert/strict'
import process from 'node:process'
import { describe, it } from 'node:test'
import { scope } from 'calloff'

const boom = new Error('boom')
const fails = async () => {
  throw boom
}

/** The rejections without a handler that happen during `what`. */
async function unhandled(what: () => Promise<unknown>): Promise<unknown[]> {
  const seen: unknown[] = []
  const hear = (error: unknown) => void seen.push(error)
  // The test runner listens as well, and would fail the test.
  const others = process.listeners('unhandledRejection')
  process.removeAllListeners('unhandledRejection').on('unhandledRejection', hear)
  try {
    await what()
    await new Promise<void>((resolve) => setImmediate(resolve))
  } finally {
    process.removeAllListeners('unhandledRejection')
    for (const other of others) process.on('unhandledRejection', other)
  }
  return seen
}

describe('a failure that the scope survives, and that no caller handles, is an unhandled rejection', () => {
  it('of a task with survive', async () => {
    const seen = await unhandled(() =>
      scope((s) => {
        void s.run(fails, { survive: true })
      }),
    )
    assert.deepEqual(seen, [boom])
  })

  it('of a task that was not ready yet', async () => {
    assert.deepEqual(await unhandled(() => scope((s) => void s.start(fails))), [boom])
  })
})
