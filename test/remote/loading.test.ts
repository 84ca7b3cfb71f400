/** Importing `calloff/remote` loads no adapter, no client of a database and no TLS: the URL asks for them. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { node, start } from '../node/programs.js'

const parts = {
  redis: /\/remote\/redis\/|\/node_modules\/(ioredis|redis)\//,
  nats: /\/remote\/nats\/|\/node_modules\/@nats-io\//,
  postgres: /\/remote\/postgres\/|\/node_modules\/pg\//,
  tls: /^node:tls$/,
}

async function loadedBy(...url: string[]): Promise<string[]> {
  const { lines, errors } = await start(node, '../remote/loading.child.js', ...url).ended
  assert.ok(
    lines.some((line) => line.endsWith('/remote/connect.js')),
    errors,
  )
  return Object.entries(parts)
    .filter(([, part]) => lines.some((line) => part.test(line)))
    .map(([name]) => name)
}

describe('what is loaded', () => {
  it('by the import: nothing but what the embedded server needs', async () => {
    assert.deepEqual(await loadedBy(), [])
  })

  for (const [url, wanted] of [
    ['tcp://127.0.0.1:1', []],
    ['tls://127.0.0.1:1', ['tls']],
    ['redis://127.0.0.1:1', ['redis']],
    ['nats://127.0.0.1:1', ['nats']],
    ['postgres://127.0.0.1:1/none', ['postgres']],
  ] as const) {
    it(`by ${url}: ${wanted.join(', ') || 'the same'}`, async () => {
      const loaded = await loadedBy(url)
      assert.deepEqual(url.startsWith('tls') ? loaded : loaded.filter((part) => part !== 'tls'), wanted)
    })
  }
})
