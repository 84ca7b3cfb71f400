/** Methods of kinds that need Node, without their token and through a proxy. */
import { describe, it } from 'node:test'
import assert from 'node:assert/strict'
import { ProcessSignalToken } from 'calloff/node'
import { connectHub, TokenServer } from 'calloff/remote'

type Method = (this: unknown, ...args: unknown[]) => unknown
const isStray = { name: 'TypeError', message: /^a method of a token was called without its token/ }

describe('23. without its token', () => {
  it('a method of a remote token, a lease, or a process signal says so', async () => {
    await using server = await TokenServer.listen({ port: 0 })
    await using hub = await connectHub(server.url)
    for (const token of [hub.open('kek'), await hub.lease('lease', { ttl: 60_000 })]) {
      const refused = () => assert.fail('something was written on it')
      for (const receiver of [undefined, new Proxy({}, { set: refused, defineProperty: refused })]) {
        for (const name of ['cancel', 'close', 'finished', Symbol.dispose] as const) {
          const method = token[name] as Method
          assert.throws(() => Reflect.apply(method, receiver, [Promise.resolve()]), isStray)
        }
        for (const name of ['ready', 'delivered', 'who', 'cancelled']) {
          let at: object = token
          while (!Object.hasOwn(at, name)) at = Object.getPrototypeOf(at) as object
          const get = Object.getOwnPropertyDescriptor(at, name)?.get as Method
          if (receiver) assert.throws(() => Reflect.apply(get, receiver, []), isStray)
        }
      }
    }
    const { get } = Object.getOwnPropertyDescriptor(ProcessSignalToken.prototype, 'exitCode') as { get: Method }
    assert.throws(() => Reflect.apply(get, {}, []), isStray)
  })
})

describe('24. through a proxy', () => {
  it('a remote token, a lease and a process signal do what they do', async () => {
    await using server = await TokenServer.listen({ port: 0 })
    await using hub = await connectHub(server.url)
    const token = hub.open('kek')
    const proxy = new Proxy(token, {})
    await proxy.ready
    assert.equal(proxy.keepOn(), true)
    assert.equal(proxy.who, undefined)
    await proxy.finished(Promise.resolve())
    proxy.cancel('why')
    await proxy.delivered
    assert.equal(token.reason, 'why')
    assert.equal(proxy.who, token.who)
    const lease = new Proxy(await hub.lease('lease', { ttl: 60_000 }), {})
    assert.ok(lease.fence > 0)
    assert.ok(lease.remaining > 0)
    lease.close()
    assert.equal(lease.kind, 'dispose')
    using signal = new Proxy(new ProcessSignalToken('SIGUSR2'), {})
    assert.equal(signal.exitCode, undefined)
    assert.equal(signal.keepOn(), true)
  })
})
