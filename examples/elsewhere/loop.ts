/** A loop that never yields: it waits for nothing and nobody, and only asks its token. */
import { parentPort, workerData } from 'node:worker_threads'
import { type SharedHandle, SharedToken } from 'calloff/threads'
import { isPrime } from '../primes/count.js'

const token = SharedToken.from(workerData as SharedHandle)
let primes = 0
for (let n = 2; token.keepOn(); n++) {
  if (!isPrime(n)) continue
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  if (primes++ === 0) parentPort?.postMessage('begun')
}
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
parentPort?.postMessage(primes)
