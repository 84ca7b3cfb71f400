import { connectHub, type HubError, type RemoteToken, TokenServer } from 'calloff/remote'

const server = await TokenServer.listen({ port: 0 })
const hub = await connectHub(server.url)
const token: RemoteToken = hub.open('consumer').cancel('stop')
await token.delivered
await hub.close()
await server.close()
try {
  hub.open('consumer')
} catch (error) {
  if ((error as HubError).code !== 'ERR_HUB_CLOSED') throw error
}
