/** Counts primes without ever yielding, and hands in what it has when it is called off. */
import { parentPort } from 'node:worker_threads'
import { SharedToken, type SharedHandle } from 'calloff/threads'

export interface Job {
  readonly token: SharedHandle
  readonly below: number
}

export interface Answer {
  readonly primes: number
  readonly seen: number
  readonly calledOff: string | undefined
}

const isPrime = (n: number): boolean => {
  for (let divisor = 2; divisor * divisor <= n; divisor++) if (n % divisor === 0) return false
  return true
}

parentPort?.on('message', ({ token: handle, below }: Job) => {
  const token = SharedToken.from(handle)
  let primes = 0
  let n = 2
  for (; n < below && token.keepOn(); n++) if (isPrime(n)) primes++
  const answer: Answer = { primes, seen: n, calledOff: token.error?.message }
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  parentPort?.postMessage(answer)
})
