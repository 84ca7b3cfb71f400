/** Servers: the client leaves, and the token of its request is cancelled. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { serve } from '@hono/node-server'
import { fromRequest } from 'calloff/node'
import express from 'express'
import Fastify from 'fastify'
import { Hono } from 'hono'
import { checkClient, isReason } from './checks.mjs'
import { Meetings } from './origin.mjs'

/** @param {(hang: (token: import('calloff').CancellationToken) => Promise<never>) => Promise<import('node:http').Server>} listen */
function checkServer(name, listen) {
  checkClient(name, async () => {
    const meetings = new Meetings()
    const server = await listen(async (token) => {
      const lost = token.wait()
      meetings.add(lost.then(({ kind }) => assert.equal(kind, 'disconnect')))
      throw await lost
    })
    if (!server.listening) await once(server, 'listening')
    const call = async (path, signal) =>
      (await fetch(`http://127.0.0.1:${server.address().port}${path}`, { signal })).json()
    return {
      meetings,
      listeners: 1, // fetch's
      hang: ({ signal }) => call('/hang', signal),
      finish: ({ signal }) => call('/ok', signal),
      throws: isReason,
      close() {
        server.closeAllConnections()
        return new Promise((resolve) => server.close(resolve))
      },
    }
  })
}

checkServer('node:http', async (hang) =>
  createServer((request, response) => {
    if (request.url === '/hang') hang(fromRequest(request, response)).catch(() => {})
    else response.end('{"ok":true}')
  }).listen(0, '127.0.0.1'),
)

checkServer('express', async (hang) => {
  const app = express()
  app.get('/hang', (request, response) => hang(fromRequest(request, response)))
  app.get('/ok', (_request, response) => response.json({ ok: true }))
  // What is thrown for a client that has left concerns nobody.
  app.use((_error, _request, _response, _next) => {})
  return app.listen(0, '127.0.0.1')
})

checkServer('fastify', async (hang) => {
  const app = Fastify()
  app.get('/hang', (request, reply) => hang(fromRequest(request.raw, reply.raw)))
  app.get('/ok', () => ({ ok: true }))
  await app.listen({ port: 0, host: '127.0.0.1' })
  return app.server
})

checkServer('hono', async (hang) => {
  const app = new Hono()
  app.onError((_error, c) => c.body(null, 503))
  app.get('/hang', (c) => hang(fromRequest(c.env.incoming, c.env.outgoing)))
  app.get('/ok', (c) => c.json({ ok: true }))
  return serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' })
})
