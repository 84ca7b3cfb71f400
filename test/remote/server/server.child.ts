/** A server in a process of its own: `server.child.js <socket> <journal>`. */
import process from 'node:process'
import { TokenServer } from 'calloff/remote'

const [path, journal] = process.argv.slice(2)
const server = await TokenServer.listen({ path, journal })
console.log(server.url)
