/** A Redis for tests, which stores everything before it answers. */
import { connect } from 'node:net'
import { found, type Server, serve, skipWithout } from '../servers.js'

const path = found('redis-server')
export const skip = skipWithout('redis-server', path)

/** Whether it answers, loading included. */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'))
    socket.setTimeout(1_000, () => socket.destroy())
    socket.on('data', (data) => {
      resolve(/^(\+PONG|-NOAUTH)/.test(data.toString()))
      socket.destroy()
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(false))
  })
}

const durable = ['--save', '', '--appendonly', 'yes', '--appendfsync', 'always']

export function redisServer(...more: string[]): Promise<Server> {
  return redisServerAt(undefined, ...more)
}

/** On a port that the members of a cluster have agreed on before. */
export function redisServerAt(agreed: number | undefined, ...more: string[]): Promise<Server> {
  const program = {
    command: path ?? 'redis-server',
    arguments: (port: number, folder: string) => {
      const place = `--port ${port} --bind 127.0.0.1 --dir ${folder} --loglevel warning`
      return [...place.split(' '), ...durable, ...more]
    },
    answers,
  }
  return serve(program, undefined, agreed)
}
