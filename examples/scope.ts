/** A page is put together from several services: some at a time, the slow one hedged; one that fails cancels the rest. */
import { type CancellationToken, type Scope, scope, TimeoutToken } from 'calloff'

async function service(name: string, ms: number, token: CancellationToken): Promise<string> {
  token.onCancel(({ kind, cause }) => {
    if (kind === 'race') console.log(`${name}: cancelled, another one was quicker`)
    if (kind === 'sibling') console.log(`${name}: cancelled, ${(cause as Error).message}`)
  })
  await token.sleep(ms)
  return name
}

async function page(s: Scope): Promise<string> {
  const user = s.run((token) => service('user', 20, token))
  const prices = s.any([(token) => service('slow price', 60_000, token), (token) => service('price', 5, token)], {
    hedge: 30,
  })
  const reviews = s.map([1, 2, 3], (id, token) => service(`review ${id}`, 10, token), { concurrency: 2 })
  return [await user, await prices, ...(await reviews)].join(', ')
}

console.log(await scope(new TimeoutToken(30_000), page))

try {
  await scope(new TimeoutToken(30_000), async (s) => {
    void s.run((token) => service('archive', 60_000, token))
    void s.run(async (token) => {
      await token.sleep(10)
      throw new Error('the database is down')
    })
  })
} catch (error) {
  console.log(`no page: ${(error as Error).message}`)
}
