/** 19. Whatever a condition throws, and when: every promise settles, and what it registered is taken back. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type CancellationToken, openScope, type Scope, scope } from 'calloff'
import { turn } from '../helpers.js'
import { broken, brittle, outcomeOf } from './foreign.js'

const quick = async () => 1
const slow = async () => {
  for (let i = 0; i < 3; i++) await Promise.resolve()
  return 2
}
const fails = async () => {
  throw new Error('a failure')
}

/** A source that tells whether it was closed: left by its end, or by `return()`. */
function numbers(): { readonly source: AsyncIterable<number>; readonly isOpen: () => boolean } {
  let isOpen = false
  let at = 0
  return {
    isOpen: () => isOpen,
    source: {
      [Symbol.asyncIterator]: () => {
        isOpen = true
        return {
          next: async () => {
            if (at < 3) return { done: false as const, value: at++ }
            isOpen = false
            return { done: true as const, value: undefined }
          },
          return: async () => {
            isOpen = false
            return { done: true as const, value: undefined }
          },
        }
      },
    },
  }
}

async function drain(source: AsyncIterable<unknown>, most = Infinity): Promise<void> {
  let seen = 0
  for await (const _ of source) if (++seen >= most) break
}

/** Begins something under the token; gives its promise, and whether what it opened is still open. */
type Entry = (token: CancellationToken) => { readonly promise: Promise<unknown>; readonly isOpen?: () => boolean }

const within = (body: (s: Scope) => unknown, options = {}): Entry => {
  return (token) => ({ promise: scope(token, async (s) => body(s), options) })
}
const overSource = (how: (token: CancellationToken, source: AsyncIterable<number>) => Promise<unknown>): Entry => {
  return (token) => {
    const { source, isOpen } = numbers()
    return { promise: how(token, source), isOpen }
  }
}

const entries: Readonly<Record<string, Entry>> = {
  scope: within(() => 1),
  'scope with stuckAfter': within(() => 1, { stuckAfter: 60_000 }),
  's.run': within((s) => s.run(quick)),
  's.run, not awaited': within((s) => void s.run(quick)),
  's.run, caught': within((s) => s.run(quick).catch(() => {})),
  's.run of more than may run': within((s) => void [quick, slow, fails, slow].map((task) => s.run(task)), {
    concurrency: 1,
  }),
  's.allSettled': within((s) => s.allSettled([quick, fails, slow])),
  's.allSettled of more than may run': within((s) => s.allSettled([quick, fails, slow]), { concurrency: 1 }),
  's.any': within((s) => s.any([fails, slow, quick])),
  's.any, hedged': within((s) => s.any([slow, slow, quick], { hedge: 0 })),
  's.race': within((s) => s.race([slow, quick])),
  's.race, hedged': within((s) => s.race([slow, quick], { hedge: 0 })),
  's.map of an array': within((s) => s.map([1, 2, 3], slow)),
  's.map of an array, one at a time': within((s) => s.map([1, 2, 3], slow, { concurrency: 1 })),
  's.map of a source': overSource((token, source) => scope(token, (s) => s.map(source, slow))),
  's.map of a source, one at a time': overSource((token, source) =>
    scope(token, (s) => s.map(source, slow, { concurrency: 1 })),
  ),
  'several calls of a scope': within((s) => {
    void s.run(quick)
    void s.any([slow, quick])
    void s.map([1, 2], slow, { concurrency: 1 })
    return s.allSettled([quick, slow])
  }),
  openScope: (token) => {
    const s = openScope(token)
    void s.run(quick)
    void s.allSettled([slow, quick])
    return { promise: s.close() }
  },
  'await using': (token) => {
    const block = async () => {
      await using s = openScope(token, { onLeave: 'cancel' })
      await s.allSettled([slow, quick])
    }
    return { promise: block() }
  },
  retry: (token) => ({
    promise: token.retry(
      async (_own, attempt) => {
        if (attempt < 3) throw new Error('not yet')
      },
      { delay: 0, when: async () => true },
    ),
  }),
  every: (token) => ({ promise: drain(token.every(1), 3) }),
  'iterate over a source': overSource((token, source) => drain(token.iterate(source))),
  'iterate over a source, and leave': overSource((token, source) => drain(token.iterate(source), 2)),
  'iterate over an array': (token) => ({ promise: drain(token.iterate([1, 2, 3])) }),
  sleep: (token) => ({ promise: token.sleep(1) }),
  checkpoint: (token) => ({ promise: token.checkpoint() }),
  turns: (token) => ({ promise: drain(token.turns(), 3) }),
}

/** More calls of the condition than any of them makes. */
const MOST = 12

describe('a condition that throws', () => {
  for (const [name, begin] of Object.entries(entries)) {
    for (const forGood of [true, false]) {
      test(`${name}: at its nth call, ${forGood ? 'and from then on' : 'once'}`, async () => {
        let most = 0
        for (let nth = 1; nth <= MOST; nth++) {
          const { token, signal, calls } = brittle(nth, forGood)
          const { promise, isOpen } = begin(token)
          const outcome = await outcomeOf(promise)
          most = Math.max(most, calls())
          if (calls() < nth) assert.ok(!('error' in outcome) || outcome.error !== broken)
          await turn()
          assert.equal(signal.listeners.size, 0, `a listener is left, after call ${nth}`)
          if (isOpen) assert.equal(isOpen(), false, `the source is left open, after call ${nth}`)
        }
        assert.ok(most < MOST, `it makes ${most} calls or more: try more`)
      })
    }
  }

  test('reaches the caller whose call polled it', async () => {
    for (const [name, begin] of Object.entries(entries)) {
      if (name.includes('allSettled') || /caught|using|several/.test(name)) continue
      const { promise } = begin(brittle(1, true).token)
      const outcome = await outcomeOf(promise)
      assert.ok('error' in outcome && outcome.error === broken, name)
    }
  })

  test('makes it the outcome of each task of allSettled that could not be started', async () => {
    const { token } = brittle(2, true)
    const outcomes = await scope(token, (s) => s.allSettled([quick, quick]))
    assert.deepEqual(outcomes, [
      { status: 'rejected', reason: broken },
      { status: 'rejected', reason: broken },
    ])
  })

  test('ends all that waits on the same loop, and is told once', async () => {
    const { token } = brittle(2, true)
    const silent: AsyncIterable<number> = { [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }) }
    const items = token.iterate(silent)[Symbol.asyncIterator]()
    const first = items.next() // its rejection is the same failure again, and needs no handler
    const outcome = await outcomeOf(items.next())
    assert.ok('error' in outcome && outcome.error === broken)
    await turn()
    const again = await outcomeOf(first)
    assert.ok('error' in again && again.error === broken)
    assert.equal((await items.next()).done, true)
    const ticker = brittle(2, true)
    const ticks = ticker.token.every(60_000)[Symbol.asyncIterator]()
    const tick = ticks.next()
    const second = await outcomeOf(ticks.next())
    assert.ok('error' in second && second.error === broken)
    assert.equal((await tick).done, true)
    assert.equal((await ticks.next()).done, true)
    assert.equal(ticker.signal.listeners.size, 0)
  })
})
