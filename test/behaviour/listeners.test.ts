import { describe, it } from 'node:test'
import assert from 'node:assert/strict'
import { allOf, type CancellationToken, CounterToken, type Registration, SimpleToken, TimeoutToken } from 'calloff'
import { manualClock } from 'calloff/testing'
import { uncaught } from './helpers.js'

const tree = () => {
  const root = new SimpleToken({ name: 'root' })
  const [a, b] = [new SimpleToken({ name: 'a' }, root), new SimpleToken({ name: 'b' }, root)]
  const [aa, ab] = [new SimpleToken({ name: 'aa' }, a), new SimpleToken({ name: 'ab' }, a, b)]
  return { root, a, b, aa, ab }
}

describe('6. onCancel calls back', () => {
  it('once, with the error, inside cancel()', () => {
    const token = new SimpleToken()
    const calls: unknown[][] = []
    token.onCancel((...args) => calls.push(args))
    token.cancel('why')
    assert.deepEqual(calls, [[token.error]])
    token.cancel()
    assert.equal(token.cancelled, true)
    assert.equal(calls.length, 1)
  })

  it('at once on a cancelled token, and again for each that is added', () => {
    const token = new SimpleToken(new SimpleToken().cancel())
    const calls: unknown[] = []
    for (let i = 1; i <= 3; i++) {
      const registration = token.onCancel((error) => calls.push(error))
      assert.equal(calls.length, i)
      assert.equal(registration.stop(), false)
    }
    assert.deepEqual(calls, [token.error, token.error, token.error])
  })

  it('when a source, a deadline or a foreign signal ends it', () => {
    using clock = manualClock()
    const controller = new AbortController()
    const source = new SimpleToken()
    const told: unknown[] = []
    new SimpleToken(new SimpleToken(source)).onCancel(({ kind }) => told.push(kind))
    new SimpleToken(new TimeoutToken(10)).onCancel(({ kind }) => told.push(kind))
    new SimpleToken(controller.signal).onCancel(({ kind }) => told.push(kind))
    controller.abort()
    clock.tick(10)
    source.cancel()
    assert.deepEqual(told, ['signal', 'timeout', 'manual'])
  })

  it('one function as often as it was added', () => {
    const token = new SimpleToken()
    let calls = 0
    const listener = () => void calls++
    const first = token.onCancel(listener)
    token.onCancel(listener)
    token.onCancel(listener)
    assert.equal(first.stop(), true)
    token.cancel()
    assert.equal(calls, 2)
  })

  it('ten thousand listeners, in order', () => {
    const token = new SimpleToken()
    const told: number[] = []
    for (let i = 0; i < 10_000; i++) token.onCancel(() => told.push(i))
    token.cancel()
    assert.equal(told.length, 10_000)
    told.forEach((value, i) => assert.equal(value, i))
  })
})

