/** The other end: counts primes, for as long as nobody anywhere calls it off, and says how far it got. */
import process from 'node:process'
import { connectHub } from 'calloff/remote'

const [url = '', name = ''] = process.argv.slice(2)

await using hub = await connectHub(url)
const token = hub.open(name)
await token.ready
console.log('working')

let primes = 0
for (let n = 2; token.keepOn(); n++) {
  // It never waits for anything, but what arrives has to be let in: every few milliseconds, whatever a turn takes.
  await token.checkpoint().catch(() => {})
  let isPrime = true
  for (let d = 2; d * d <= n && isPrime; d++) isPrime = n % d !== 0
  if (isPrime) primes++
}
console.log(`found primes: ${primes > 0}; ${token.error?.message}`)
