/** A server that is attacked: `server.child.js <limits as JSON>`, obeying orders over IPC. */
import process from 'node:process'
import { TokenServer } from 'calloff/remote'
import { footprint, obey } from '../../soak/orders.js'

const limits = JSON.parse(process.argv[2] ?? '{}') as object
const server = await TokenServer.listen({ port: 0, limits })

obey({ url: () => server.url, footprint, rss: () => process.memoryUsage.rss() })
