/**
 * A call through Comlink is cancelled, and gives what it has by then. Only a worker that does not react within a second is
 * terminated. `node build/examples/comlink/main.js [milliseconds]`
 */
import process from 'node:process'
import { Worker } from 'node:worker_threads'
import { isCancellation, TimeoutToken } from 'calloff'
import { share } from 'calloff/threads'
import { wrap } from 'comlink'
import { nodeEndpoint } from './endpoint.js'
import type { Api } from './worker.js'

const worker = new Worker(new URL('worker.js', import.meta.url))
const { count } = wrap<Api>(nodeEndpoint(worker))
const [ms = 300] = process.argv.slice(2).map(Number)
using token = share(new TimeoutToken(ms, { name: 'patience' }))

try {
  const { primes, calledOff } = await token.grace(1_000).race(count(1e9, token.handle))
  console.log(`${primes > 0 ? 'some' : 'no'} primes were found; ${calledOff ?? 'finished'}`)
} catch (error) {
  if (!isCancellation(error)) throw error
  console.log('the worker does not react')
}
await worker.terminate()
