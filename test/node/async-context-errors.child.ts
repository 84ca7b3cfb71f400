// A listener that throws, in a program that imports 'calloff/node'.
import { AsyncLocalStorage } from 'node:async_hooks'
import process from 'node:process'
import { SimpleToken } from 'calloff'
import 'calloff/node'

const context = new AsyncLocalStorage<string>()
process.once('uncaughtException', (error) => console.log(`uncaught: ${error.message}`))

const token = new SimpleToken()
context.run('a', () =>
  token.onCancel(() => {
    console.log(`${context.getStore()} throws`)
    throw new Error('mine')
  }),
)
context.run('b', () => token.onCancel(() => console.log(`${context.getStore()} hears`)))
context.run('canceller', () => {
  token.cancel()
  console.log(`after cancel() in ${context.getStore()}`)
})
