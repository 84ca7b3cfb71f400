/** What waits on a token that lives long leaves nothing behind when it is over. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type CancellationToken, ConditionToken, isCancellation, SimpleToken, trace } from 'calloff'
import { FLAT, FLAT_SIGNAL, leaves } from './collect.js'
import { delay, nothing } from './lost.js'

const refused = (error: unknown): void => assert.ok(isCancellation(error), String(error))

const waits: Readonly<Record<string, (parent: CancellationToken) => Promise<unknown>>> = {
  'a race that a promise wins': (parent) => parent.race(Promise.resolve(1)),
  'a race that a function wins': (parent) =>
    parent.race<unknown>([async () => 1, (token) => token.sleep(60_000)], { timeout: 60_000 }),
  'a race whose work uses a signal': (parent) =>
    parent.race((token) => token.signal.addEventListener('abort', nothing, { once: true })),
  'a race whose work is cancelled by a signal': (parent) => {
    const token = new SimpleToken(parent)
    const race = token.race((own) => delay(60_000, own.signal)).catch(refused)
    token.cancel()
    return race
  },
  'a race that runs out of time': (parent) =>
    parent.race((token) => token.sleep(60_000), { timeout: 0 }).catch(refused),
  'a race that is cancelled': (parent) => {
    const token = new SimpleToken(parent)
    const race = token.race((own) => own.wait()).catch(refused)
    token.cancel()
    return race
  },
  'a promise of callbacks that has its outcome': (parent) =>
    parent.promise<void>((resolve) => {
      setTimeout(resolve, 0)
      return nothing
    }),
  'a promise of callbacks that is cancelled': (parent) => {
    const token = new SimpleToken(parent)
    const promise = token.promise(() => nothing).catch(refused)
    token.cancel()
    return promise
  },
  'untilCancelled with a value': (parent) => parent.untilCancelled(async () => 1, { grace: 60_000 }),
  'untilCancelled that is cancelled, with a grace': (parent) => {
    const token = new SimpleToken(parent)
    const until = token.untilCancelled((own) => own.sleep(60_000), { grace: 60_000 })
    token.cancel()
    return until
  },
  'settled with a listener that returns a promise': (parent) => {
    const token = new SimpleToken(parent)
    token.onCancel(() => Promise.resolve())
    token.cancel()
    return token.settled({ timeout: 60_000 })
  },
  'settled that runs out of time': (parent) => parent.settled({ timeout: 0 }),
  'a sleep': (parent) => parent.sleep(0),
  'a sleep that is cancelled': (parent) => {
    const token = new SimpleToken(parent)
    const sleep = token.sleep(60_000).catch(refused)
    token.cancel()
    return sleep
  },
  'a wait that runs out of time': (parent) => parent.wait({ timeout: 0 }).catch(refused),
  'a wait that ends': (parent) => {
    const token = new SimpleToken(parent)
    const wait = token.wait({ timeout: 60_000 })
    token.cancel()
    return wait
  },
  'a wait for a condition': (parent) => {
    const token = new ConditionToken(() => true, parent)
    return token.wait()
  },
  'a checkpoint': (parent) => parent.checkpoint(),
  'a tick of every()': async (parent) => {
    for await (const tick of parent.every(0)) return tick
    return undefined
  },
  'every() that is closed while it waits': async (parent) => {
    const ticks = parent.every(60_000)[Symbol.asyncIterator]()
    const tick = ticks.next()
    await ticks.return?.()
    return tick
  },
  'iterate() to the end': async (parent) => {
    let sum = 0
    for await (const item of parent.iterate([1, 2, 3])) sum += item
    return sum
  },
  'iterate() that is left early': async (parent) => {
    for await (const item of parent.iterate([1, 2, 3])) return item
    return undefined
  },
  'iterate() whose source fails': async (parent) => {
    const source = {
      [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(new Error('the source broke')) }),
    }
    try {
      for await (const item of parent.iterate<unknown>(source)) assert.fail(String(item))
    } catch (error) {
      assert.match(String(error), /the source broke/)
    }
  },
  'for await over it, with a break': async (parent) => {
    for await (const turns of parent.turns()) if (turns > 0) break
  },
}

for (const [what, begin] of Object.entries(waits)) {
  test(`${what} leaves nothing on a token that lives long`, async () => {
    // What is allowed for a signal is allowed on each source that lives on, so there is one.
    const usesSignal = what.includes('signal')
    const parent = usesSignal ? new SimpleToken() : new SimpleToken(new SimpleToken())
    await leaves(usesSignal ? FLAT_SIGNAL : FLAT, 10_000, () => begin(parent))
  })
}

/** A promise that outlives all that is done with it. */
const races: Readonly<
  Record<string, (token: CancellationToken, promise: Promise<unknown>, i: number) => Promise<unknown>>
> = {
  'beside a winner with a large value': (token, promise) =>
    token.race<unknown>([promise, Promise.resolve(Array.from({ length: 1_000 }))]),
  'beside a function': (token, promise, i) => token.race<unknown>([promise, async () => i]),
  'from a function': (token, promise) => token.race<unknown>([() => promise, async () => 1]),
  'alone, with a limit of 0': (token, promise) => token.race(promise, { timeout: 0 }).catch(refused),
  'alone, and cancelled': (token, promise) => {
    const own = new SimpleToken(token)
    const race = own.race(promise).catch(refused)
    own.cancel()
    return race
  },
  'under a token that is cancelled': (_, promise) => new SimpleToken().cancel().race(promise).catch(refused),
  'with bad options': (token, promise) => token.race(promise, { timeout: -1 }).catch(() => {}),
  'by retry': (token, promise) => {
    const own = new SimpleToken(token)
    const attempts = own.retry(() => promise).catch(refused)
    own.cancel()
    return attempts
  },
}

test('under an observer, races leave one of them on a promise that lives long', async () => {
  using _ = trace({ lateError: nothing })
  const parent = new SimpleToken()
  const promise = new Promise<unknown>(nothing)
  await leaves(FLAT, 10_000, () => parent.race<unknown>([promise, Promise.resolve(1)]))
  await leaves(FLAT, 10_000, () => {
    const own = new SimpleToken(parent)
    const attempts = own.retry(() => promise).catch(refused)
    own.cancel()
    return attempts
  })
})

for (const [what, begin] of Object.entries(races)) {
  test(`a race leaves nothing on a promise that lives long: ${what}`, async () => {
    const parent = new SimpleToken()
    const promise = new Promise<unknown>(nothing)
    await leaves(FLAT, 10_000, (i) => begin(parent, promise, i))
  })
}

test('races at once leave a few reactions on a promise that lives long, however many they are', async () => {
  const parent = new SimpleToken()
  const promises: Promise<unknown>[] = []
  await leaves(100_000, 10, async () => {
    const promise = new Promise<unknown>(nothing)
    promises.push(promise)
    await Promise.all(Array.from({ length: 5_000 }, (_, i) => parent.race<unknown>([promise, Promise.resolve(i)])))
  })
  assert.equal(promises.length > 0, true)
})
