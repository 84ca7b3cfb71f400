/** The worker thread: a loop that never yields, under a token that the main thread shares with it. */
import { parentPort, workerData } from 'node:worker_threads'
import { SharedToken, type SharedHandle } from 'calloff/threads'
import { countPrimes } from '../primes/count.js'

const { token, below } = workerData as { readonly token: SharedHandle; readonly below: number }

// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
parentPort?.postMessage(countPrimes(below, SharedToken.from(token)).primes)
