/**
 * A worker whose loop never yields is cancelled, and still hands in what it has. Only one that does not react is terminated,
 * after a grace. `node build/examples/primes/main.js [how far] [milliseconds]`
 */
import { once } from 'node:events'
import process from 'node:process'
import { Worker } from 'node:worker_threads'
import { isCancellation, TimeoutToken } from 'calloff'
import { share } from 'calloff/threads'
import type { Count } from './count.js'
import type { Job } from './worker.js'

const [below = 1e9, ms = 100] = process.argv.slice(2).map(Number)

const worker = new Worker(new URL('worker.js', import.meta.url))
using token = share(new TimeoutToken(ms, { name: 'patience' }))
const job: Job = { token: token.handle, below }
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
worker.postMessage(job)

try {
  // A second after the cancellation, nobody waits for an answer any more.
  const [answer] = (await token.grace(1_000).race(once(worker, 'message'))) as [Count]
  console.log(answer.calledOff ?? 'finished')
  console.log(answer.primes > 0 ? 'some primes were found' : 'no primes were found')
} catch (error) {
  if (!isCancellation(error)) throw error
  console.log('the worker does not react')
}
await worker.terminate()