describe('6. stop() takes a listener back', () => {
  it('and says whether that prevented the call', () => {
    const token = new SimpleToken()
    const [early, late] = [token.onCancel(() => assert.fail('stopped')), token.onCancel(() => {})]
    assert.equal(early.stop(), true)
    assert.equal(early.stop(), false)
    token.cancel()
    assert.equal(late.stop(), false)
    assert.equal(early.stop(), false)
  })

  it('as does leaving a scope', () => {
    const token = new SimpleToken()
    {
      using registration = token.onCancel(() => assert.fail('stopped'))
      assert.ok(registration)
    }
    token.cancel()
  })

  it('from the first, the middle and the last place', () => {
    for (const at of [0, 1, 2]) {
      const token = new SimpleToken()
      const told: number[] = []
      const registrations = [0, 1, 2].map((i) => token.onCancel(() => told.push(i)))
      assert.equal(registrations[at]?.stop(), true)
      token.cancel()
      assert.deepEqual(
        told,
        [0, 1, 2].filter((i) => i !== at),
      )
    }
  })

  it('works from inside a listener on one that comes later, also of a token below', () => {
    const { root, aa } = tree()
    const below = aa.onCancel(() => assert.fail('stopped'))
    const stopped: boolean[] = []
    root.onCancel(() => stopped.push(later.stop(), below.stop()))
    const later = root.onCancel(() => assert.fail('stopped'))
    root.cancel()
    assert.deepEqual(stopped, [true, true])
  })

  it('from inside itself prevents nothing', () => {
    const token = new SimpleToken()
    const answers: boolean[] = []
    const registration: Registration = token.onCancel(() => answers.push(registration.stop()))
    token.cancel()
    assert.deepEqual(answers, [false])
  })

  it('leaves its neighbours and the tokens below alone', () => {
    const { root, a, aa } = tree()
    const told: string[] = []
    const registrations = [root, a, aa].map((token) => token.onCancel(() => assert.fail('stopped')))
    for (const token of [root, a, aa]) token.onCancel(() => told.push(token.name as string))
    for (const registration of registrations) registration.stop()
    root.cancel()
    assert.deepEqual(told, ['root', 'a', 'aa'])
  })

  it('can be followed by listening again', () => {
    const { root, ab } = tree()
    for (let i = 0; i < 3; i++) ab.onCancel(() => assert.fail('stopped')).stop()
    let calls = 0
    ab.onCancel(() => calls++)
    root.cancel()
    assert.equal(calls, 1)
  })
})

describe('6. the order of listeners', () => {
  it('is parents before children, first come first called, whichever was registered first', () => {
    for (const order of [
      ['root', 'a', 'b', 'aa', 'ab'],
      ['ab', 'aa', 'b', 'a', 'root'],
      ['aa', 'root', 'ab', 'b', 'a'],
    ] as const) {
      const tokens = tree()
      const told: string[] = []
      for (const name of order) tokens[name].onCancel(() => told.push(name))
      for (const name of order) tokens[name].onCancel(() => told.push(`${name} again`))
      tokens.root.cancel()
      assert.equal(told.length, 10)
      const before = (first: string, second: string) =>
        assert.ok(told.indexOf(first) < told.indexOf(second), `${first} before ${second} in ${told.join(', ')}`)
      for (const [parent, child] of [
        ['root', 'a'],
        ['root', 'b'],
        ['a', 'aa'],
        ['a', 'ab'],
        ['b', 'ab'],
      ] as const) {
        before(parent, child)
        before(`${parent} again`, child)
        before(parent, `${child} again`)
      }
      for (const name of order) before(name, `${name} again`)
    }
  })

  it('among children is that in which they listened', () => {
    const root = new SimpleToken()
    const told: number[] = []
    for (let i = 0; i < 20; i++) new SimpleToken(root).onCancel(() => told.push(i))
    root.cancel()
    assert.deepEqual(
      told,
      told.toSorted((x, y) => x - y),
    )
    assert.equal(told.length, 20)
  })

  it('holds for allOf, whose last source it comes after', () => {
    const [a, b] = [new SimpleToken(), new SimpleToken()]
    const told: string[] = []
    allOf(a, b).onCancel(() => told.push('all'))
    b.onCancel(() => told.push('b'))
    a.onCancel(() => told.push('a'))
    a.cancel()
    b.cancel()
    assert.deepEqual(told, ['a', 'b', 'all'])
  })
})

