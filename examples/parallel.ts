/** One token for several functions at once: the first one to find what all of them look for cancels the others. */
import { type CancellationToken, SimpleToken } from 'calloff'

async function search(name: string, from: number, wanted: number, token: CancellationToken): Promise<string> {
  for await (const turn of token.turns()) {
    if (from + turn === wanted) token.cancel(`${name} found ${wanted}`)
  }
  return `${name} has stopped`
}

const token = new SimpleToken({ name: 'search' })
const searches = ['low', 'middle', 'high'].map((name, i) => search(name, i * 1_000_000, 1_001_500, token))

console.log(await Promise.all(searches))
console.log(token.error?.message)
