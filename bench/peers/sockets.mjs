// A bare socket between processes: nothing over one can be faster.
import { connect } from 'node:net'
import { Helper } from '../remote/lines.mjs'
import { Folder } from '../remote/folder.mjs'

/** About as many as a cancel takes. */
const BYTES = 80

/**
 * `'echo'`: there and back, two ways, as a cancel goes from one process to the server and on to another.
 * `'relay'`: the very way of a cancel, through a process in between; there and back again, and halved.
 */
async function across(kind, way) {
  const folder = new Folder()
  const middle = Helper.start('socket.mjs')
  const given = kind === 'unix' ? { path: folder.file('socket') } : { port: 0, host: '127.0.0.1' }
  const { where } = await middle.ask({ do: 'listen', where: given, way })
  const helpers = [middle]
  if (way === 'relay') {
    const other = Helper.start('socket.mjs')
    helpers.push(other)
    await other.ask({ do: 'join', where })
  }
  const socket = connect(where)
  socket.setNoDelay(true)
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject))
  const bytes = Buffer.alloc(BYTES, 1)
  return {
    async prepare() {},
    round: () =>
      new Promise((resolve) => {
        let left = BYTES
        let begin = 0
        const hear = (chunk) => {
          left -= chunk.length
          if (left > 0) return
          socket.off('data', hear)
          resolve(((performance.now() - begin) * 1e6) / (way === 'relay' ? 2 : 1))
        }
        socket.on('data', hear)
        begin = performance.now()
        socket.write(bytes)
      }),
    async end() {
      socket.destroy()
      await Promise.all(helpers.map((helper) => helper.end()))
      folder.end()
    },
  }
}

/** @type {import('./index.mjs').Peer[]} */
export const peers = [
  { name: 'floor: echo, Unix socket', across: () => across('unix', 'echo') },
  { name: 'floor: relay, Unix socket', across: () => across('unix', 'relay') },
  { name: 'floor: echo, TCP', across: () => across('tcp', 'echo') },
  { name: 'floor: relay, TCP', across: () => across('tcp', 'relay') },
]
