/** Counts primes without ever yielding, and hands in what it has when it is cancelled. */
import { parentPort } from 'node:worker_threads'
import { SharedToken, type SharedHandle } from 'calloff/threads'
import { countPrimes } from './count.js'

export interface Job {
  readonly token: SharedHandle
  readonly below: number
}

parentPort?.on('message', ({ token, below }: Job) => {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  parentPort?.postMessage(countPrimes(below, SharedToken.from(token)))
})
