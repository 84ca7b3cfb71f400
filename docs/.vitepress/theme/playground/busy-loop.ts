/** Counts primes and never yields. Of the world outside it sees the token, and memory that it writes its progress to. */
import { type SharedHandle, SharedToken } from 'calloff/threads'

export interface Task {
  readonly token: SharedHandle
  /** How many numbers were tested, and how many of them are primes. */
  readonly progress: Float64Array
}

export interface Answer {
  readonly message: string
  readonly kind: string
  /** When the loop has seen it, by the clock of the page. */
  readonly at: number
}

addEventListener('message', ({ data: { token: handle, progress } }: MessageEvent<Task>) => {
  const token = SharedToken.from(handle)
  let primes = 0
  for (let n = 2; token.keepOn(); n++) {
    if (isPrime(n)) primes++
    progress[0] = n
    progress[1] = primes
  }
  const at = performance.timeOrigin + performance.now()
  const answer: Answer = { message: token.error?.message ?? '', kind: token.kind ?? '', at }
  postMessage(answer)
})

function isPrime(n: number): boolean {
  for (let factor = 2; factor * factor <= n; factor++) if (n % factor === 0) return false
  return true
}
