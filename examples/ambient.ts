/** A request whose token is not passed as an argument: a function deep down reads the current one. */
import { scope, SimpleToken } from 'calloff'
import { currentToken, withToken } from 'calloff/node'

async function query(table: string): Promise<void> {
  try {
    await currentToken().sleep(60_000)
  } catch (error) {
    console.log(`${table}: ${(error as Error).message}`)
    throw error
  }
}

const load = () => Promise.all([query('users'), query('orders')])

async function handle(): Promise<void> {
  await scope(
    async (s) => {
      void s.run(load)
      await s.run(() => query('prices'))
    },
    { ambient: true },
  )
}

const request = new SimpleToken({ name: 'request' })
const handled = withToken(request, handle)
request.cancel('the client has left')
await handled.catch((error: unknown) => console.log(error === request.error))
console.log(currentToken().cancelled)
