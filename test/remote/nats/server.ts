/** A NATS server with JetStream for tests. */
import { connect } from 'node:net'
import { join } from 'node:path'
import { asNobody, found, type Server, serve, skipWithout } from '../servers.js'

export const path = found('nats-server', '/usr/sbin', '/usr/local/bin')
export const skip = skipWithout('nats-server', path)

/** Whether it greets, which it does once it has read what it had stored. */
export function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.setTimeout(1_000, () => socket.destroy())
    socket.on('data', (data) => {
      resolve(data.toString().startsWith('INFO '))
      socket.destroy()
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(false))
  })
}

export function natsServer(...more: string[]): Promise<Server> {
  const program = {
    command: path ?? 'nats-server',
    arguments: (port: number, folder: string) => [
      ...`-js -a 127.0.0.1 -p ${port} -sd`.split(' '),
      join(folder, 'store'),
      ...more,
    ],
    answers,
  }
  return serve(program, asNobody())
}
