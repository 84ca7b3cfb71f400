/**
 * A task of a piscina pool is cancelled, and hands in what it has; the pool's own `signal` would terminate its thread. Only
 * if the task does not react within a second is that done after all. `node build/examples/piscina/main.js [milliseconds]`
 */
import process from 'node:process'
import { TimeoutToken } from 'calloff'
import { share, SharedToken } from 'calloff/threads'
import { Piscina } from 'piscina'
import type { Count } from '../primes/count.js'
import type { Task } from './worker.js'

const pool = new Piscina<Task, Count>({ filename: new URL('worker.js', import.meta.url).href, maxThreads: 1 })
const [ms = 500] = process.argv.slice(2).map(Number)
using token = share(new TimeoutToken(ms, { name: 'patience' }))

const task: Task = { token: token.handle, below: 1e9 }
const { primes, calledOff } = await pool.run(task, { name: 'count', signal: token.grace(1_000).signal })
console.log(`${primes > 0 ? 'some' : 'no'} primes were found; ${calledOff ?? 'finished'}`)

// The thread is still there, and takes the next task.
const all = await pool.run({ token: new SharedToken().handle, below: 100 }, { name: 'count' })
console.log(`${all.primes} primes are below ${all.seen}, found by a pool of ${pool.threads.length}`)
await pool.destroy()