describe('6. when a listener runs', () => {
  it('every token below already reads cancelled, listened to or not', () => {
    const tokens = tree()
    const quiet = new SimpleToken(tokens.aa)
    let checks = 0
    const check = () => {
      checks++
      for (const token of [...Object.values(tokens), quiet]) {
        assert.equal(token.cancelled, true)
        assert.equal(token.cancelledBy, tokens.root)
      }
    }
    for (const token of [tokens.aa, tokens.root, tokens.ab]) token.onCancel(check)
    tokens.root.cancel()
    assert.equal(checks, 3)
  })

  it('it may listen: that is called at once, on this token and below', () => {
    const { root, aa } = tree()
    const told: string[] = []
    root.onCancel(() => {
      told.push('first')
      root.onCancel(() => told.push('nested'))
      aa.onCancel(() => told.push('nested below'))
      told.push('end of first')
    })
    root.onCancel(() => told.push('second'))
    root.cancel()
    assert.deepEqual(told, ['first', 'nested', 'nested below', 'end of first', 'second'])
  })

  it('it may cancel: this token again, one below, one above, one elsewhere', () => {
    const { root, a, aa } = tree()
    const elsewhere = new SimpleToken()
    const told: string[] = []
    a.onCancel(() => {
      a.cancel('again')
      aa.cancel('below')
      root.cancel('above')
      elsewhere.cancel('elsewhere')
      told.push('a')
    })
    for (const token of [root, aa]) token.onCancel(() => told.push(token.name as string))
    elsewhere.onCancel(() => told.push('elsewhere'))
    a.cancel('first')
    assert.deepEqual(
      [root, a, aa, elsewhere].map(({ reason }) => reason),
      ['above', 'first', 'first', 'elsewhere'],
    )
    assert.deepEqual(told.toSorted(), ['a', 'aa', 'elsewhere', 'root'])
  })

  it('it may poll counters and be polled by them', () => {
    const counter = new CounterToken(1, { direct: false })
    const token: CancellationToken = new SimpleToken(counter)
    let inside: boolean | undefined
    token.onCancel(() => (inside = token.keepOn()))
    assert.equal(token.keepOn(), true)
    assert.equal(token.keepOn(), false)
    assert.equal(inside, false)
  })
})

describe('6. a listener that throws', () => {
  it('stops neither the others nor the canceller, and its error surfaces as an uncaught one', async () => {
    const { root, a } = tree()
    const told: string[] = []
    let returned: unknown
    const errors = await uncaught(() => {
      root.onCancel(() => told.push('before'))
      root.onCancel(() => {
        throw new Error('first')
      })
      root.onCancel(() => told.push('after'))
      a.onCancel(() => {
        throw new Error('second')
      })
      a.onCancel(() => told.push('below'))
      returned = root.cancel()
    })
    assert.equal(returned, root)
    assert.deepEqual(told, ['before', 'after', 'below'])
    assert.deepEqual(
      errors.map((error) => (error as Error).message),
      ['first', 'second'],
    )
  })

  it('does not disturb a poll that discovers, a timer, an abort, nor onCancel itself', async () => {
    const controller = new AbortController()
    const failing = (message: string) => () => {
      throw new Error(message)
    }
    const errors = await uncaught(() => {
      const counter = new CounterToken(0)
      const below = new SimpleToken()
      below.onCancel(failing('by hand'))
      below[Symbol.dispose]()
      new SimpleToken(controller.signal).onCancel(failing('abort'))
      controller.abort()
      assert.equal(counter.onCancel(failing('at once')).stop(), false)
      const clock = manualClock()
      new TimeoutToken(5).onCancel(failing('timer'))
      clock.tick(5)
      clock.uninstall()
    })
    assert.deepEqual(
      errors.map((error) => (error as Error).message),
      ['by hand', 'abort', 'at once', 'timer'],
    )
  })
})

describe('listening to a token that was never read', () => {
  it('asks the rule of a token before its sources', () => {
    const empty = new CounterToken(0)
    const own = new CounterToken(0, empty)
    // An all-of that lives through its first source is not looked through when it is made.
    const all = allOf(allOf(), own)
    const registration = all.onCancel(() => {})
    assert.equal(own.cancelledBy, own)
    registration.stop()
  })

  it('notices a counter that has run out, whether it has a listener or not', () => {
    const counter = new CounterToken(1)
    const { signal } = counter
    assert.equal(counter.cancelled, false)
    const registration = allOf(new SimpleToken(), counter).onCancel(() => {})
    assert.equal(signal.aborted, true)
    registration.stop()
  })
})
