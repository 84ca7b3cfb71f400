/** The examples with express, fastify and hono, on the runtime that runs this: each has a client that leaves. */
import assert from 'node:assert/strict'
import process from 'node:process'
import { describe, it } from 'node:test'
import type { CancellationToken } from 'calloff'
import { pathOf, startProgram } from '../../examples/run.js'
import { isDeno } from './runtime.js'

const flags = isDeno ? ['run', '--allow-all', '--no-check', '--no-lock', '--quiet'] : []

async function prints(name: string, lines: readonly (string | RegExp)[]): Promise<void> {
  const outcome = await startProgram(process.execPath, [...flags, pathOf(name)]).outcome
  assert.equal(outcome.code, 0, outcome.stderr)
  assert.equal(outcome.lines.length, lines.length, outcome.lines.join('\n'))
  for (const [at, line] of lines.entries()) {
    if (typeof line === 'string') assert.equal(outcome.lines[at], line)
    else assert.match(outcome.lines[at] ?? '', line)
  }
}

describe('a client that leaves', () => {
  it('express', () =>
    prints('http-express', [
      '200: page 1, page 2',
      'timeout: token "budget" ran out of time after 100 ms',
      '503: no time left',
      /^disconnect: token "client" lost its connection before the response had finished/,
    ]))

  it('fastify', () =>
    prints('http-fastify', [
      'client: three events are enough',
      /^server: token "client" lost its connection before the response had finished/,
      'server: the job has stopped',
    ]))

  it('hono', () => prints('http-hono', ['200: here you are', 'disconnect: the work has stopped']))
})

describe('a request without a connection', () => {
  it("of fastify's inject is not cancelled", async () => {
    const { fastify } = await import('fastify')
    const { fromRequest } = await import('calloff/node')
    const app = fastify()
    const tokens: CancellationToken[] = []
    app.post('/', (request, reply) => {
      tokens.push(fromRequest(request.raw, reply.raw))
      return 'answer'
    })
    const response = await app.inject({ method: 'POST', url: '/', payload: { a: 1 } })
    assert.deepEqual([response.body, tokens.map(({ cancelled }) => cancelled)], ['answer', [false]])
    await app.close()
  })
})
