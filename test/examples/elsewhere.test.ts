import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { TokenServer } from 'calloff/remote'
import { natsServer, skip } from '../remote/nats-server.js'
import { run } from './run.js'

async function stops(url: string): Promise<void> {
  const { lines, stderr, code } = await run('elsewhere/main', [url, 'primes'])
  assert.deepEqual([stderr, code], ['', 0])
  const [first, ...others] = lines
  assert.equal(first, 'working')
  // Two processes write, in whatever order.
  const [far, near] = others.toSorted()
  assert.match(far ?? '', /^found primes: true; token "primes" was cancelled in process \d+ on .*: enough$/)
  assert.equal(near, 'held by 1, finished: 1')
}

describe('a loop in another process is called off', () => {
  it('through an embedded server', async () => {
    await using server = await TokenServer.listen({ port: 0 })
    await stops(server.url)
  })

  it('over NATS, by the same program', { skip }, async () => {
    const server = await natsServer()
    try {
      await stops(`nats://127.0.0.1:${server.port}`)
    } finally {
      await server.end()
    }
  })
})
