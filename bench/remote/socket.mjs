// A process with a bare socket, for what a hub is measured beside: `listen` sends back or passes on, `join` sends back.
import { createServer, connect } from 'node:net'
import { obey } from './lines.mjs'

function sendBack(socket) {
  socket.setNoDelay(true)
  socket.on('data', (chunk) => socket.write(chunk))
  socket.on('error', () => {})
}

obey({
  /** `'echo'`: to whom it came from; `'relay'`: to all others. */
  async listen({ where, way }) {
    const sockets = new Set()
    const server = createServer((socket) => {
      if (way === 'echo') return sendBack(socket)
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => {})
      socket.on('close', () => sockets.delete(socket))
      socket.on('data', (chunk) => {
        for (const other of sockets) if (other !== socket) other.write(chunk)
      })
    })
    await new Promise((resolve) => server.listen(where, resolve))
    return { where: where.path ? where : { port: server.address().port, host: '127.0.0.1' } }
  },
  join: ({ where }) =>
    new Promise((resolve, reject) => {
      const socket = connect(where, () => resolve({}))
      socket.on('error', reject)
      sendBack(socket)
    }),
})
