// A program that needs the types of neither the DOM nor Node. What must not compile shows that nothing has become `any`.
import { anyOf, type CancellationToken, CounterToken, isCancellation, scope, SimpleToken, TimeoutToken } from 'calloff'
import { manualClock } from 'calloff/testing'
import { share, SharedToken, startTicker } from 'calloff/threads'

const token: CancellationToken = anyOf(new SimpleToken({ name: 'all' }), new TimeoutToken(5_000), new CounterToken(3))
const seen: number[] = []
for (const turn of token.turns()) {
  const count: number = turn
  // @ts-expect-error a turn is a number
  const text: string = turn
  seen.push(count + text.length)
  break
}
// @ts-expect-error there is no such member
token.noSuchMember()
// @ts-expect-error a signal is no number
export const wrong: number = token.signal
// @ts-expect-error the name of a token is a string
export const unnamed = new SimpleToken({ name: 7 })

export async function main(): Promise<string> {
  for await (const turn of token.turns()) if (turn > 1) break
  const raced: number = await token.race(() => 1)
  // @ts-expect-error what was raced is a number
  const text: string = await token.race(() => 1)
  const clock = manualClock()
  const both: number[] = await scope(new SimpleToken(), (s) => s.map([raced, 2], (n) => n + 1))
  clock.tick(1)
  const twin = SharedToken.from(share(new SimpleToken()).handle)
  startTicker().stop()
  return `${both.length} ${twin.cancelled} ${isCancellation(new Error('x'))} ${text}`
}
