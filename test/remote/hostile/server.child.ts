/** A server in a process of its own: `server.child.js <limits as JSON>`. Says where it listens. */
import process from 'node:process'
import { TokenServer } from 'calloff/remote'

const limits = JSON.parse(process.argv[2] ?? '{}') as object
const server = await TokenServer.listen({ port: 0, limits })
console.log(server.url)
