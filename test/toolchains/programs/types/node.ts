// The same for what is for Node.
import { once } from 'node:events'
import { SimpleToken } from 'calloff'
import { fromParent, ProcessSignalToken, run } from 'calloff/node'
import { connectHub, type HubError, type RemoteToken, TokenServer } from 'calloff/remote'

async function main() {
  const token = new SimpleToken({ name: 'all' }, new ProcessSignalToken('SIGUSR2'))
  const { stdout } = await run(process.execPath, ['-e', 'console.log(6 * 7)'], { token })
  const text: string = stdout
  // @ts-expect-error what was printed is a string
  const wrong: number = stdout
  const server = await TokenServer.listen({ port: 0 })
  const hub = await connectHub(server.url)
  const remote: RemoteToken = hub.open('job')
  remote.cancel('stop')
  await remote.delivered
  // @ts-expect-error there is no such option
  await connectHub('gopher://x', { noSuchOption: 1 }).catch((error: HubError) => error.code)
  await hub.close()
  await server.close()
  const parent = await fromParent().catch(({ code }) => code)
  console.log(JSON.stringify([text.trim(), wrong === 42, remote.kind, parent, typeof once]))
}

void main()
