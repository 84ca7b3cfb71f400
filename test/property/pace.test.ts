import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  allOf,
  type CancellationToken,
  ConditionToken,
  CounterToken,
  isCancellation,
  SimpleToken,
  TimeoutCancellationError,
  TimeoutToken,
} from 'calloff'
import { type ManualClock, manualClock } from 'calloff/testing'
import fc from 'fast-check'
import { isDriven, subscribers } from './inside.js'
import { runs } from './runs.js'

const stray: unknown[] = []
process.on('unhandledRejection', (reason) => stray.push(reason))

/** Lets the promises go on, and the event loop find unhandled rejections. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

/** The token under test, and how somebody else calls it off. */
interface Subject {
  readonly token: CancellationToken
  /** All of its graph. */
  readonly all: readonly CancellationToken[]
  readonly end: (clock: ManualClock) => void
}

const subjects: Record<string, () => Subject> = {
  'a root': () => {
    const token = new SimpleToken()
    return { token, all: [token], end: () => void token.cancel('enough') }
  },
  'a derived token': () => {
    const root = new SimpleToken()
    const token = new SimpleToken(root, new SimpleToken(root))
    return { token, all: [root, token], end: () => void root.cancel('enough') }
  },
  'a deadline': () => {
    const deadline = new TimeoutToken(35)
    const token = new SimpleToken(deadline)
    return { token, all: [deadline, token], end: (clock) => clock.tick(35) }
  },
  'a condition': () => {
    let over = false
    const condition = new ConditionToken(() => over)
    const token = new SimpleToken(condition)
    return {
      token,
      all: [condition, token],
      end: () => {
        over = true
      },
    }
  },
  'a counter': () => {
    const counter = new CounterToken(100, { direct: false })
    const token = new SimpleToken(counter)
    return { token, all: [counter, token], end: () => void counter.cancel() }
  },
  'all of two': () => {
    const [a, b] = [new SimpleToken(), new TimeoutToken(20)]
    const token = allOf(a, b)
    return { token, all: [a, b, token], end: () => void a.cancel() }
  },
  'a grace': () => {
    const root = new SimpleToken()
    const token = root.grace(15)
    return { token, all: [root, token], end: () => void root.cancel() }
  },
  'a foreign signal': () => {
    const controller = new AbortController()
    const token = new SimpleToken(controller.signal)
    return { token, all: [token], end: () => controller.abort('gone') }
  },
}

type Settled = { readonly value: unknown } | { readonly error: unknown }
interface Started {
  readonly what: string
  readonly settled: Promise<Settled>
  /** Of a race: the tokens it gave to its works. */
  readonly children: readonly CancellationToken[]
  /** Closes what would else go on for ever. */
  readonly close?: () => unknown
}

const noted = (work: Promise<unknown>): Promise<Settled> =>
  work.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  )

const work = fc.record({
  as: fc.constantFrom('promise', 'function', 'plain', 'sleeper', 'deaf', 'throws'),
  fails: fc.boolean(),
})
const activity = fc.oneof(
  fc.record({
    do: fc.constant('race' as const),
    works: fc.array(work, { minLength: 1, maxLength: 3 }),
    timeout: fc.option(fc.nat(60), { nil: undefined }),
  }),
  fc.record({ do: fc.constant('sleep' as const), ms: fc.constantFrom(0, 5, 30, 1e6, Infinity) }),
  fc.record({ do: fc.constant('every' as const), ms: fc.constantFrom(1, 7, 30), take: fc.nat(4), slow: fc.boolean() }),
  fc.record({
    do: fc.constant('iterate' as const),
    items: fc.nat(4),
    take: fc.nat(5),
    source: fc.constantFrom('sync', 'async', 'stuck', 'fails', 'bad return'),
  }),
  fc.record({ do: fc.constant('wait' as const), timeout: fc.option(fc.nat(60), { nil: undefined }) }),
  fc.record({ do: fc.constant('checkpoint' as const) }),
)
type Activity = typeof activity extends fc.Arbitrary<infer T> ? T : never

