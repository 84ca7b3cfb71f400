/** A loop that never yields: it waits for nothing and nobody, and only asks its token. */
import { parentPort, workerData } from 'node:worker_threads'
import { type SharedHandle, SharedToken } from 'calloff/threads'
import { countPrimes } from '../primes/count.js'

const token = SharedToken.from(workerData as SharedHandle)
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
parentPort?.postMessage('begins')
const { primes } = countPrimes(Infinity, token)
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
parentPort?.postMessage(primes)
