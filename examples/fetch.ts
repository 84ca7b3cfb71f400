/** `fetch` takes any token as its signal; the server sees the connection close. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { isCancellation, SimpleToken, TimeoutToken } from 'calloff'

const server = createServer((request, response) => {
  response.on('close', () => console.log(`server: the client has left ${request.url}`))
  response.write('the beginning, and then nothing for a long time')
}).listen(0)
await once(server, 'listening')
const { port } = server.address() as AddressInfo

const user = new SimpleToken({ name: 'user' })
const token = new TimeoutToken(30_000, user)
try {
  const response = await fetch(`http://localhost:${port}/slow`, { signal: token.signal })
  console.log(`status ${response.status}`)
  setTimeout(() => user.cancel('pressed stop'), 100)
  console.log(await response.text())
} catch (error) {
  if (!isCancellation(error, token)) throw error
  console.log(`client: ${token.error?.message}`)
}
server.close()
