/** fastify: server-sent events end when the client has left, and not when the request's body has been read. */
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import fastify from 'fastify'
import type { CancellationToken } from 'calloff'
import { fromRequest } from 'calloff/node'

const app = fastify()

app.post('/progress', (request, reply) => {
  const token = fromRequest(request.raw, reply.raw, { name: 'client' })
  token.onCancel((error) => console.log(`server: ${error.message}`))
  return reply.type('text/event-stream').send(Readable.from(progress(request.body, token)))
})

async function* progress(job: unknown, token: CancellationToken): AsyncGenerator<string> {
  for await (const turn of token.every(20)) yield `data: ${JSON.stringify({ job, turn })}\n\n`
  console.log('server: the job has stopped')
}

await app.listen({ port: 0, host: '127.0.0.1' })
const { port } = app.server.address() as AddressInfo

const client = request({ port, method: 'POST', path: '/progress', headers: { 'content-type': 'application/json' } })
client.on('error', () => {}).end('{"name":"import"}')
const [response] = (await once(client, 'response')) as [IncomingMessage]
let events = 0
for await (const text of response.setEncoding('utf8')) {
  events += String(text).split('\n\n').length - 1
  if (events >= 3) break // which destroys the connection
}
console.log('client: three events are enough')
await app.close()
