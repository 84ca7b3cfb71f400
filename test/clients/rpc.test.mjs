/** Remote calls: gRPC, Connect, MCP. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { create, createFileRegistry } from '@bufbuild/protobuf'
import {
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  file_google_protobuf_wrappers,
} from '@bufbuild/protobuf/wkt'
import { createClient as createConnectClient } from '@connectrpc/connect'
import { connectNodeAdapter, createConnectTransport } from '@connectrpc/connect-node'
import grpc from '@grpc/grpc-js'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import { from, isCancellation, SimpleToken, TimeoutToken } from 'calloff'
import { checkClient, drops, failureOf } from './checks.mjs'
import { Meetings } from './origin.mjs'

const hasCode = (code) => (error, token) => {
  drops(error, token)
  assert.equal(error.code, code)
}

const json = { serialize: (value) => Buffer.from(JSON.stringify(value)), deserialize: (data) => JSON.parse(data) }
const method = (path) => ({
  path,
  requestStream: false,
  responseStream: false,
  requestSerialize: json.serialize,
  requestDeserialize: json.deserialize,
  responseSerialize: json.serialize,
  responseDeserialize: json.deserialize,
})
const definition = { hang: method('/calloff.Test/Hang'), finish: method('/calloff.Test/Finish') }

async function openGrpc() {
  const meetings = new Meetings()
  const server = new grpc.Server()
  server.addService(definition, {
    hang: (call) => meetings.add(once(call, 'cancelled')),
    finish: (_call, callback) => callback(null, { ok: true }),
  })
  const port = await new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) =>
      error ? reject(error) : resolve(port),
    )
  })
  const Service = grpc.makeGenericClientConstructor(definition, 'Test')
  const client = new Service(`127.0.0.1:${port}`, grpc.credentials.createInsecure())
  return {
    meetings,
    client,
    close() {
      client.close()
      server.forceShutdown()
    },
  }
}

/** A call that is cancelled with the token. It needs no deadline of its own, which may pass a moment before the token's. */
function callGrpc(client, name, token) {
  token.check()
  return new Promise((resolve, reject) => {
    const call = client[name]({}, (error, value) => {
      registration.stop()
      return error ? reject(error) : resolve(value)
    })
    const registration = token.onCancel(() => call.cancel())
  })
}

checkClient('grpc-js', async () => {
  const { meetings, client, close } = await openGrpc()
  return {
    meetings,
    hang: async ({ token }) => callGrpc(client, 'hang', token),
    finish: async ({ token }) => callGrpc(client, 'finish', token),
    throws: hasCode(grpc.status.CANCELLED),
    throwsBefore: (error, token) => assert.equal(error, token.error),
    close,
  }
})

const files = create(FileDescriptorSetSchema, {
  file: [
    file_google_protobuf_wrappers.proto,
    create(FileDescriptorProtoSchema, {
      name: 'test.proto',
      package: 'calloff',
      syntax: 'proto3',
      dependency: ['google/protobuf/wrappers.proto'],
      service: [
        {
          name: 'Test',
          method: ['Hang', 'Finish'].map((name) => ({
            name,
            inputType: '.google.protobuf.StringValue',
            outputType: '.google.protobuf.StringValue',
          })),
        },
      ],
    }),
  ],
})

checkClient('Connect', async () => {
  const meetings = new Meetings()
  const service = createFileRegistry(files).getService('calloff.Test')
  const routes = (router) =>
    router.service(service, {
      async hang(_request, { signal }) {
        const lost = from(signal).wait()
        meetings.add(lost)
        throw await lost
      },
      finish: () => ({ value: 'ok' }),
    })
  const server = createServer(connectNodeAdapter({ routes })).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const transport = createConnectTransport({ baseUrl: `http://127.0.0.1:${server.address().port}`, httpVersion: '1.1' })
  const client = createConnectClient(service, transport)
  return {
    meetings,
    hang: ({ signal }) => client.hang({}, { signal }),
    finish: ({ signal }) => client.finish({}, { signal }),
    throws: hasCode(1),
    close() {
      server.closeAllConnections()
      return new Promise((resolve) => server.close(resolve))
    },
  }
})

checkClient('MCP', async () => {
  const meetings = new Meetings()
  const mcp = new McpServer({ name: 'here', version: '1.0.0' })
  mcp.registerTool('hang', {}, async ({ signal }) => {
    const lost = from(signal).wait()
    meetings.add(lost)
    throw await lost
  })
  mcp.registerTool('finish', {}, () => ({ content: [] }))
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: () => '1' })
  await mcp.connect(transport)
  const server = createServer((request, response) => void transport.handleRequest(request, response)).listen(
    0,
    '127.0.0.1',
  )
  await once(server, 'listening')
  const client = new Client({ name: 'there', version: '1.0.0' })
  await client.connect(new StreamableHTTPClientTransport(new URL(`http://127.0.0.1:${server.address().port}/mcp`)))
  const call = (name, signal) => client.callTool({ name }, undefined, { signal })
  return {
    meetings,
    listeners: 1,
    hang: async ({ signal }) => call('hang', signal),
    finish: async ({ signal }) => call('finish', signal),
    throws: hasCode(-32_001),
    throwsBefore: (error, token) => assert.equal(error, token.error),
    async close() {
      await client.close()
      await mcp.close()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
})

test('grpc-js: a call’s own deadline is a cancellation of a token that has run out of time, and of no other', async () => {
  const { client, close } = await openGrpc()
  try {
    const error = await failureOf(
      new Promise((resolve, reject) => {
        client.hang({}, { deadline: Date.now() + 20 }, (error, value) => (error ? reject(error) : resolve(value)))
      }),
    )
    assert.equal(error.code, grpc.status.DEADLINE_EXCEEDED)
    assert.equal(isCancellation(error), false)
    assert.equal(isCancellation(error, new SimpleToken()), false)
    assert.equal(isCancellation(error, new TimeoutToken(0)), true)
  } finally {
    close()
  }
})
