/** The hub itself, in a terminal of its own. `node build/examples/hub/server.js [socket]`, ended with Ctrl+C. */
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { TokenServer } from 'calloff/remote'

const [path = join(tmpdir(), 'calloff-example.sock')] = process.argv.slice(2)
const server = await TokenServer.listen({ path })
console.log(server.url)
process.once('SIGINT', () => void server.close())
