/** Cleaning up after a cancellation, within a budget: `grace` gives a token that lives on for a while after it. */
import { setTimeout as later } from 'node:timers/promises'
import { type CancellationToken, isCancellation, TimeoutToken } from 'calloff'

const steps = ['flush the buffers', 'give back the lease', 'say goodbye to 1,000 peers']

async function cleanUp(budget: CancellationToken): Promise<void> {
  for (const [step, name] of steps.entries()) {
    try {
      await budget.sleep(step < 2 ? 20 : 10_000) // stands for the work
      console.log(`done: ${name}`)
    } catch (error) {
      if (!isCancellation(error, budget)) throw error
      console.log(`no time left to ${name}`)
    }
  }
}

const token = new TimeoutToken(100, { name: 'job' })
const budget = token.grace(300) // counted from the moment of the cancellation
try {
  for (;;) await later(10, undefined, { signal: token.signal })
} catch (error) {
  if (!isCancellation(error, token)) throw error
  console.log(`cancelled: ${token.error?.message}`)
  await cleanUp(budget)
}
