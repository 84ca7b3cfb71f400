/** isCancellation on errors that the libraries themselves have made. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { PassThrough } from 'node:stream'
import { describe, test } from 'node:test'
import { Code, ConnectError } from '@connectrpc/connect'
import { CancelledError } from '@tanstack/query-core'
import { isCancellation, SimpleToken, TimeoutToken } from 'calloff'
import { Window } from 'happy-dom'
import { Redis } from 'ioredis'
import { MongoServerError } from 'mongodb'
import mysql from 'mysql2'
import { APIConnectionTimeoutError, APIUserAbortError } from 'openai'
import { AbortError as NotToBeRetried } from 'p-retry'
import { AbortError } from 'redis'
import { errors } from 'undici'
import rpc from 'vscode-jsonrpc/node'
import { failureOf } from './checks.mjs'

const redisErrors = createRequire(createRequire(import.meta.url).resolve('ioredis'))('redis-errors')
const window = new Window()

/** What mysql2 makes of an answer of a server. */
async function ofMySql(code) {
  const server = mysql.createServer((connection) => {
    connection.serverHandshake({
      protocolVersion: 10,
      serverVersion: '8.0.0',
      connectionId: 1,
      statusFlags: 2,
      characterSet: 8,
      capabilityFlags: 0xff_ff_ff ^ 0x08_00,
    })
    connection.on('error', () => {}) // the client leaves
    connection.on('query', () => {
      connection.sequenceId = 1
      connection.writeError({ code, message: 'stopped' })
    })
  })
  server.listen(0, '127.0.0.1')
  const { _server: listener } = server
  await once(listener, 'listening')
  const client = mysql.createConnection({ host: '127.0.0.1', port: listener.address().port, user: 'a' })
  client.on('error', () => {})
  try {
    return await new Promise((resolve) => {
      client.query('select sleep(60)', resolve)
    })
  } finally {
    client.destroy()
    await new Promise((resolve) => listener.close(resolve))
  }
}

/** What vscode-jsonrpc makes of a request that is cancelled. */
async function ofJsonRpc(code) {
  const [there, back] = [new PassThrough(), new PassThrough()]
  const client = rpc.createMessageConnection(new rpc.StreamMessageReader(back), new rpc.StreamMessageWriter(there))
  const server = rpc.createMessageConnection(new rpc.StreamMessageReader(there), new rpc.StreamMessageWriter(back))
  server.onRequest('hang', (_params, token) => {
    return new Promise((_resolve, reject) => {
      token.onCancellationRequested(() => reject(new rpc.ResponseError(code, 'stopped')))
    })
  })
  client.listen()
  server.listen()
  const source = new rpc.CancellationTokenSource()
  const call = failureOf(client.sendRequest('hang', {}, source.token))
  setImmediate(() => source.cancel())
  const error = await call
  client.dispose()
  server.dispose()
  return error
}

/** What ioredis says of the rest of a pipeline, when the server goes away in the middle. */
async function ofLostConnection() {
  const server = createServer((socket) => {
    socket.on('data', (data) => {
      if (data.includes('hello')) socket.write("-ERR unknown command 'HELLO'\r\n")
      else if (data.includes('second')) socket.write('$-1\r\n', () => socket.destroy())
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = new Redis({
    port: server.address().port,
    enableReadyCheck: false,
    disableClientInfo: true,
    retryStrategy: () => null,
  })
  client.on('error', () => {})
  const results = await client.pipeline().get('first').get('second').exec()
  client.disconnect()
  await new Promise((resolve) => server.close(resolve))
  return results[1][0]
}

/** What the libraries make: a cancellation for sure; only under a token that is cancelled; only if by a deadline; never. */
const table = {
  sure: {
    'redis, a signal': () => new AbortError(),
    'openai, a signal': () => new APIUserAbortError(),
    'undici, a signal': () => new errors.RequestAbortedError(),
    'TanStack Query': () => new CancelledError(),
    'happy-dom’s AbortError': () => new window.DOMException('stopped', 'AbortError'),
    async 'happy-dom’s AbortSignal.timeout'() {
      const signal = window.AbortSignal.timeout(1)
      await new Promise((resolve) => {
        signal.addEventListener('abort', resolve)
      })
      return signal.reason
    },
  },
  cancelled: {
    'MySQL’s ER_QUERY_INTERRUPTED': () => ofMySql(1317),
    'MySQL’s ER_QUERY_TIMEOUT': () => ofMySql(3024),
    'MariaDB’s max_statement_time': () => ofMySql(1969),
    'JSON-RPC’s RequestCancelled': () => ofJsonRpc(-32_800),
    'JSON-RPC’s ServerCancelled': () => ofJsonRpc(-32_802),
    'MongoDB’s Interrupted': () => new MongoServerError({ code: 11_601, codeName: 'Interrupted', errmsg: 'stopped' }),
    'MongoDB’s MaxTimeMSExpired': () =>
      new MongoServerError({ code: 50, codeName: 'MaxTimeMSExpired', errmsg: 'operation exceeded time limit' }),
    'Connect’s Canceled': () => new ConnectError('stopped', Code.Canceled),
    'Connect’s DeadlineExceeded': () => new ConnectError('late', Code.DeadlineExceeded),
  },
  late: {
    'openai, its own timeout': () => new APIConnectionTimeoutError(),
    'undici, its own timeout': () => new errors.HeadersTimeoutError(),
  },
  never: {
    'ioredis, a lost connection': ofLostConnection,
    'ioredis, a CROSSSLOT mistake': () => new redisErrors.AbortError('Possible CROSSSLOT error'),
    'p-retry, a failure that is not to be retried': () => new NotToBeRetried('bad credentials'),
    'Connect’s Aborted': () => new ConnectError('try again', Code.Aborted),
    'MySQL’s ER_DUP_ENTRY': () => ofMySql(1062),
    'MongoDB’s DuplicateKey': () => new MongoServerError({ code: 11_000, codeName: 'DuplicateKey', errmsg: 'no' }),
    'JSON-RPC’s ContentModified': () => ofJsonRpc(-32_801),
    'undici, a socket that was closed': () => new errors.SocketError('other side closed'),
  },
}

/** Without a token, with a live one, with one cancelled by hand, with one out of time. */
const answers = {
  sure: [true, false, true, true],
  cancelled: [false, false, true, true],
  late: [false, false, false, true],
  never: [false, false, false, false],
}

for (const [when, rows] of Object.entries(table)) {
  describe(`isCancellation: ${when}`, () => {
    for (const [name, make] of Object.entries(rows)) {
      test(name, async () => {
        const error = await make()
        assert.ok(error instanceof Error || error?.name !== undefined, String(error))
        const tokens = [undefined, new SimpleToken(), new SimpleToken().cancel(), new TimeoutToken(0)]
        assert.deepEqual(
          tokens.map((token) => isCancellation(error, token)),
          answers[when],
          `${error?.name} ${error?.code} ${error?.message}`,
        )
      })
    }
  })
}

test('the AbortError of ioredis is what it is taken for', async () => {
  const error = await ofLostConnection()
  assert.equal(error.name, 'AbortError')
  assert.ok(error instanceof redisErrors.AbortError)
})
