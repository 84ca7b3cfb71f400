/** The session with curl in docs/guides/remote-http.md. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { hubHandler } from 'calloff/http'
import { connectHub, TokenServer } from 'calloff/remote'
import { fits } from '../docs/check.js'
import { found, skipWithout } from '../remote/servers.js'
import { Opened, serve } from './api.js'

const page = fileURLToPath(new URL('../../../docs/guides/remote-http.md', import.meta.url))
const curl = found('curl')
const run = promisify(execFile)

describe('the session with curl', { skip: skipWithout('curl', curl) }, () => {
  it('prints what the page says', async () => {
    await using opened = new Opened()
    const server = opened.use(await TokenServer.listen({ port: 0 }))
    const hub = opened.use(await connectHub(server.url))
    const handler = hubHandler(hub, {
      basePath: '/calloff',
      authorize: ({ headers }) => (headers.get('authorization') === 'Bearer secret' ? true : 401),
    })
    opened.defer(() => handler.close())
    const { url } = opened.use(await serve(handler))
    const job = hub.open('deploy-42')
    job.onCancel(() => job.close())
    await job.ready

    const [, block] = /```sh\n([^]*?)```/.exec(readFileSync(page, 'utf8')) ?? []
    const promised = [...(block as string).matchAll(/^# → (.*)$/gm)].map(([, line]) => line as string)
    const env = { ...process.env, HUB: `${url}/calloff`, TOKEN: 'secret' }
    // Each answer is a line without an end.
    const script = (block as string).replaceAll(/^# → \{.*$/gm, 'echo')
    const { stdout } = await run('bash', ['-c', script], { env })
    const printed = stdout.trim().split('\n')
    assert.equal(printed.length, promised.length, stdout)
    for (const [at, line] of promised.entries()) assert.ok(fits(line, printed[at] as string), `${line}\n${printed[at]}`)
  })
})
