/** A method that is called without its token, or through a proxy of it. */
import { describe, it } from 'node:test'
import assert from 'node:assert/strict'
import {
  allOf,
  anyOf,
  type CancellationToken,
  CounterToken,
  from,
  isCancellation,
  NEVER,
  scope,
  SimpleToken,
  someOf,
  TimeoutToken,
} from 'calloff'
import { share } from 'calloff/threads'
import { rejection, thrown } from './helpers.js'
import { endingKinds, kinds } from './kinds.js'

type Method = (this: unknown, ...args: unknown[]) => unknown
const nothing = () => {}

/** Every public method, and what it may be given. */
const methods: Readonly<Record<string | symbol, readonly unknown[]>> = {
  isCancelled: [],
  keepOn: [],
  check: [],
  timeoutFor: [],
  cancel: ['why'],
  plus: [new SimpleToken()],
  onCancel: [nothing],
  wait: [],
  waitSync: [{ timeout: 0 }],
  race: [nothing],
  retry: [nothing],
  promise: [nothing],
  settled: [],
  untilCancelled: [nothing],
  sleep: [5],
  checkpoint: [],
  turns: [],
  every: [5],
  iterate: [[]],
  grace: [5],
  except: ['race'],
  toString: [],
  toJSON: [],
  [Symbol.dispose]: [],
}
const getters = [
  'name',
  'cancelled',
  'error',
  'cancelledBy',
  'kind',
  'reason',
  'remaining',
  'signal',
  'path',
  'canBeCancelled',
]
const promising = new Set(['wait', 'race', 'retry', 'promise', 'settled', 'untilCancelled', 'sleep', 'checkpoint'])

/** An object that nothing may be written on, as what a callback is called on: a timer, a process, an element of a page. */
function untouchable(): object {
  const refuse = () => assert.fail('something was written on it')
  return new Proxy({}, { set: refuse, defineProperty: refuse, deleteProperty: refuse, setPrototypeOf: refuse })
}

const receivers: Readonly<Record<string, () => unknown>> = {
  nothing: () => undefined,
  'some object': untouchable,
  'the global object': () => globalThis,
  'a prototype': () => SimpleToken.prototype,
}

function getterOf(token: object, name: string): Method {
  for (let at: object | null = token; at; at = Object.getPrototypeOf(at) as object | null) {
    const found = Object.getOwnPropertyDescriptor(at, name)
    if (found) return found.get as Method
  }
  throw new Error(`there is no ${name}`)
}

const isStray = (error: unknown) =>
  error instanceof TypeError && error.message.startsWith('a method of a token was called without its token')

describe('23. without its token', () => {
  for (const { name: kind, make } of [...kinds, ...endingKinds, { name: 'NEVER', make: () => NEVER }]) {
    it(`each method of ${kind} is a TypeError that says so, and writes nothing`, async () => {
      const token = make() as unknown as Record<string | symbol, Method> & CancellationToken
      for (const [receiver, give] of Object.entries(receivers)) {
        for (const name of Reflect.ownKeys(methods)) {
          const on = give()
          const call = () => Reflect.apply(token[name] as Method, on, methods[name] as unknown[])
          const error = promising.has(String(name)) ? await rejection(call() as Promise<unknown>) : thrown(call)
          assert.ok(isStray(error), `${String(name)} on ${receiver}: ${String(error)}`)
        }
        for (const name of receiver === 'nothing' ? [] : getters) {
          const error = thrown(() => Reflect.apply(getterOf(token, name), give(), []))
          assert.ok(isStray(error), `${name} on ${receiver}: ${String(error)}`)
        }
      }
      assert.deepEqual(Reflect.ownKeys(SimpleToken.prototype).includes('seen'), false)
    })
  }

  it('what a timer, an event or a promise calls says so', () => {
    const { cancel } = new SimpleToken()
    assert.ok(isStray(thrown(() => Reflect.apply(cancel, new EventTarget(), []))))
    const { counter } = Object.getOwnPropertyDescriptors(CounterToken.prototype)
    assert.ok(isStray(thrown(() => Reflect.apply(counter.get as Method, untouchable(), []))))
    for (const name of ['restart', 'extend', 'disarm'] as const) {
      for (const give of [() => undefined, untouchable]) {
        assert.ok(isStray(thrown(() => Reflect.apply(TimeoutToken.prototype[name] as Method, give(), [5]))), name)
      }
    }
  })

  it('a registration that is stopped without it says so as well', () => {
    for (const token of [new SimpleToken(), CANCELLED()]) {
      const { stop } = token.onCancel(nothing)
      for (const give of [() => undefined, untouchable]) {
        const error = thrown(() => Reflect.apply(stop as Method, give(), []))
        assert.ok(error instanceof TypeError)
        assert.match(error.message, /^a method of a registration was called without its registration/)
      }
    }
  })

  it('a prototype can be printed', () => {
    const inspect = Symbol.for('nodejs.util.inspect.custom')
    const { prototype } = SimpleToken as unknown as { prototype: Record<symbol, () => string> }
    assert.match((prototype[inspect] as () => string).call(prototype), /SimpleToken/)
  })
})

