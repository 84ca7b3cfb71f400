/** A hub whose connection lives in a thread keeps the same promises. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { after, describe, it } from 'node:test'
import { connectHub, TokenServer } from 'calloff/remote'
import { hubConformance } from 'calloff/testing'

const folder = mkdtempSync(join(tmpdir(), 'calloff-hub-'))
after(() => rmSync(folder, { recursive: true, force: true }))

describe('a background hub', async () => {
  const server = await TokenServer.listen({ port: 0, key: 'the key of this very test' })
  after(() => server.close())
  const cases = hubConformance({
    connect: (given) => connectHub(server.url, { key: 'the key of this very test', background: true, ...given }),
  })
  for (const { name, run } of cases) it(name, run)
  it('has tried all of them', () => assert.ok(cases.length > 15 && process.pid > 0))
})
