// The token hub over its own server, in a process of its own.
import { acrossHub } from '../remote/across.mjs'
import { Folder } from '../remote/folder.mjs'
import { Helper } from '../remote/lines.mjs'

/** Where a hub is, what the server weighs, and its end. */
async function embedded(kind, hasJournal) {
  const folder = new Folder()
  const server = Helper.start('server.mjs')
  const { url } = await server.ask({
    do: 'listen',
    ...(kind === 'unix' ? { path: folder.file('hub.sock') } : { port: 0 }),
    ...(hasJournal && { journal: folder.file('journal') }),
    limits: { marks: 1e8, names: 1e7 },
  })
  return {
    url,
    weigh: async () => (await server.ask({ do: 'weigh' })).bytes,
    async end() {
      await server.end()
      folder.end()
    },
  }
}

const peer = (name, kind, hasJournal = false) => ({
  name,
  across: () => acrossHub(embedded(kind, hasJournal)),
  hub: () => embedded(kind, hasJournal),
  manyHubs: true,
  weigh: true,
})

/** @type {import('./index.mjs').Peer[]} */
export const peers = [
  peer('calloff unix:', 'unix'),
  peer('calloff tcp:', 'tcp'),
  peer('calloff unix:, with a journal', 'unix', true),
]
