/**
 * No abort is lost: everything but the consumer of a signal is dropped and collected, then the token is cancelled.
 *
 * Here with what every runtime does alike; consumers.test.ts has what platforms bring along.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { allOf, ConditionToken, from, SimpleToken, TimeoutToken } from 'calloff'
import { collect, strays } from './collect.js'
import { type Consume, lost, nothing, ours, prepared, type Source } from './lost.js'

// Each function keeps only what its `cancel` mentions.
const sources: Readonly<Record<string, () => Source>> = {
  ...ours,
  'a sum, by its second operand': () => {
    const root = new SimpleToken()
    return { signal: new SimpleToken().plus(root).signal, cancel: () => root.cancel() }
  },
  'a token far below': () => {
    const root = new SimpleToken()
    let token = root
    for (let i = 0; i < 20; i++) token = new SimpleToken(token, new SimpleToken())
    return { signal: token.signal, cancel: () => root.cancel() }
  },
  'a token below one that is kept, whose own source is gone': () => {
    const middle = new SimpleToken(new SimpleToken())
    return { signal: new SimpleToken(middle).signal, cancel: () => middle.cancel() }
  },
  'a token below one that is disposed of': () => {
    const root = new SimpleToken()
    return { signal: new SimpleToken(root).signal, cancel: () => root[Symbol.dispose]() }
  },
  'a token below one that ends in a poll': () => {
    let over = false
    const root = new ConditionToken(() => over, { pollEvery: Infinity })
    return {
      signal: new SimpleToken(root).signal,
      cancel: () => {
        over = true
        assert.equal(root.cancelled, true)
      },
    }
  },
  'a deadline': () => ({ signal: new TimeoutToken(400).signal, cancel: nothing }),
  'a token below a deadline': () => ({
    signal: new SimpleToken(new SimpleToken(new TimeoutToken(400), new SimpleToken())).signal,
    cancel: nothing,
  }),
  'a deadline that is cancelled from above': () => {
    const root = new SimpleToken()
    return { signal: new TimeoutToken(60_000, root).signal, cancel: () => root.cancel() }
  },
  'a condition': () => {
    const state = { over: false }
    return { signal: new ConditionToken(() => state.over).signal, cancel: () => (state.over = true) }
  },
  'a token below a condition': () => {
    const state = { over: false }
    const condition = new ConditionToken(() => state.over, { caching: false, pollEvery: 5 })
    return { signal: new SimpleToken(new SimpleToken(), condition).signal, cancel: () => (state.over = true) }
  },
  allOf: () => {
    const one = new SimpleToken()
    const other = new SimpleToken()
    const cancel = (): void => {
      one.cancel()
      other.cancel()
    }
    return { signal: allOf(one, new SimpleToken(other)).signal, cancel }
  },
  'a token below allOf': () => {
    const one = new SimpleToken()
    return { signal: new SimpleToken(allOf(one, new TimeoutToken(100))).signal, cancel: () => one.cancel() }
  },
  'a grace': () => {
    const root = new SimpleToken()
    return { signal: root.grace(20).signal, cancel: () => root.cancel() }
  },
  'a token below the grace of a derived token': () => {
    const root = new SimpleToken()
    return { signal: new SimpleToken(new SimpleToken(root).grace(20)).signal, cancel: () => root.cancel() }
  },
  'a foreign signal': () => {
    const controller = new AbortController()
    return { signal: from(controller.signal).signal, cancel: () => controller.abort() }
  },
  'a token below a foreign composite': () => {
    const controller = new AbortController()
    const foreign = AbortSignal.any([controller.signal, new AbortController().signal])
    return { signal: new SimpleToken(new SimpleToken(foreign)).signal, cancel: () => controller.abort() }
  },
  'a token below a foreign timeout': () => ({
    signal: new SimpleToken(AbortSignal.timeout(400)).signal,
    cancel: nothing,
  }),
  'a token below the signal of another': () => {
    const root = new SimpleToken()
    return { signal: from(new SimpleToken(root).signal).plus(new SimpleToken()).signal, cancel: () => root.cancel() }
  },
}

const comeAndGone = (): void => {}

const light: Readonly<Record<string, Consume>> = {
  'a listener': (signal) => {
    let heard = false
    signal.addEventListener('abort', () => (heard = true))
    return () => heard
  },
  onabort: (signal) => {
    let heard = false
    signal.onabort = () => (heard = true)
    return () => heard
  },
  'a look at the signal': (signal) => () => signal.aborted,
  'a look at the signal, after listeners came and went': (signal) => {
    signal.addEventListener('abort', nothing)
    signal.addEventListener('abort', comeAndGone, { once: true })
    signal.removeEventListener('abort', comeAndGone)
    signal.removeEventListener('abort', nothing)
    return () => signal.aborted
  },
  'a look at a composite of it': (signal) => {
    const composite = AbortSignal.any([signal, new AbortController().signal])
    return () => composite.aborted
  },
  'a look at a composite of a composite of it': (signal) => {
    const composite = AbortSignal.any([AbortSignal.any([signal])])
    return () => composite.aborted
  },
  'a listener on a composite of it': (signal) => {
    let heard = false
    AbortSignal.any([signal]).addEventListener('abort', () => (heard = true))
    return () => heard
  },
  'a listener on a composite of a composite of it': (signal) => {
    let heard = false
    AbortSignal.any([AbortSignal.any([signal]), new AbortController().signal]).onabort = () => (heard = true)
    return () => heard
  },
}

for (const [what, make] of Object.entries(sources)) {
  test(`listeners of ${what}, and of what was composed of it, see the abort`, async () => {
    assert.deepEqual(await lost(make, light, 20), [])
  })
}

test('the platform learns of a cancelled token that was collected before it was read', async () => {
  // Node 24.16 and later, and 26.1 to 26.8, would forget it: nodejs/node#65995.
  const make = (): Source => {
    let root: SimpleToken | undefined = new SimpleToken()
    const { signal } = new SimpleToken(root, new SimpleToken())
    return {
      signal,
      cancel: () => {
        root?.cancel()
        root = undefined
      },
    }
  }
  for (const how of [
    'a look at the signal',
    'a look at the signal, after listeners came and went',
    'a look at a composite of it',
    'a look at a composite of a composite of it',
  ]) {
    const kept = await prepared(make, light[how] as Consume, 40)
    await collect()
    for (const { cancel } of kept) cancel()
    await collect()
    assert.equal(kept.filter(({ heard }) => !heard()).length, 0, how)
  }
})

test('an abort that no listener should see is not seen: the check of these checks', async () => {
  const silent = (): Source => ({ signal: new SimpleToken().signal, cancel: nothing })
  const kept = await prepared(silent, light['a listener'] as Consume, 20)
  await collect()
  assert.equal(kept.filter(({ heard }) => heard()).length, 0)
  // And a token of a bridge that listens weakly would be found out: the composite below depends on nothing that is kept.
  const weak = (): Source => {
    const root = new SimpleToken()
    const own = new AbortController()
    const reference = new WeakRef(own)
    root.onCancel(() => reference.deref()?.abort())
    return { signal: own.signal, cancel: () => root.cancel() }
  }
  const held = await prepared(weak, light['a listener on a composite of it'] as Consume, 20)
  await collect()
  for (const { cancel } of held) cancel()
  assert.ok(held.filter(({ heard }) => heard()).length <= strays)
})
