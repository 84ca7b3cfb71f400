/** The hub over HTTP behind the servers that people use. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import * as http2 from 'node:http2'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { describe, it } from 'node:test'
import { getRequestListener } from '@hono/node-server'
import express from 'express'
import fastify from 'fastify'
import { Hono } from 'hono'
import { type FetchHandler, hubHandler, toNodeListener } from 'calloff/http'
import { connectHub, type TokenHub, TokenServer } from 'calloff/remote'
import { runtimes, start } from '../node/programs.js'
import { Opened } from './api.js'
import { options, type Send, useApi } from './scenario.js'

/** Listens, and sends requests by fetch. */
async function listening(server: Server, opened: Opened): Promise<Send> {
  await once(server.listen(0, '127.0.0.1'), 'listening')
  opened.defer(() => server.close() && server.closeAllConnections())
  const { port } = server.address() as AddressInfo
  return (path, init) => fetch(`http://127.0.0.1:${port}${path}`, init)
}

async function overHttp2(handler: FetchHandler, opened: Opened): Promise<Send> {
  const listener = toNodeListener(handler)
  const server = http2.createServer((request, response) => void listener(request, response))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  opened.defer(() => server.close())
  const session = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  opened.defer(() => session.destroy())
  return async (path, { method = 'GET', headers, body, signal } = {}) => {
    const stream = session.request({ ...(headers as Record<string, string>), ':method': method, ':path': path })
    signal?.addEventListener('abort', () => stream.close(http2.constants.NGHTTP2_CANCEL))
    stream.on('error', () => {}).end(body)
    const [received] = (await once(stream, 'response')) as [Record<string, string>]
    const { ':status': status, ...others } = received
    const fields = Object.entries(others).filter(([name]) => !name.startsWith(':'))
    const isEmpty = Number(status) === 204
    const content = isEmpty ? null : (Readable.toWeb(stream) as ReadableStream<Uint8Array>)
    return new Response(content, { status: Number(status), headers: fields })
  }
}

const servers: Readonly<Record<string, (handler: FetchHandler, opened: Opened) => Promise<Send>>> = {
  'node:http': (handler, opened) => {
    const listener = toNodeListener(handler)
    return listening(
      createServer((request, response) => void listener(request, response)),
      opened,
    )
  },
  'node:http2': overHttp2,
  'express, under a path, after a parser of bodies': (handler, opened) => {
    const app = express().use(express.json()).use('/calloff', toNodeListener(handler))
    return listening(createServer(app), opened)
  },
  fastify: async (handler, opened) => {
    const app = fastify()
    const listener = toNodeListener(handler)
    app.all('/calloff/*', (request, reply) => {
      reply.hijack()
      void listener(Object.assign(request.raw, { body: request.body }), reply.raw)
    })
    opened.defer(() => app.close())
    const url = await app.listen({ port: 0, host: '127.0.0.1' })
    opened.defer(() => app.server.closeAllConnections())
    return (path, init) => fetch(`${url}${path}`, init)
  },
  hono: (handler, opened) => {
    const app = new Hono().all('/calloff/*', (context) => Promise.resolve(handler(context.req.raw)))
    const listener = getRequestListener(app.fetch)
    return listening(
      createServer((request, response) => void listener(request, response)),
      opened,
    )
  },
}

describe('the hub over HTTP behind a server', () => {
  for (const [name, listen] of Object.entries(servers)) {
    it(name, async () => {
      await using opened = new Opened()
      const server = opened.use(await TokenServer.listen({ port: 0 }))
      const hub: TokenHub = opened.use(await connectHub(server.url))
      const handler = hubHandler(hub, options)
      opened.defer(() => handler.close())
      await useApi(hub, await listen(handler, opened))
    })
  }

  for (const runtime of runtimes) {
    it(`of ${runtime.name}`, { skip: runtime.skip }, async () => {
      const { code, lines, errors } = await start(runtime, '../http/serve.child.js').ended
      assert.deepEqual({ code, lines, errors }, { code: 0, lines: ['served'], errors: '' })
    })
  }
})
