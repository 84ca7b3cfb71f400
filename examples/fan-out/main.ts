/** `node build/examples/fan-out/main.js`: prints where it listens; Ctrl+C ends it with whatever it is doing. */
import process from 'node:process'
import { ProcessSignalToken } from 'calloff/node'
import { startPrices } from './prices.js'
import { startServer, urlOf } from './server.js'

const [deadline = 2_000, renderMs = 60_000, primesBelow = 1e9] = process.argv.slice(2).map(Number)

using stop = new ProcessSignalToken('SIGINT', 'SIGTERM')
const prices = await startPrices(renderMs, console.log)
const server = await startServer({ stop, deadline, prices: urlOf(prices), renderMs, primesBelow, log: console.log })
console.log(`listening on ${urlOf(server)}`)

await stop.wait()
server.close()
prices.close()
process.exitCode = stop.exitCode
