/** One table of the schemes of a URL: what connects, the command line and the docs agree with it. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import process from 'node:process'
import { describe, it } from 'node:test'
import { connectHub } from 'calloff/remote'
import { registry } from '../inside.js'

const schemes = Object.keys(registry.schemes)

describe('the schemes of a URL of a hub', () => {
  it('are those of the table in the docs, each once', () => {
    const page = readFileSync(new URL('../../../../docs/guides/remote.md', import.meta.url), 'utf8')
    const table = page.slice(page.indexOf('| URL |')).split('\n\n')[0] ?? ''
    const cells = Array.from(table.matchAll(/^\| (`.+?) \|/gm), ([, cell = '']) => cell)
    const documented = cells.flatMap((cell) => Array.from(cell.matchAll(/`([a-z]+:)/g), ([, scheme]) => scheme))
    assert.deepEqual(new Set(documented), new Set(schemes))
    assert.equal(documented.length, schemes.length)
  })

  for (const scheme of schemes) {
    it(
      `${scheme} leads to an engine`,
      { skip: scheme === 'pipe:' && process.platform !== 'win32' && 'pipes are for Windows' },
      async () => {
        const carrier = registry.carrierOf(scheme)
        const url = carrier === 'socket' ? `${scheme}/nowhere/at-all.sock` : `${scheme}//127.0.0.1:1/`
        await assert.rejects(connectHub(url, { timeout: 120_000 }), { code: 'ERR_HUB_UNREACHABLE' })
      },
    )
  }

  it('are no others: another one is refused before anything is dialled', async () => {
    for (const scheme of ['http:', 'constructor:', 'memory:', '__proto__:']) {
      const outcome = connectHub(`${scheme}//127.0.0.1:1`)
      await assert.rejects(outcome, (error: Error & { code?: unknown }) => {
        assert.ok(error.code === 'ERR_HUB_SCHEME' || error instanceof RangeError, String(error))
        return true
      })
      assert.equal(registry.carrierOf(scheme), undefined)
    }
  })
})
