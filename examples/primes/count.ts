/** Work that never yields: what the examples with threads cancel. */
import type { CancellationToken } from 'calloff'

export interface Count {
  readonly primes: number
  /** How far it came. */
  readonly seen: number
  readonly calledOff: string | undefined
}

export const isPrime = (n: number): boolean => {
  for (let divisor = 2; divisor * divisor <= n; divisor++) if (n % divisor === 0) return false
  return true
}

/** Counts the primes below a number; if it is cancelled, those it has seen by then. */
export function countPrimes(below: number, token: CancellationToken): Count {
  let primes = 0
  let n = 2
  for (; n < below && token.keepOn(); n++) if (isPrime(n)) primes++
  return { primes, seen: n, calledOff: token.error?.message }
}
