/** The embedded server keeps what a hub promises. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { connectHub, TokenServer } from 'calloff/remote'
import { hubConformance } from 'calloff/testing'
import { engineFor } from './inside.js'

const folder = mkdtempSync(join(tmpdir(), 'calloff-hub-'))
after(() => rmSync(folder, { recursive: true, force: true }))

const key = 'the key of this very test'
const places = {
  'a Unix socket': { path: join(folder, 's') },
  'a TCP port, with a key': { port: 0, key },
  'a Unix socket, with a journal': { path: join(folder, 'j'), journal: join(folder, 'journal') },
}

for (const [name, options] of Object.entries(places)) {
  describe(
    `the embedded server on ${name}`,
    { skip: 'path' in options && process.platform === 'win32' && 'no Unix sockets' },
    async () => {
      const server = await TokenServer.listen(options)
      after(() => server.close())
      const own = 'key' in options ? { key } : {}
      const cases = hubConformance({
        connect: (given) => connectHub(server.url, { ...own, ...given }),
        engine: () => engineFor(server.url, 'key' in options ? key : undefined),
      })
      for (const { name, run } of cases) it(name, run)
    },
  )
}