function start(token: CancellationToken, one: Activity, s: fc.Scheduler): Started {
  const children: CancellationToken[] = []
  const settled = (): Promise<unknown> => {
    switch (one.do) {
      case 'race': {
        const works = one.works.map(({ as, fails }, i) => {
          const soon = async () => {
            await s.schedule(Promise.resolve(), `work ${i}`)
            if (fails) throw new Error(`work ${i}`)
            return i
          }
          if (as === 'promise') return soon()
          return (child: CancellationToken): unknown => {
            children.push(child)
            if (as === 'throws') throw new Error(`work ${i}`)
            if (as === 'plain') return i
            if (as === 'sleeper') return child.sleep(1e6)
            // Goes on for ever, and fails when it is cancelled, which nobody hears.
            if (as === 'deaf') return new Promise((_, reject) => child.onCancel(() => reject(new Error('late'))))
            return soon()
          }
        })
        return token.race(works as ((child: CancellationToken) => Promise<unknown>)[], { timeout: one.timeout })
      }
      case 'sleep':
        return token.sleep(one.ms)
      case 'wait':
        return token.wait({ timeout: one.timeout })
      case 'checkpoint':
        return token.checkpoint()
      case 'every':
        return (async () => {
          const ticks: number[] = []
          for await (const tick of token.every(one.ms)) {
            ticks.push(tick)
            if (ticks.length > one.take) break
            if (one.slow) await s.schedule(Promise.resolve(), 'slow consumer')
          }
          ticks.forEach((tick, i) => assert.ok(tick > (ticks[i - 1] ?? 0), 'ticks only go up'))
          return ticks
        })()
      case 'iterate':
        return (async () => {
          const seen: number[] = []
          const items = Array.from({ length: one.items }, (_, i) => i)
          const source: AsyncIterable<number> | Iterable<number> =
            one.source === 'sync'
              ? items
              : {
                  [Symbol.asyncIterator]: () => {
                    const rest = [...items]
                    return {
                      next: async () => {
                        await s.schedule(Promise.resolve(), 'item')
                        const value = rest.shift()
                        if (value !== undefined) return { done: false, value }
                        if (one.source === 'stuck') await new Promise(() => {})
                        if (one.source === 'fails') throw new Error('the source failed')
                        return { done: true, value: undefined }
                      },
                      return: async () => {
                        if (one.source === 'bad return') throw new Error('late')
                        return { done: true, value: undefined }
                      },
                    }
                  },
                }
          try {
            for await (const item of token.iterate(source)) {
              seen.push(item)
              if (seen.length > one.take) break
            }
          } catch (error) {
            if (!(error instanceof Error) || error.message !== 'late') throw error
          }
          assert.deepEqual(seen, items.slice(0, seen.length))
          return seen
        })()
      default:
        one satisfies never
        throw new Error('unreachable')
    }
  }
  const promise = settled()
  return { what: one.do, settled: noted(promise), children }
}

test('race, sleep, every, iterate and wait settle in every interleaving, and leave nothing behind', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      fc.constantFrom(...Object.keys(subjects)),
      fc.array(activity, { minLength: 1, maxLength: 4 }),
      fc.array(fc.record({ at: fc.constantFrom('end', 'time', 'time'), ms: fc.nat(40) }), { maxLength: 5 }),
      async (s, kind, activities, events) => {
        using clock = manualClock()
        stray.length = 0
        const { token, all, end } = subjects[kind]!()
        const started = activities.map((one) => start(token, one, s))
        s.scheduleSequence(
          events.map(({ at, ms }) => async () => {
            if (at === 'end') end(clock)
            else await clock.advance(ms)
          }),
        )
        await s.waitIdle()
        await clock.advance(100)
        await s.waitIdle()
        // Whoever still goes on is cancelled, however the token would have ended.
        const survived = token.error === undefined
        token.cancel('the test is over')
        await s.waitIdle()
        await clock.advance(100)
        await s.waitIdle()

        for (const { what, settled, children } of started) {
          const result = await Promise.race([settled, turn().then(() => 'pending' as const)])
          assert.ok(result !== 'pending', `${what} settles`)
          if ('error' in result && isCancellation(result.error)) {
            const { error } = result
            assert.ok(
              error === token.error || error instanceof TimeoutCancellationError,
              `${what} rejects with the token's error`,
            )
          }
          for (const child of children) {
            assert.equal(child.cancelled, true, 'the losers are cancelled')
            assert.ok(child.error?.kind === 'race' || child.error === token.error || child.error?.kind === 'timeout')
            assert.equal(subscribers(child), 0)
          }
        }
        await turn()
        assert.deepEqual(stray, [], 'unhandled rejections')
        for (const one of all) {
          assert.equal(subscribers(one), 0, 'nobody is left in a list')
          assert.equal(isDriven(one), false, 'no timer is left')
        }
        assert.ok(survived || token.cancelled)
      },
    ),
    runs(400),
  )
})

test('what is over leaves nothing on a token that lives on', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      fc.constantFrom(
        'a root',
        'a derived token',
        'a condition',
        'a counter',
        'all of two',
        'a grace',
        'a foreign signal',
      ),
      fc.array(work, { minLength: 1, maxLength: 3 }),
      fc.nat(4),
      async (s, kind, works, take) => {
        using clock = manualClock()
        stray.length = 0
        const { token, all } = subjects[kind]!()
        const quick = { as: 'promise', fails: false } as const
        const done = [
          start(token, { do: 'race', works: [...works, quick], timeout: 1_000 }, s),
          start(token, { do: 'sleep', ms: 5 }, s),
          start(token, { do: 'every', ms: 7, take, slow: true }, s),
          start(token, { do: 'iterate', items: 3, take, source: 'async' }, s),
          start(token, { do: 'wait', timeout: 30 }, s),
          start(token, { do: 'checkpoint' }, s),
        ]
        for (let i = 0; i < 12; i++) {
          await s.waitIdle()
          await clock.advance(10)
        }
        await Promise.all(done.map((one) => one.settled))
        await turn()
        assert.equal(token.error, undefined)
        assert.deepEqual(stray, [], 'unhandled rejections')
        for (const one of all) {
          assert.equal(subscribers(one), 0, 'nobody is left in a list')
          assert.equal(isDriven(one), false, 'no timer is left')
        }
        for (const child of done[0]!.children) assert.equal(child.error?.kind, 'race')
      },
    ),
    runs(300),
  )
})
