/**
 * `node build/examples/observe/main.js`: prints where it listens, and then a line of JSON for each span and metric.
 * Ctrl+C ends it.
 */
import process from 'node:process'
import { ProcessSignalToken } from 'calloff/node'
import { startTelemetry } from './telemetry.js'

const stopTelemetry = startTelemetry((line) => console.log(JSON.stringify(line)))
// Loaded after the instrumentations, which patch what it imports.
const { startShop, startUpstream, urlOf } = await import('./server.js')

using stop = new ProcessSignalToken('SIGINT', 'SIGTERM')
const upstream = await startUpstream()
const shop = await startShop(urlOf(upstream), stop)
console.log(`listening on ${urlOf(shop)}`)

await stop.wait()
await new Promise((resolve) => shop.close(resolve)) // when the requests have been answered
upstream.closeAllConnections()
upstream.close()
await stopTelemetry()
process.exitCode = stop.exitCode
