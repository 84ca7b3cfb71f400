/** Calls a job off, and waits to hear that it has ended. `node build/examples/hub/stop.js <url> <name> [reason]` */
import process from 'node:process'
import { connectHub } from 'calloff/remote'

const [url = '', name = 'job-42', reason = 'stop pressed'] = process.argv.slice(2)
await using hub = await connectHub(url)
const { holders, finished, waiting } = await hub.cancel(name, reason, { timeout: 20_000 })
console.log(`${holders} held it, ${finished} finished`)
for (const { host, pid } of waiting) console.log(`process ${pid} on ${host} has not`)
