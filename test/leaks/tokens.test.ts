/** Tokens and listeners that live for a short while leave nothing behind on what lives long. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  allOf,
  anyOf,
  type CancellationToken,
  ConditionToken,
  CounterToken,
  type Registration,
  SimpleToken,
  someOf,
  TimeoutToken,
} from 'calloff'
import { cancelOthers, collect, FLAT, leaves, strays, survivors } from './collect.js'

const MILLION = 1_000_000
const nothing = (): void => {}

const derivations: Readonly<
  Record<string, (parent: CancellationToken, other: CancellationToken) => CancellationToken>
> = {
  'derived from one': (parent) => new SimpleToken(parent),
  summed: (parent, other) => parent.plus(other),
  'with a deadline that is abandoned': (parent) => new TimeoutToken(60_000, parent),
  'with a condition': (parent) => new ConditionToken(() => false, parent),
  'with a counter': (parent) => new CounterToken(3, parent),
  'for all of them': (parent, other) => allOf(parent, other),
  'of a view': (parent) => new SimpleToken(parent.view),
  'that have a view': (parent) => new SimpleToken(parent).view.plus(),
  'for some of them': (parent, other) => someOf(1, parent, other),
  'except for a kind': (parent, other) => parent.plus(other).except('race'),
  'with a grace': (parent) => parent.grace(1_000),
}

test('a million tokens that are derived and dropped leave nothing', async () => {
  const parent = new SimpleToken()
  await leaves(1, MILLION, () => new SimpleToken(parent), 100_000)
})

for (const [how, derive] of Object.entries(derivations)) {
  test(`tokens ${how} leave nothing, polled, looked at and dropped`, async () => {
    const parent = new SimpleToken()
    const other = new SimpleToken()
    await leaves(FLAT, 10_000, () => {
      const token = derive(parent, other)
      return token.cancelled ? 1 : token.remaining
    })
  })

  test(`tokens ${how} leave nothing once their listener is taken back`, async () => {
    const parent = new SimpleToken()
    const other = new SimpleToken()
    await leaves(FLAT, 10_000, () => derive(parent, other).onCancel(nothing).stop())
  })

  test(`tokens ${how} leave nothing once they are cancelled, with a listener left on`, async () => {
    const parent = new SimpleToken()
    const other = new SimpleToken()
    await leaves(FLAT, 10_000, () => {
      const token = derive(parent, other)
      token.onCancel(nothing)
      token.cancel()
    })
  })
}

test('a million listeners that are added and taken back leave nothing', async () => {
  const token = new SimpleToken()
  await leaves(1, MILLION, () => token.onCancel(nothing).stop(), 100_000)
})

test('a disposed listener is as good as a stopped one', async () => {
  const token = new SimpleToken()
  await leaves(FLAT, 10_000, () => token.onCancel(() => token)[Symbol.dispose]())
})

test('a stopped registration that is kept keeps neither its neighbours nor the token', async () => {
  const token = new SimpleToken()
  const kept: Registration[] = []
  const left = await survivors(100, () => {
    // A listener each before, between and after: the kept one has stood beside all of them.
    const first = () => token
    const last = () => token
    const one = token.onCancel(first)
    const middle = token.onCancel(nothing)
    const other = token.onCancel(last)
    middle.stop()
    one.stop()
    other.stop()
    kept.push(middle)
    return kept.length % 2 === 0 ? first : last
  })
  assert.ok(left <= strays, `${left} listeners were kept`)
  const tokens = await survivors(100, () => {
    const short = new SimpleToken(token)
    const registration = short.onCancel(nothing)
    registration.stop()
    kept.push(registration)
    return short
  })
  assert.ok(tokens <= strays, `${tokens} tokens were kept`)
  assert.equal(kept.length, 200)
})

test('a registration that has been called keeps neither its neighbours nor the token', async () => {
  const kept: Registration[] = []
  const left = await survivors(100, () => {
    const token = new SimpleToken()
    token.onCancel(nothing)
    kept.push(token.onCancel(nothing))
    token.onCancel(nothing)
    return token.cancel()
  })
  assert.ok(left <= strays, `${left} tokens were kept`)
})

test('a listener does not keep a token whose sources are all gone', async () => {
  const left = await survivors(100, () => {
    const token = new SimpleToken(new SimpleToken())
    token.onCancel(() => token.check())
    return token
  })
  assert.ok(left <= strays, `${left} were kept`)
})

test('a disposed token that is kept holds neither its sources nor its listeners', async () => {
  const kept: CancellationToken[] = []
  const sources = await survivors(100, () => {
    const source = new SimpleToken()
    const token = new SimpleToken(source)
    token.onCancel(nothing)
    token[Symbol.dispose]()
    kept.push(token)
    return source
  })
  assert.ok(sources <= strays, `${sources} sources were kept`)
  const listeners = await survivors(100, () => {
    const listener = (): string => 'bye'
    const token = new SimpleToken()
    token.onCancel(listener)
    token[Symbol.dispose]()
    kept.push(token)
    return listener
  })
  assert.ok(listeners <= strays, `${listeners} listeners were kept`)
})

test('an abandoned timeout is freed long before its time', async () => {
  const left = await survivors(100, (i) => {
    const token = new TimeoutToken(600_000, new TimeoutToken(700_000))
    if (i % 4 === 1) assert.ok(token.keepOn() && token.remaining > 0)
    if (i % 4 === 2) token.onCancel(nothing).stop()
    if (i % 4 === 3) token.race(Promise.resolve()).catch(assert.fail)
    return token
  })
  assert.ok(left <= strays, `${left} were kept`)
})

test('a disposed deadline with a listener or a signal is freed long before its time', async () => {
  const left = await survivors(
    100,
    (i) => {
      const token = new TimeoutToken(600_000)
      if (i % 2 === 0) token.onCancel(nothing)
      else token.signal.addEventListener('abort', nothing)
      token[Symbol.dispose]()
      return token
    },
    cancelOthers,
  )
  assert.ok(left <= strays, `${left} were kept`)
})

test('the tokens of one parent are summed without anything left on another', async () => {
  const one = new SimpleToken()
  const other = new SimpleToken()
  await leaves(FLAT, 10_000, () => anyOf(one, other, new TimeoutToken(60_000)).onCancel(nothing).stop())
  await collect()
  assert.deepEqual([one.cancelled, other.cancelled], [false, false])
})

const moves: Readonly<Record<string, (token: TimeoutToken, i: number) => boolean>> = {
  restarted: (token) => token.restart(),
  'restarted with another time': (token, i) => token.restart(1_000_000 + i),
  extended: (token) => token.extend(1),
  'taken off and set again': (token) => token.disarm() && token.restart(),
}

for (const [how, move] of Object.entries(moves)) {
  for (const what of ['nothing', 'a listener', 'a race'] as const) {
    test(`a deadline that is ${how} a hundred thousand times leaves nothing, with ${what} below`, async () => {
      const token = new TimeoutToken(1_000_000, { reason: 'slow' })
      const child = new SimpleToken(token)
      if (what === 'a listener') child.onCancel(nothing)
      if (what === 'a race') child.race(new Promise<never>(nothing)).catch(nothing)
      await leaves(FLAT, 100_000, (i) => assert.equal(move(token, i), true))
      token.cancel()
    })
  }
}

test('a hundred thousand deadlines with a reason leave nothing', async () => {
  const parent = new SimpleToken()
  const reason = new Error('slow')
  await leaves(FLAT, 100_000, () => new TimeoutToken(60_000, { reason }, parent).disarm())
})
