// Subscribers that throw.
import diagnostics from 'node:diagnostics_channel'
import process from 'node:process'
import { scope, SimpleToken } from 'calloff'
import 'calloff/node'

process.on('uncaughtException', (error) => console.log(`uncaught: ${error.message}`))
const throwing = (name: string) => () => {
  throw new Error(`the subscriber of ${name}`)
}

diagnostics.subscribe('calloff:cancel', throwing('cancel'))
const token = new SimpleToken()
token.onCancel(() => console.log('the listener is called'))
token.cancel()
console.log(`cancelled: ${token.cancelled}`)
diagnostics.subscribe('tracing:calloff:task:start', throwing('start'))
diagnostics.channel('calloff:cancel').subscribe(() => console.log('the next subscriber is called'))
console.log(await scope((s) => s.run(async () => 'the task has run')))
