/** express: a report is cancelled when the user closes the page, or when what the caller allows it has run out. */
import { once } from 'node:events'
import { createServer, get, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import { type CancellationToken, fromHeaders, isCancellation } from 'calloff'
import { fromRequest } from 'calloff/node'

const app = express()

app.get('/report', async (req, res) => {
  const token = fromRequest(req, res, { name: 'client' }).plus(
    fromHeaders(req.headers, { max: 60_000, name: 'budget' }),
  )
  try {
    res.send(await writeReport(Number(req.query['pages']), token))
  } catch (error) {
    if (!isCancellation(error, token)) throw error // for express
    console.log(`${String(token.kind)}: ${token.error?.message}`)
    if (!res.closed) res.status(503).send('no time left')
  }
})

async function writeReport(pages: number, token: CancellationToken): Promise<string> {
  let text = ''
  for (let page = 1; page <= pages; page++) {
    await token.sleep(20) // a query, a file, a call of another service
    text += `page ${page}\n`
  }
  return text
}

// Three callers: one gets its report, one has little time, one leaves.
const server = createServer(app).listen(0)
await once(server, 'listening')
const { port } = server.address() as AddressInfo
const url = (pages: number): string => `http://localhost:${port}/report?pages=${pages}`

console.log(`200: ${(await (await fetch(url(2))).text()).split('\n').slice(0, 2).join(', ')}`)

const hasty = await fetch(url(10_000), { headers: { 'x-request-timeout-ms': '100' } })
console.log(`${hasty.status}: ${await hasty.text()}`)

const client = get(url(10_000)).on('error', () => {})
const [, response] = (await once(server, 'request')) as [IncomingMessage, ServerResponse]
client.destroy()
await once(response, 'close')
server.close()
