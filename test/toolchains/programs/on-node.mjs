// What programs for Node do besides: child processes, hubs, and hubs whose packages are not installed.
import process from 'node:process'
import { SimpleToken } from 'calloff'
import { currentToken, fromParent, ProcessSignalToken, run, withToken } from 'calloff/node'
import { connectHub, TokenServer } from 'calloff/remote'
import { natsEngine } from 'calloff/remote/nats'
import { postgresEngine } from 'calloff/remote/postgres'
import { redisEngine } from 'calloff/remote/redis'

const told = (error) => `${error.code} ${error.message}`

async function hubs() {
  const server = await TokenServer.listen({ port: 0 })
  const hub = await connectHub(server.url)
  const token = hub.open('job')
  await token.ready
  await hub.cancel('job', 'from the hub')
  await token.wait()
  await hub.close()
  const found = {}
  for (const [how, worker] of [
    ['plain', undefined],
    ['worker', process.env.HUB_WORKER],
  ]) {
    if (how === 'worker' && worker === undefined) continue
    try {
      const background = await connectHub(server.url, { background: true, worker })
      const late = background.open('job')
      await late.ready
      found[how] = late.reason
      await background.close()
    } catch (error) {
      found[how] = error.code
    }
  }
  await server.close()
  return { reason: token.reason, background: found }
}

export async function onNode() {
  const { stdout } = await run(process.execPath, ['-e', 'console.log(6 * 7)'])
  const token = new SimpleToken({ name: 'ambient' })
  const missing = []
  for (const url of ['redis://127.0.0.1:1', 'postgres://127.0.0.1:1/db', 'nats://127.0.0.1:1']) {
    missing.push(await connectHub(url).then(() => 'connected', told))
  }
  const { background, ...hub } = await hubs()
  return {
    node: {
      stdout: stdout.trim(),
      signal: String(new ProcessSignalToken('SIGUSR2')),
      ambient: withToken(token, () => currentToken().name),
      parent: await fromParent().catch(({ code }) => code),
      engines: [natsEngine, postgresEngine, redisEngine].map((engine) => typeof engine),
      missing,
      ...hub,
    },
    background,
  }
}
