// The token hub over servers of others, and the manager of Python's multiprocessing: each only where it is installed.
import { existsSync } from 'node:fs'
import { acrossHub } from '../remote/across.mjs'
import { Helper } from '../remote/lines.mjs'

const tests = new URL('../../build/test/remote/', import.meta.url)

/** A server as the tests start it: everything is on the disk before it is answered. */
function engine(name, start, urlOf, more) {
  const hub = async () => {
    const module = await import(new URL(`${name}-server.js`, tests).href)
    if (module.skip) throw new Error(module.skip)
    const server = await start(module)
    return { url: urlOf(server.port), end: () => server.end() }
  }
  return { name: `calloff ${name}:`, across: () => acrossHub(hub()), hub, ...more }
}

/** @param {'wait' | 'poll'} way */
async function manager(way) {
  const isThere = (process.env.PATH ?? '').split(':').some((folder) => existsSync(`${folder}/python3`))
  if (!isThere) throw new Error('python3 is not installed')
  const python = Helper.python('manager.py', way)
  return {
    prepare: (count) => python.ask({ do: 'prepare', count }),
    round: async () => (await python.ask({ do: 'round' })).ns / 2,
    end: () => python.end(),
  }
}

/** @type {import('./index.mjs').Peer[]} */
export const peers = [
  engine(
    'redis',
    ({ redisServer }) => redisServer(),
    (port) => `redis://127.0.0.1:${port}`,
    { manyHubs: true },
  ),
  engine(
    'nats',
    ({ natsServer }) => natsServer(),
    (port) => `nats://127.0.0.1:${port}`,
    { manyHubs: true },
  ),
  engine(
    'postgres',
    ({ postgresServer }) => postgresServer(),
    (port) => `postgres://calloff@127.0.0.1:${port}/postgres`,
  ),
  { name: 'python Event.wait()', across: () => manager('wait') },
  { name: 'python Event.is_set(), polled', across: () => manager('poll') },
]
