/** A promise of somebody else's, which knows nothing of tokens, given up on after a time. */
import { isCancellation, SimpleToken } from 'calloff'

const slowLibrary = { answer: () => new Promise<number>((done) => setTimeout(done, 5_000, 42).unref()) }

const token = new SimpleToken({ name: 'session' })
try {
  console.log(await token.race(slowLibrary.answer(), { timeout: 100 }))
} catch (error) {
  if (!isCancellation(error)) throw error
  console.log(`no answer: ${(error as Error).message}; the session goes on: ${token.keepOn()}`)
}

// A function is given a token of its own, so that the loser really stops.
const winner = await token.race<string>([
  () => Promise.resolve('cache'),
  async (own) => {
    own.onCancel(({ kind }) => console.log(`network: cancelled, the ${kind} is over`))
    await own.sleep(5_000)
    return 'network'
  },
])
console.log(`winner: ${winner}`)
