/**
 * A loop in another process, which never yields, is cancelled by name. What carries that, the URL says, and nothing else
 * changes: `node build/examples/elsewhere/main.js nats://localhost:4222`, or `unix:/run/hub.sock`, `redis://localhost`,
 * `postgres://localhost/app`. On two machines, start worker.js on the other one with the same URL and name.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { connectHub } from 'calloff/remote'

const [url = 'nats://localhost:4222', name = `primes-${process.pid}`] = process.argv.slice(2)

await using hub = await connectHub(url)
const program = fileURLToPath(new URL('worker.js', import.meta.url))
const worker = spawn(process.execPath, [program, url, name], { stdio: ['ignore', 'pipe', 'inherit'] })
const ended = once(worker, 'close')
worker.stdout.pipe(process.stdout)
await once(worker.stdout, 'data')

const receipt = await hub.cancel(name, 'enough', { timeout: 10_000 })
console.log(`held by ${receipt.holders}, finished: ${receipt.finished}`)
await ended
