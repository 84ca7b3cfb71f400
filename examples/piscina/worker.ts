/** A task of the pool. The handle of the token is one of its arguments. */
import { SharedToken, type SharedHandle } from 'calloff/threads'
import { type Count, countPrimes } from '../primes/count.js'

export interface Task {
  readonly token: SharedHandle
  readonly below: number
}

export function count({ token, below }: Task): Count {
  return countPrimes(below, SharedToken.from(token))
}
