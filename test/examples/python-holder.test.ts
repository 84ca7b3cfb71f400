/** A holder in another language: Python's standard library, over HTTP. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createServer, type Server } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { hubHandler, toNodeListener } from 'calloff/http'
import { connectHub, TokenServer } from 'calloff/remote'
import { Opened } from '../http/api.js'
import { found, skipWithout } from '../remote/servers.js'

const python = found('python3')
const main = fileURLToPath(new URL('../../../examples/python-holder/main.py', import.meta.url))

async function world(opened: Opened) {
  const hubServer = opened.use(await TokenServer.listen({ port: 0 }))
  const hub = opened.use(await connectHub(hubServer.url))
  const handler = hubHandler(hub, {
    authorize: ({ headers }) => (headers.get('authorization') === 'Bearer secret' ? true : 401),
  })
  const listener = toNodeListener(handler)
  const listen = async (port: number): Promise<Server> => {
    const server = createServer((request, response) => void listener(request, response))
    await once(server.listen(port, '127.0.0.1'), 'listening')
    opened.defer(() => server.close() && server.closeAllConnections())
    return server
  }
  const server = await listen(0)
  const { port } = server.address() as AddressInfo
  opened.defer(() => handler.close())
  /** Starts the job. `started` resolves when it works, or has ended before. */
  const job = (token: string) => {
    const child = spawn(python as string, [main, `http://127.0.0.1:${port}`, 'job'], {
      env: { ...process.env, CALLOFF_TOKEN: token, PYTHONDONTWRITEBYTECODE: '1' },
    })
    opened.defer(() => child.kill('SIGKILL'))
    let errors = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text))
    const lines: string[] = []
    const reader = createInterface(child.stdout).on('line', (line) => lines.push(line))
    const ended = once(child, 'close').then(([code]) => ({ code: code as number, lines, errors }))
    return { started: Promise.race([once(reader, 'line'), ended]), ended }
  }
  return { hub, server, listen: () => listen(port), job }
}

describe('a job in Python', { skip: skipWithout('python3', python) }, () => {
  it('is a holder: it hears of the cancel in a busy loop, acknowledges, and finishes', async () => {
    await using opened = new Opened()
    const { hub, job } = await world(opened)
    const { started, ended } = job('secret')
    await started
    const [listing] = await hub.list('job')
    assert.equal(listing?.holders.length, 1)
    const receipt = await hub.cancel('job', 'wrong branch', { timeout: 60_000 })
    assert.deepEqual([receipt.holders, receipt.acknowledged, receipt.finished], [1, 1, 1])
    const { code, lines, errors } = await ended
    assert.deepEqual([code, lines.length, errors], [3, 2, ''])
    assert.match(lines[1] as string, /^cancelled by process \d+ on .+: wrong branch$/)
  })

  it('that comes back after a lost connection hears of the cancel in the gap', async () => {
    await using opened = new Opened()
    const { hub, job, server, listen } = await world(opened)
    const { started, ended } = job('secret')
    await started
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    await closed
    await hub.cancel('job', 'in the gap')
    await listen()
    assert.match((await ended).lines[1] as string, /in the gap$/)
  })

  it('with the wrong token is refused, and does not start', async () => {
    await using opened = new Opened()
    const { job } = await world(opened)
    const { code, lines, errors } = await job('a wrong one').ended
    assert.deepEqual([code, lines], [1, []])
    assert.match(errors, /Refused: 401 .*unauthenticated/)
  })
})