const CANCELLED = () => new SimpleToken({ cancelled: true })

/** What a membrane, or a reactive store, makes of a token. */
const proxied = <T extends object>(value: T): T => new Proxy(value, {})

describe('24. through a proxy', () => {
  for (const { name, make } of kinds) {
    it(`${name} does what it does`, async () => {
      const token = make()
      const proxy = proxied(token)
      new SimpleToken().cancel() // so that every poll looks up
      assert.equal(proxy.cancelled, false)
      assert.equal(proxy.isCancelled(), false)
      assert.equal(proxy.keepOn(), true)
      proxy.check()
      assert.equal(String(proxy), String(token))
      assert.equal(JSON.stringify(proxy), JSON.stringify(token))
      assert.equal(proxy.signal, token.signal)
      assert.equal(proxy.name, token.name)
      assert.equal(proxy.onCancel(nothing).stop(), true)
      assert.equal(proxied(token.onCancel(nothing)).stop(), true)
      const derived = [
        proxy.plus(),
        new SimpleToken(proxy),
        anyOf(proxy),
        allOf(proxy),
        from(proxy),
        proxy.grace(0),
        someOf(1, proxy),
        proxy.except('race'),
      ]
      const told: unknown[] = []
      const registrations = [token, ...derived].map((one) => one.onCancel((error) => told.push(error)))
      assert.equal(proxied(registrations[0] as object as { stop(): boolean }).stop(), true)
      const waiting = proxy.wait()
      const racing = rejection(proxy.race(new Promise(nothing)))
      const settling = proxy.settled()
      const sleeping = rejection(proxy.sleep(100_000))
      const bridged = rejection(proxy.promise(nothing))
      const until = proxy.untilCancelled(new Promise(nothing), { grace: 0 })
      const within = rejection(scope(proxy, (s) => s.run((child) => child.sleep(100_000))))
      assert.equal(proxy.cancel('why'), proxy)
      const { error } = token
      assert.ok(error)
      assert.equal(proxy.error, error)
      assert.equal(proxy.cancelledBy, token.cancelledBy)
      assert.ok(isCancellation(error, proxy))
      for (const promise of [waiting, racing, sleeping, bridged, within]) assert.equal(await promise, error)
      assert.equal(await until, undefined)
      assert.deepEqual(await settling, { cancelled: true, pending: [] })
      for (const one of derived) assert.equal(one.error, error)
      assert.equal(told.length, derived.length)
      for (const one of told) assert.equal(one, error)
      assert.equal(token.signal.aborted, true)
      proxy[Symbol.dispose]()
    })
  }

  it('a counter counts, and a deadline passes', () => {
    let n = 0
    const counter = proxied(new CounterToken(3))
    while (counter.keepOn()) n++
    assert.equal(n, 3)
    assert.equal(counter.counter, 0)
    const late = proxied(new TimeoutToken(0))
    assert.equal(late.cancelled, true)
    assert.equal(late.restart(), false)
    const idle = proxied(new TimeoutToken(1_000_000))
    assert.equal(idle.restart(), true)
    assert.equal(idle.keepOn(), true)
    const shared = proxied(share(new SimpleToken()))
    assert.equal(shared.handle.calloff, 'SharedToken')
    shared.cancel()
    assert.equal(shared.cancelled, true)
  })

  it('one of several listeners is taken back, whichever it is', () => {
    for (let stopped = 0; stopped < 3; stopped++) {
      const token = new SimpleToken()
      const told: number[] = []
      const registrations = [0, 1, 2].map((i) => token.onCancel(() => told.push(i)))
      assert.equal(proxied(registrations[stopped] as (typeof registrations)[0]).stop(), true)
      assert.equal(registrations[stopped]?.stop(), false)
      token.cancel()
      assert.deepEqual(
        told,
        [0, 1, 2].filter((i) => i !== stopped),
      )
    }
  })
})

describe('24. a tag tells tokens apart', () => {
  it('of any kind, and those that look alike', () => {
    const tags = new Set<string>()
    const all = [...kinds, ...kinds, ...endingKinds].map(({ make }) => make())
    for (const token of all) {
      const tag = Object.prototype.toString.call(token)
      assert.match(tag, /^\[object \w+#\d+\]$/)
      assert.equal(Object.prototype.toString.call(token), tag)
      tags.add(tag)
    }
    assert.equal(tags.size, all.length)
  })

  it('and hides what is in them, which changes nothing', () => {
    for (const { make } of kinds) {
      const token = make()
      token.onCancel(nothing)
      const derived = new SimpleToken(token)
      assert.match(Object.prototype.toString.call(token), /#/)
      assert.deepEqual(Object.keys(token), ['unclonable'])
      assert.throws(() => structuredClone(token), { name: 'DataCloneError' })
      assert.equal(derived.keepOn(), true)
      const told: unknown[] = []
      derived.onCancel((error) => told.push(error))
      token.cancel('why')
      assert.deepEqual(told, [token.error])
    }
  })
})
