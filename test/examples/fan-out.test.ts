import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Server } from 'node:http'
import { connect } from 'node:net'
import process from 'node:process'
import { after, before, describe, it } from 'node:test'
import { SimpleToken } from 'calloff'
import { startPrices } from '../../examples/fan-out/prices.js'
import { startServer, urlOf } from '../../examples/fan-out/server.js'
import { subscribers } from '../property/inside.js'
import { start } from './run.js'

const LONG = { renderMs: 60_000, primesBelow: 1e9 }
const SHORT = { renderMs: 1, primesBelow: 1_000 }
/** Enough for all three to be under way, also on a busy machine; were they not, there would be less to stop. */
const BEGUN = 1_500

/** What keeps a process alive here: child processes, threads, connections. */
const resources = () =>
  process
    .getActiveResourcesInfo()
    .filter((name) => /Process|Worker|MessagePort|TCPSocket|TCPWrap/.test(name))
    .toSorted()

async function until(isSo: () => boolean, what: () => string): Promise<void> {
  for (const end = performance.now() + 120_000; !isSo();) {
    if (performance.now() > end) assert.fail(what())
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

describe('a server whose requests fan out to a child process, another server and a busy worker', () => {
  const lines: string[] = []
  const log = (line: string) => void lines.push(line)
  const said = async (pattern: RegExp) => {
    await until(
      () => lines.some((line) => pattern.test(line)),
      () => `${String(pattern)} is not among:\n${lines.join('\n')}`,
    )
    return lines.find((line) => pattern.test(line)) as string
  }
  let prices: Server
  const begin = async (stop: SimpleToken, deadline: number, sizes: typeof LONG) => {
    lines.length = 0
    return startServer({ stop, deadline, prices: urlOf(prices), ...sizes, log })
  }
  before(async () => {
    prices = await startPrices(60_000, log)
  })
  after(() => prices.close())

  /** Nothing is left running, open, or on the token that lives on. */
  async function hasLeftNothing(server: Server, stop: SimpleToken): Promise<void> {
    server.closeAllConnections()
    server.close()
    await until(
      () => resources().length === 0,
      () => `left: ${resources().join(', ')}`,
    )
    assert.equal(subscribers(stop), 0)
  }

  it('answers with what all three have come to', async () => {
    const stop = new SimpleToken({ name: 'stop' })
    const quick = await startPrices(1, log)
    const server = await startServer({ stop, deadline: 60_000, prices: urlOf(quick), ...SHORT, log })
    const response = await fetch(urlOf(server), { headers: { connection: 'close' } })
    assert.deepEqual(await response.json(), { picture: 'a picture', price: 42, primes: 168 })
    quick.closeAllConnections()
    quick.close()
    await hasLeftNothing(server, stop)
  })

  it('a client that leaves stops all three', async () => {
    const stop = new SimpleToken({ name: 'stop' })
    const server = await begin(stop, 60_000, LONG)
    const client = connect(Number(new URL(urlOf(server)).port), '127.0.0.1')
    client.write('GET / HTTP/1.1\r\nhost: localhost\r\n\r\n')
    await once(client, 'connect')
    await new Promise((resolve) => setTimeout(resolve, BEGUN))
    assert.ok(resources().includes('ProcessWrap'), 'the child process runs')
    client.destroy()
    await said(/^request 1: cancelled \(disconnect\): token "client" lost its connection .*; all stopped after \d+ ms$/)
    await said(/^prices: disconnect$/)
    await hasLeftNothing(server, stop)
  })

  it('the deadline stops all three, and the other server knew of it', async () => {
    const stop = new SimpleToken({ name: 'stop' })
    const server = await begin(stop, BEGUN, LONG)
    const response = await fetch(urlOf(server), { headers: { connection: 'close' } })
    assert.equal(response.status, 504)
    await said(
      /^request 1: cancelled \(timeout\): token "deadline" ran out of time after 1500 ms; all stopped after \d+ ms$/,
    )
    await said(/^prices: (timeout|disconnect)$/)
    await hasLeftNothing(server, stop)
  })

  it('stopping the server stops all three', async () => {
    const stop = new SimpleToken({ name: 'stop' })
    const server = await begin(stop, 60_000, LONG)
    const answered = fetch(urlOf(server), { headers: { connection: 'close' } })
    await new Promise((resolve) => setTimeout(resolve, BEGUN))
    stop.cancel('maintenance')
    assert.equal((await answered).status, 503)
    await said(/^request 1: cancelled \(manual\): token "stop" was cancelled: maintenance; all stopped after \d+ ms$/)
    await hasLeftNothing(server, stop)
  })

  const isWindows = process.platform === 'win32' && 'Windows has no signals to send'
  it('Ctrl+C stops all three, and then the program', { skip: isWindows }, async () => {
    const { child, outcome } = start('fan-out/main', ['60000'])
    const [first] = (await once(child.stdout, 'data')) as [string]
    const url = /http:\S+/.exec(first)?.[0] as string
    const answered = fetch(url).then(({ status }) => status)
    await new Promise((resolve) => setTimeout(resolve, BEGUN))
    child.kill('SIGINT')
    assert.equal(await answered, 503)
    const { code, stdout, stderr } = await outcome
    assert.match(stdout, /request 1: cancelled \(process-signal\): token .* SIGINT.*; all stopped after \d+ ms/)
    assert.deepEqual({ code, stderr }, { code: 130, stderr: '' })
  })
})
