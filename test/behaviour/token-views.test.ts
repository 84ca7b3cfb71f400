/** token.view: a token without the methods that cancel it. */
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
  toHeaders,
  type TokenView,
} from 'calloff'
import { share, SharedToken } from 'calloff/threads'
import { directPolls, drawn, rejection, thrown } from './helpers.js'
import { endingKinds, kinds } from './kinds.js'

type Loose = Record<PropertyKey, unknown>
const nothing = () => {}
const all = [...kinds, ...endingKinds, { name: 'NEVER', make: (): CancellationToken => NEVER }]

/** Everything that an object leads to by its properties, of its own and of its prototypes. */
function reachable(object: object): Set<unknown> {
  const found = new Set<unknown>([object])
  for (const one of found) {
    if (typeof one !== 'object' || one === null || one instanceof Int32Array) continue
    for (let at: object | null = one; at && at !== Object.prototype; at = Object.getPrototypeOf(at) as object | null) {
      for (const key of Reflect.ownKeys(at)) {
        const { value, get } = Reflect.getOwnPropertyDescriptor(at, key) as PropertyDescriptor
        found.add(get ? tried(() => Reflect.apply(get, one, [])) : value)
      }
    }
  }
  return found
}

function tried(run: () => unknown): unknown {
  try {
    return run()
  } catch {
    return undefined
  }
}

describe('a view', () => {
  for (const { name, make } of all) {
    it(`of ${name} has no way to cancel it`, () => {
      const token = make()
      const view = token.view as TokenView & Loose
      assert.equal(token.view, view)
      assert.equal(view.view, view)
      assert.equal(from(view), view)
      assert.equal(view.cancel, undefined)
      assert.equal(view[Symbol.dispose], undefined)
      assert.throws(() => (view.cancel as () => void)(), TypeError)
      const found = reachable(view)
      // A cancelled token is named by its error.
      if (token.error === undefined) {
        for (const one of found) assert.notEqual(one, token)
        assert.deepEqual([view.cancelledBy, view.path, view.error], [undefined, [], undefined])
      }
      // Nor by the methods of tokens, borrowed.
      for (
        let at: object | null = token;
        at && at !== Object.prototype;
        at = Object.getPrototypeOf(at) as object | null
      ) {
        for (const method of ['cancel', 'restart', 'extend', 'disarm', Symbol.dispose, 'handle', 'close']) {
          const property = Reflect.getOwnPropertyDescriptor(at, method)
          const borrowed = (property?.value ?? property?.get) as (() => unknown) | undefined
          if (borrowed === undefined) continue
          const error = thrown(() => Reflect.apply(borrowed, view, []))
          assert.ok(error instanceof TypeError, String(method))
          assert.match(error.message, /a view must not cancel its token/)
        }
      }
      if (token !== NEVER) assert.equal(token.kind === 'manual' || token.kind === 'dispose', false)
    })

    it(`of ${name} reads as the token does, also through a proxy`, () => {
      const token = make()
      for (const view of [token.view, new Proxy(token.view, {})]) {
        assert.equal(view.isCancelled(), token.isCancelled())
        assert.equal(view.error, token.error)
        assert.equal(view.reason, token.reason)
        assert.equal(view.kind, token.kind)
        assert.equal(view.name, token.name)
        assert.equal(view.signal, token.signal)
        assert.equal(view.cancelledBy, token.cancelledBy)
        assert.equal(view.canBeCancelled, token.canBeCancelled)
        assert.ok(Math.abs(view.remaining - token.remaining) < 60_000 || view.remaining === token.remaining)
        assert.equal(view.view, token.view)
        assert.match(String(view), /\.view$/)
        assert.equal(JSON.stringify(view), JSON.stringify(String(view)))
        assert.equal(drawn(view as CancellationToken).split('\n').length, drawn(token).split('\n').length)
        if (token.error) assert.ok(isCancellation(token.error, view))
      }
    })
  }

  for (const { name, make } of kinds) {
    it(`of ${name} is taken wherever a token is`, async () => {
      const token = make()
      const { view } = token
      const derived = [
        new SimpleToken(view),
        new SimpleToken({ name: 'below' }, new SimpleToken(), view),
        new TimeoutToken(1_000_000, view),
        new SimpleToken().plus(view),
        anyOf(view),
        allOf(view),
        someOf(1, view),
        view.plus(),
        view.grace(0),
        view.except('race'),
        share(view),
        from(new Proxy(view, {})),
      ]
      const told: unknown[] = []
      for (const one of derived) one.onCancel((error) => told.push(error))
      view.onCancel((error) => told.push(error))
      const running = [
        rejection(view.race(new Promise(nothing))),
        rejection(view.sleep(1_000_000)),
        rejection(view.promise(nothing)),
        rejection(scope(view, (s) => s.token.sleep(1_000_000))),
        view.wait(),
      ]
      const until = view.untilCancelled(new Promise(nothing))
      assert.equal(typeof toHeaders(view), 'object')
      const below = new SimpleToken(view)
      below.cancel('below')
      assert.equal(token.cancelled, false)

      token.cancel('why')
      const { error } = token
      assert.equal(told.length, derived.length + 1)
      for (const one of told) assert.equal((one as Error).message, error?.message)
      for (const one of running) assert.equal(await one, error)
      assert.equal(await until, undefined)
      assert.deepEqual(view.path, token.path)
    })
  }

  for (const [poll, ask] of directPolls) {
    it(`is polled as its token is: ${poll}`, async () => {
      const counter = new CounterToken(3)
      const view = counter.view as CancellationToken
      for (const left of [2, 1, 0]) {
        assert.equal(await ask(view), true)
        assert.equal(counter.counter, left)
      }
      assert.equal(await ask(view), false)
    })
  }

  it('leaves a DefaultToken out, and adds no listener to it', () => {
    assert.equal(String(new SimpleToken(NEVER.view)), 'SimpleToken()')
    assert.equal(NEVER.view.onCancel(nothing).stop(), true)
    assert.equal(NEVER.view.canBeCancelled, false)
  })

  it('does not hand the token to when() of a retry', async () => {
    const { view } = new SimpleToken()
    const given: unknown[] = []
    const when = (_error: unknown, _attempt: number, token: unknown) => given.push(token) < 2
    const fails = () => Promise.reject(new Error('broken'))
    await rejection(view.retry(fails, { delay: 0, when }))
    assert.deepEqual([given.length, given[0] === view], [2, true])
  })

  it('cannot be cloned, and has a tag of its own', () => {
    const { view } = new SimpleToken()
    assert.throws(() => structuredClone(view), { name: 'DataCloneError' })
    const tag = Object.prototype.toString.call(view)
    assert.match(tag, /#\d+\]$/)
    assert.notEqual(tag, Object.prototype.toString.call(new SimpleToken().view))
  })

  it('has methods that say so where they are called without it', () => {
    const { view } = new SharedToken()
    const { keepOn, onCancel } = view
    for (const call of [() => Reflect.apply(keepOn, undefined, []), () => Reflect.apply(onCancel, {}, [nothing])]) {
      assert.match(String(thrown(call)), /was called without its token/)
    }
  })
})
