/**
 * A chat whose Stop button never misses: two servers behind a proxy that sends each request to the next one.
 *
 * `npm install && npm start`, and open the address that it prints. Ctrl+C ends it. With `HUB_URL=redis://localhost:6379` in the
 * environment, and `ioredis` installed, the servers share a hub on Redis. Without, the hub is in this process.
 */
import { fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, request as ask } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { ProcessSignalToken } from 'calloff/node'
import { TokenServer } from 'calloff/remote'

const secret = () => randomBytes(32).toString('base64url')
const interrupted = new ProcessSignalToken('SIGINT', 'SIGTERM')

// What the servers share: the hub, the sessions, and the place of the answers.
const env = { ...process.env, SESSION_KEY: secret(), ANSWERS: await mkdtemp(join(tmpdir(), 'stop-button-')) }
let hub
if (!env.HUB_URL) {
  env.HUB_KEY = secret()
  hub = await TokenServer.listen({ port: 0, key: env.HUB_KEY })
  env.HUB_URL = hub.url
}

async function startServer(name) {
  const child = fork(new URL('server.js', import.meta.url), { env: { ...env, SERVER_NAME: name } })
  const failed = once(child, 'exit').then(([code]) => Promise.reject(new Error(`${name} ended with code ${code}`)))
  const [port] = await Promise.race([once(child, 'message'), failed])
  return { child, port }
}

const servers = await Promise.all([startServer('server 1'), startServer('server 2')])

/** Stands for your load balancer: each request goes to the next server. */
let turn = 0
const proxy = createServer((request, response) => {
  const { method, url: path, headers } = request
  const { port } = servers[turn++ % servers.length]
  const onward = ask({ host: '127.0.0.1', port, method, path, headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers)
    answer.on('error', () => response.destroy()).pipe(response)
  })
  onward.on('error', () => (response.headersSent ? response.destroy() : response.writeHead(502).end()))
  response.on('close', () => onward.destroy())
  request.pipe(onward)
})
await once(proxy.listen(Number(process.env.PORT ?? 0), '127.0.0.1'), 'listening')
console.log(`http://127.0.0.1:${proxy.address().port}/`)

await interrupted.wait()
for (const { child } of servers) child.kill()
proxy.closeAllConnections()
proxy.close()
await hub?.close()
await rm(env.ANSWERS, { recursive: true })
process.exitCode = interrupted.exitCode
