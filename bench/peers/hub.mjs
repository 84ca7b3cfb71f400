// The token hub over its own server, in a process of its own.
import { acrossHub } from '../remote/across.mjs'
import { Folder } from '../remote/folder.mjs'
import { Helper } from '../remote/lines.mjs'

/** Where a hub is, what the server weighs, and its end. */
async function embedded(kind, hasJournal) {
  const folder = new Folder()
  const start = async (port) => {
    const server = Helper.start('server.mjs')
    const { url } = await server.ask({
      do: 'listen',
      ...(kind === 'unix' ? { path: folder.file('hub.sock') } : { port }),
      ...(hasJournal && { journal: folder.file('journal') }),
      limits: { marks: 1e8, names: 1e7 },
    })
    return { server, url }
  }
  const { url, server: first } = await start(0)
  let server = first
  return {
    url,
    async restart() {
      await server.end()
      ;({ server } = await start(Number(new URL(url).port)))
    },
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
  restarts: true,
})

/** @type {import('./index.mjs').Peer[]} */
export const peers = [
  peer('calloff unix:', 'unix'),
  peer('calloff tcp:', 'tcp'),
  peer('calloff unix:, with a journal', 'unix', true),
]
