/** A deadline that holds in a loop that never yields, where no timer of the platform can fire: a poll reads the clock. */
import { TimeoutToken } from 'calloff'

const deadline = new TimeoutToken(200)
const platform = AbortSignal.timeout(200)

let primes = 0
for (let n = 2; deadline.keepOn(); n++) {
  let isPrime = true
  for (let d = 2; d * d <= n && isPrime; d++) isPrime = n % d !== 0
  if (isPrime) primes++
}
console.log(`found primes: ${primes > 0}`)
console.log(`TimeoutToken cancelled: ${deadline.cancelled}, AbortSignal.timeout aborted: ${platform.aborted}`)
