/** The server of the soak: `server.child.js <journal>`, obeying orders over IPC. */
import process from 'node:process'
import { TokenServer } from 'calloff/remote'
import { footprint, obey } from './orders.js'

const server = await TokenServer.listen({ port: 0, journal: process.argv[2] })

obey({
  url: () => ({ url: server.url }),
  footprint,
  async end() {
    await server.close()
    return footprint()
  },
})
