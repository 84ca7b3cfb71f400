/** Every command that asks a hub ends when the hub falls silent or goes away after the handshake, and says what it does not know. */
import assert from 'node:assert/strict'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { after, describe, it } from 'node:test'
import { connectHub, TokenServer } from 'calloff/remote'
import { sample } from '../effort.js'
import { withTime } from '../enough-time.js'
import { User } from './calloff.js'

const server = await TokenServer.listen({ port: 0 })
const { port } = new URL(server.url)
after(() => server.close())

/** What a client sends to be let in: a hello, and a proof of the key. */
const HANDSHAKE = 2

/** A way to the server on which a client gets so many chunks across; then it is heard no more, or the hub is gone. */
async function way(chunks: number, how: 'silent' | 'gone') {
  const sockets = new Set<Socket>()
  let isOver = false
  let isHeld = false
  const late: (() => void)[] = []
  let over = () => {}
  const reached = new Promise<void>((resolve) => (over = resolve))
  const proxy = createServer((client) => {
    const behind = connect(Number(port), '127.0.0.1')
    for (const socket of [client, behind]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => (client.destroy(), behind.destroy()))
    }
    let sent = 0
    client.on('data', (data) => {
      for (const pass of late.splice(0)) pass()
      if (sent++ < chunks) {
        behind.write(data)
        return
      }
      isOver = true
      over()
      if (how === 'gone') end()
    })
    behind.on('data', (data) => {
      const pass = () => void (isOver || client.write(data))
      if (isHeld) late.push(pass)
      else pass()
    })
  })
  const end = () => {
    proxy.close()
    for (const socket of sockets) socket.destroy()
  }
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  return {
    url: `tcp://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    /** From now on the client is not heard. */
    silence() {
      isOver = true
      chunks = 0
    },
    /** From now on what the server says comes when the client says something. */
    hold() {
      isHeld = true
    },
    reached,
    [Symbol.dispose]: end,
  }
}

const commands: readonly (readonly [args: readonly string[], unknown: RegExp])[] = [
  [['ls'], /the open names are not known/],
  [['ls', '--names'], /the open names are not known/],
  [['status', 'job'], /whether job is cancelled is not known/],
  [['status', 'job', '--json'], /whether job is cancelled is not known/],
  [['forget', 'job'], /whether it is forgotten is not known/],
  [['forget', 'job', 'other'], /whether they are forgotten is not known/],
  [['cancel', 'job'], /whether the cancel is stored is not known/],
  [['cancel', 'job', '--quiet'], /whether the cancel is stored is not known/],
  [['wait', 'job'], /whether job is cancelled is not known/],
  [['wait', 'job', '--timeout', '1h'], /whether job is cancelled is not known/],
  [['run', '--name', 'job', '--', 'echo', 'started'], /nothing was started/],
]

describe('a hub that is lost after the handshake', { concurrency: 2 }, () => {
  for (const how of ['silent', 'gone'] as const) {
    for (const [args, unknown] of sample(commands)) {
      it(`ends calloff ${args.join(' ')}, where it is ${how}`, async () => {
        await withTime(500, async (ms) => {
          using hub = await way(HANDSHAKE, how)
          const [command = '', ...rest] = args
          const ended = await new User().run(command, '--hub', hub.url, '--hub-timeout', `${ms}ms`, ...rest)
          // On a machine that is busy the handshake itself may take too long.
          if (/cannot be reached/.test(ended.stderr)) return undefined
          assert.equal(ended.code, 1, ended.stderr)
          assert.equal(ended.stdout, '')
          assert.match(ended.stderr, /^calloff: the hub at tcp:\S+ did not answer within/m)
          assert.match(ended.stderr, unknown)
          return true
        })
      })
    }

    it(`ends calloff cancel --wait, where it is ${how}`, async () => {
      await withTime(500, async (ms) => {
        using hub = await way(HANDSHAKE, how)
        const ended = await new User().run('cancel', '--hub', hub.url, 'job', '--wait', `${ms}ms`)
        if (/cannot be reached/.test(ended.stderr)) return undefined
        assert.equal(ended.code, 1, ended.stderr)
        assert.equal(ended.stdout, 'job: not delivered, the hub did not answer\n')
        return true
      })
    })
  }

  it('a name that was cancelled meanwhile is never said to be live: wait --timeout asks once more', async () => {
    await using canceller = await connectHub(server.url)
    await withTime(1_000, async (ms) => {
      using hub = await way(Infinity, 'silent')
      const name = `silent-${ms}`
      const options = ['--hub', hub.url, '--timeout', `${ms}ms`, '--hub-timeout', '10s']
      const waiting = new User().run('wait', name, ...options)
      const isHeld = async () => (await canceller.list(name)).some(({ holders }) => holders.length > 0)
      const ended = waiting.then(() => true)
      while (!(await isHeld())) {
        if (await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 10, false))])) return undefined
      }
      hub.silence()
      await canceller.cancel(name)
      const { code, stdout, stderr } = await waiting
      assert.deepEqual([code, stdout], [1, ''], stderr)
      assert.match(stderr, /did not answer within .*: whether silent-\d+ is cancelled is not known/)
      return true
    })
  })

  it('a name that was cancelled, is said to be cancelled before its notice has arrived', async () => {
    await using canceller = await connectHub(server.url)
    await withTime(1_000, async (ms) => {
      using hub = await way(Infinity, 'silent')
      const name = `late-${ms}`
      const waiting = new User().run('wait', name, '--hub', hub.url, '--timeout', `${ms}ms`, '--hub-timeout', '2m')
      const isHeld = async () => (await canceller.list(name)).some(({ holders }) => holders.length > 0)
      const ended = waiting.then(() => true)
      while (!(await isHeld())) {
        if (await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 10, false))])) return undefined
      }
      hub.hold()
      await canceller.cancel(name, undefined, { ttl: 600_000 })
      const { code, stdout, stderr } = await waiting
      // It had not heard that it is a holder, yet.
      if (/did not answer/.test(stderr)) return undefined
      assert.equal(code, 0, stderr)
      assert.match(stdout, /^late-\d+ was cancelled by process/)
      return true
    })
  })

  it('refuses a limit that nothing can meet', async () => {
    const { code, stderr } = await new User().run('ls', '--hub', server.url, '--hub-timeout', '0')
    assert.deepEqual([code, stderr], [2, 'calloff: --hub-timeout must be 1ms or more\n'])
  })
})
