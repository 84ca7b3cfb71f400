/**
 * A loop in another process is called off by name. Which engine carries that, the URL says: `node main.js nats://localhost:4222`,
 * `unix:/run/hub.sock`, `tcp://localhost:4000`; the program is the same.
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

const receipt = await hub.cancel(name, 'enough', { within: 10_000 })
console.log(`held by ${receipt.holders}, finished: ${receipt.finished}`)
await ended
