/** The other end: counts primes until a process anywhere cancels it, and prints how far it got. */
import { once } from 'node:events'
import process from 'node:process'
import { Worker } from 'node:worker_threads'
import { connectHub } from 'calloff/remote'
import { share } from 'calloff/threads'

const [url = '', name = ''] = process.argv.slice(2)

await using hub = await connectHub(url)
using token = hub.open(name)
await token.ready

// The loop lets nothing in, so it has a thread of its own; here is somebody who hears of a cancel, and passes it on.
const thread = new Worker(new URL('loop.js', import.meta.url), { workerData: share(token).handle })
await once(thread, 'message')
console.log('working')

const [primes] = (await token.finished(once(thread, 'message'))) as [number]
console.log(`found primes: ${primes > 0}; ${token.error?.message}`)
