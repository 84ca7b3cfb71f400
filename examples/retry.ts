/** A server that is busy at first, and one that stays so: what can be tried within the time there is. */
import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { type CancellationToken, RetryBudgetError, TimeoutToken } from 'calloff'

let requests = 0
const server = createServer((request, response) => {
  response.statusCode = request.url === '/down' || ++requests < 3 ? 503 : 200
  response.end('ready')
})
await once(server.listen(0, '127.0.0.1'), 'listening')
const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

const get = (path: string) => async (token: CancellationToken, attempt: number) => {
  const response = await fetch(base + path, { signal: token.signal })
  if (path === '/') console.log(`attempt ${attempt}: ${response.status}`)
  if (!response.ok) throw new Error(`the server says ${response.status}`)
  return response
}

const response = await new TimeoutToken(30_000).retry(get('/'), { delay: 10 })
console.log(await response.text()) // the token of the attempt that succeeded lives on

try {
  await new TimeoutToken(10_000).retry(get('/down'), { attempts: 10, delay: 1, factor: 1e6, maxDelay: 60_000 })
} catch (error) {
  if (!(error instanceof RetryBudgetError)) throw error
  console.log(`given up after ${error.attempts} attempts: ${(error.cause as Error).message}`)
}
server.close()
server.closeAllConnections()
