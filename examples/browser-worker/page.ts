/**
 * The page: its worker counts primes and never yields, and still stops for the button, or when its time is up, and hands in
 * what it has. Only a worker that does not react is terminated, after a grace. See serve.ts.
 */
import { isCancellation, SimpleToken, TimeoutToken } from 'calloff'
import { share } from 'calloff/threads'
import type { Count } from '../primes/count.js'
import type { Job, Message } from './worker.js'

const output = document.querySelector('output') as HTMLOutputElement
const ms = Number(new URLSearchParams(location.search).get('ms') ?? 60_000)

const button = new SimpleToken({ name: 'stop button' })
document.querySelector('button')?.addEventListener('click', () => button.cancel('pressed'))

const worker = new Worker(new URL('worker.js', import.meta.url), { type: 'module' })
const counted = new Promise<Count>((resolve) => {
  worker.addEventListener('message', ({ data }: MessageEvent<Message>) => {
    if (data === 'begun') output.value = 'counting'
    else resolve(data)
  })
})

using token = share(button.plus(new TimeoutToken(ms, { name: 'patience' })))
const job: Job = { token: token.handle, below: 1e9 }
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
worker.postMessage(job)

try {
  // A second after the cancellation, nobody waits for an answer any more.
  const { primes, seen, calledOff } = await token.grace(1_000).race(counted)
  output.value = `${primes} primes below ${seen}; ${calledOff ?? 'finished'}`
} catch (error) {
  if (!isCancellation(error)) throw error
  output.value = 'the worker does not react'
}
worker.terminate()
