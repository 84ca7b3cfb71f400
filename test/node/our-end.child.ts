/** Programs that end while they have children: see our-end.test.ts. */
import process from 'node:process'
import { SimpleToken } from 'calloff'
import { ProcessSignalToken, run, spawn } from 'calloff/node'

const [what, time = ''] = process.argv.slice(2)
const say = (text: string) => console.log(text)

/** A tree of which one member has left the group. */
const start = (token?: SimpleToken, ignores = '') =>
  spawn('sh', ['-c', `${ignores}setsid sleep ${time} & sleep ${time} & echo ready; wait; sleep ${time}`], {
    token,
    stdio: ['ignore', 'pipe', 'inherit'],
  }).then((child) => new Promise<void>((resolve) => child.stdout?.once('data', () => resolve())))

const programs: Readonly<Record<string, () => Promise<unknown>>> = {
  async exit() {
    await start()
    process.exit(5)
  },

  async throws() {
    await start()
    setTimeout(() => {
      throw new Error('mine')
    })
  },

  async 'exits while it is ending'() {
    const token = new SimpleToken()
    await start(token, `trap '' TERM; `)
    token.cancel()
    process.exit(6)
  },

  async waits() {
    await start()
    say('ready')
  },

  async 'has a handler of its own'() {
    await start()
    process.once('SIGINT', () => say('mine'))
    say('ready')
  },

  async 'has a token'() {
    using interrupted = new ProcessSignalToken('SIGINT', 'SIGTERM')
    const running = run('sh', ['-c', `setsid sleep ${time} & sleep ${time} & wait`], { token: interrupted })
    say('ready')
    const error = await running.catch((reason: unknown) => reason)
    say(error === interrupted.error ? `cancelled by ${String(interrupted.reason)}` : String(error))
    process.exitCode = interrupted.exitCode
  },

  async 'has a token and a stubborn child'() {
    using interrupted = new ProcessSignalToken('SIGINT')
    const running = run('sh', ['-c', `trap '' TERM; sleep ${time} & wait`], { token: interrupted, grace: Infinity })
    running.catch(() => {})
    say('ready')
    await interrupted.wait()
    say('asked')
    await running.catch(() => {})
  },
}

await programs[what ?? '']?.()
