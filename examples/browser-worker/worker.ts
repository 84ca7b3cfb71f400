/** Counts primes without ever yielding, and hands in what it has when it is cancelled. */
import { SharedToken, type SharedHandle } from 'calloff/threads'
import { type Count, countPrimes } from '../primes/count.js'

export interface Job {
  readonly token: SharedHandle
  readonly below: number
}

export type Message = 'begun' | Count

const page = self as unknown as Pick<Worker, 'addEventListener' | 'postMessage'>
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
const say = (message: Message) => page.postMessage(message)

page.addEventListener('message', ({ data: { token, below } }: MessageEvent<Job>) => {
  say('begun')
  say(countPrimes(below, SharedToken.from(token)))
})
