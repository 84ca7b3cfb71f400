/** What runs tasks: processes, threads, queues, retries. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import process from 'node:process'
import { test } from 'node:test'
import { QueryClient } from '@tanstack/query-core'
import { isCancellation, SimpleToken, TimeoutToken } from 'calloff'
import { share } from 'calloff/threads'
import { execa } from 'execa'
import PQueue from 'p-queue'
import pRetry from 'p-retry'
import { Piscina } from 'piscina'
import { checkClient, failureOf, isReason, wraps } from './checks.mjs'
import { Meetings, openOrigin } from './origin.mjs'

checkClient('execa', () => {
  const meetings = new Meetings()
  return {
    meetings,
    hang({ signal }) {
      const child = execa(process.execPath, ['-e', 'console.log(1); setInterval(() => {}, 1000)'], {
        cancelSignal: signal,
      })
      child.stdout?.once('data', () => meetings.add(once(child, 'exit')))
      return child
    },
    finish: ({ signal }) => execa(process.execPath, ['-e', ''], { cancelSignal: signal }),
    throws(error, token) {
      wraps(error, token)
      assert.equal(error.isCanceled, true)
    },
  }
})

const worker = new URL('worker.mjs', import.meta.url).href

checkClient('piscina', () => {
  const pool = new Piscina({ filename: worker, minThreads: 1, maxThreads: 1 })
  const meetings = new Meetings()
  // A task that runs is stopped by ending its thread.
  pool.on('message', () => meetings.add(once(pool.threads[0], 'exit')))
  return {
    meetings,
    hang: ({ signal }) => pool.run('hang', { signal }),
    finish: ({ signal }) => pool.run('finish', { signal }),
    throws: wraps,
    close: () => pool.destroy(),
  }
})

test('piscina: the error of a worker’s own token is known here, with the token and without', async () => {
  const pool = new Piscina({ filename: worker, maxThreads: 1 })
  try {
    for (const token of [new SimpleToken({ name: 'job' }), new TimeoutToken(300, { name: 'job' })]) {
      const shared = share(token)
      const running = once(pool, 'message')
      const call = failureOf(pool.run({ handle: shared.handle }))
      await running
      if (token instanceof SimpleToken) token.cancel('enough')
      const error = await call
      assert.equal(error.name, 'Error')
      assert.equal(isCancellation(error), true)
      assert.equal(isCancellation(error, shared), true)
      assert.equal(isCancellation(error, token), true)
      assert.equal(isCancellation(error, new SimpleToken({ name: 'another' }).cancel()), false)
    }
  } finally {
    await pool.destroy()
  }
})

checkClient('p-queue', async () => {
  const { url, meetings, close } = await openOrigin()
  const queue = new PQueue({ concurrency: 2 })
  const call = (path, signal) =>
    queue.add(({ signal }) => fetch(url + path, { signal }).then((one) => one.json()), { signal })
  return {
    meetings,
    listeners: 1, // fetch's
    hang: ({ signal }) => call('/hang', signal),
    finish: ({ signal }) => call('/ok', signal),
    throws: isReason,
    close,
  }
})

checkClient('p-retry', async () => {
  const { url, meetings, close } = await openOrigin()
  const call = (path, signal) =>
    pRetry(() => fetch(url + path, { signal }).then((one) => one.json()), { signal, retries: 3, minTimeout: 1 })
  return {
    meetings,
    listeners: 1, // fetch's
    hang: ({ signal }) => call('/hang', signal),
    finish: ({ signal }) => call('/ok', signal),
    throws: isReason,
    close,
  }
})

/** A function that fails with the error of a token, and counts how often it is called. */
function failing() {
  const token = new SimpleToken().cancel('enough')
  const calls = { count: 0 }
  const call = async () => {
    calls.count++
    token.check()
  }
  return { call, calls, token }
}

test('p-retry retries a cancellation, unless it is told what one is', async () => {
  const { call, calls, token } = failing()
  assert.equal(await failureOf(pRetry(call, { retries: 2, minTimeout: 1 })), token.error)
  assert.equal(calls.count, 3)
  calls.count = 0
  const shouldRetry = ({ error }) => !isCancellation(error)
  assert.equal(await failureOf(pRetry(call, { retries: 2, minTimeout: 1, shouldRetry })), token.error)
  assert.equal(calls.count, 1)
})

test('TanStack Query retries a cancellation, unless it is told what one is', async () => {
  const { call, calls, token } = failing()
  const queries = new QueryClient()
  const options = { queryKey: ['a'], queryFn: call, retryDelay: 1 }
  assert.equal(await failureOf(queries.fetchQuery({ ...options, retry: 2 })), token.error)
  assert.equal(calls.count, 3)
  calls.count = 0
  const retry = (count, error) => !isCancellation(error) && count < 2
  assert.equal(await failureOf(queries.fetchQuery({ ...options, retry })), token.error)
  assert.equal(calls.count, 1)
  queries.clear()
})

test('TanStack Query’s own cancel aborts the signal of the query, and its error is a cancellation', async () => {
  const queries = new QueryClient()
  let error
  const call = failureOf(
    queries.fetchQuery({
      queryKey: ['b'],
      async queryFn({ signal }) {
        await new SimpleToken(signal).wait().then((found) => (error = found))
        return 1
      },
    }),
  )
  await queries.cancelQueries()
  assert.equal(isCancellation(await call), true)
  assert.equal(error.kind, 'signal')
  queries.clear()
})
