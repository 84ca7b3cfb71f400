/** Counts primes until its parent cancels it, or, run by hand, for as long as it is given. `node build/examples/from-parent/counter.js` */
import { TimeoutToken } from 'calloff'
import { fromParent } from 'calloff/node'

const token = await fromParent({ background: true, fallback: new TimeoutToken(100, { name: 'by hand' }) })
console.log('begun')

let primes = 0
for (let n = 2; token.keepOn(); n++) {
  let isPrime = true
  for (let d = 2; d * d <= n && isPrime; d++) isPrime = n % d !== 0
  if (isPrime) primes++
}
console.log(`${primes > 0 ? 'some' : 'no'} primes; ${token.error?.message.replace(/process \d+/, 'its parent')}`)
