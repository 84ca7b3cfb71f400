// A program that imports only 'calloff': which async context its listeners run in.
import { AsyncLocalStorage } from 'node:async_hooks'
import { CounterToken, SimpleToken } from 'calloff'

const context = new AsyncLocalStorage<string>()
const here = (): string => context.getStore() ?? 'none'
const heard: Record<string, string> = {}

const token = new SimpleToken()
context.run('registration', () => token.onCancel(() => (heard['by hand'] = here())))
context.run('canceller', () => token.cancel())

const counter = new CounterToken(1)
context.run('registration', () => counter.onCancel(() => (heard['by poll'] = here())))
context.run('poller', () => {
  while (counter.keepOn());
})

const late = new SimpleToken().cancel()
context.run('registration', () => late.onCancel(() => (heard['at once'] = here())))

const awaited = new SimpleToken()
const waiting = context.run('waiter', async () => {
  await awaited.wait()
  heard['after wait()'] = here()
})
context.run('canceller', () => awaited.cancel())
await waiting

console.log(JSON.stringify(heard))
