import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  CANCELLED,
  type CancellationToken,
  Limit,
  type Scope,
  scope,
  ScopeClosedError,
  SimpleToken,
  TimeoutToken,
} from 'calloff'
import { manualClock } from 'calloff/testing'
import { deferred, rejection, stateOf, turn } from '../helpers.js'
import { patient, puppet } from './helpers.js'

const boom = new Error('boom')

/** A source without an end that says how far it has come, and whether it was closed. */
function endless() {
  const self = { pulled: 0, closed: 0, items: numbers() as AsyncIterable<number> }
  async function* numbers(): AsyncGenerator<number> {
    try {
      for (;;) yield self.pulled++
    } finally {
      await turn()
      self.closed++
    }
  }
  return self
}

const iteratorOf = <T>(results: AsyncIterable<T>) => results[Symbol.asyncIterator]()

async function all<T>(results: AsyncIterable<T>): Promise<T[]> {
  const seen: T[] = []
  for await (const one of results) seen.push(one)
  return seen
}

describe('stream', () => {
  test('gives each result as its task ends; with ordered, in the order of the items', async () => {
    using clock = manualClock()
    const work = (ms: number, token: CancellationToken, index: number) => token.sleep(ms).then(() => `${index}: ${ms}`)
    const asTheyCome = scope((s) => all(s.stream([30, 10, 20], work, { concurrency: 3 })))
    const inOrder = scope((s) => all(s.stream([30, 10, 20], work, { concurrency: 3, ordered: true })))
    await clock.advance(30)
    assert.deepEqual(await asTheyCome, ['1: 10', '2: 20', '0: 30'])
    assert.deepEqual(await inOrder, ['0: 30', '1: 10', '2: 20'])
    assert.deepEqual(await scope((s) => all(s.stream([], work, { concurrency: 1 }))), [])
  })

  test('pulls nothing before the loop begins, and then no more than may be under way', async () => {
    for (const ordered of [false, true]) {
      const source = endless()
      let started = 0
      await scope(
        async (s) => {
          const results = s.stream(source.items, async (item) => (started++, item), { ordered })
          await turn()
          assert.deepEqual([source.pulled, started], [0, 0])
          let taken = 0
          for await (const result of results) {
            assert.equal(result, taken++)
            await turn()
            await turn()
            // Results that were not taken count as under way: a caller that is slow is not run over.
            assert.equal(started, taken + 3)
            if (taken === 20) break
          }
        },
        { concurrency: 3 },
      )
      assert.deepEqual([source.closed, started], [1, 23])
    }
  })

  test('with ordered, one slow item holds back the pulling, not the memory', async () => {
    const slow = puppet<number>()
    let started = 0
    await scope(async (s) => {
      const work = (item: number, token: CancellationToken) => (started++, item ? item : slow.work(token))
      const seen = all(s.stream(Array(10).keys(), work, { concurrency: 4, ordered: true }))
      await turn()
      assert.equal(started, 4)
      slow.resolve(0)
      assert.deepEqual(await seen, [...Array(10).keys()])
    })
  })

  test('leaving the loop closes the source, cancels the running tasks, and waits for both', async () => {
    for (const how of ['break', 'throw'] as const) {
      const source = endless()
      const tokens: CancellationToken[] = []
      const deaf = puppet<number>()
      let left = false
      const whole = scope(async (s) => {
        const loop = async () => {
          const work = (item: number, token: CancellationToken) => {
            tokens[item] = token
            return item === 1 ? item : deaf.work(token)
          }
          for await (const result of s.stream(source.items, work, { concurrency: 3 })) {
            assert.equal(result, 1)
            await turn()
            if (how === 'throw') throw boom
            break
          }
        }
        const end = loop().then(
          () => undefined,
          (error: unknown) => error,
        )
        void end.then(() => (left = true))
        await turn()
        await turn()
        await turn()
        assert.equal(left, false)
        assert.deepEqual(
          tokens.map((token) => token.kind),
          ['dispose', undefined, 'dispose', 'dispose'],
          'what has ended may be in use',
        )
        deaf.resolve(5)
        assert.equal(await end, how === 'throw' ? boom : undefined)
        assert.deepEqual([source.closed, s.token.cancelled, s.unfinished()], [1, false, []])
        return 'goes on'
      })
      assert.equal(await whole, 'goes on')
    }
  })

  test('leaving the loop does not wait for a pull that is never answered', async () => {
    let closed = 0
    let pulled = 0
    const source = {
      [Symbol.asyncIterator]: () => ({
        next: () =>
          pulled++ ? new Promise<IteratorResult<number>>(() => {}) : Promise.resolve({ value: 1, done: false }),
        return: async () => {
          closed++
          return { done: true as const, value: undefined }
        },
      }),
    }
    await scope(async (s) => {
      for await (const result of s.stream(source, (item) => item, { concurrency: 2 })) {
        assert.equal(result, 1)
        break
      }
    })
    assert.equal(closed, 1)
  })

  test('a failure ends the loop and the scope, once the running tasks have settled', async () => {
    const source = endless()
    const deaf = puppet<number>()
    let heard: unknown
    const whole = scope(async (s) => {
      const work = async (item: number, token: CancellationToken) => {
        if (item === 1) throw boom
        return deaf.work(token)
      }
      heard = await rejection(all(s.stream(source.items, work, { concurrency: 2 })))
    })
    await turn()
    await turn()
    assert.equal(deaf.token?.kind, 'sibling')
    assert.equal(await stateOf(whole.catch(() => {})), 'pending')
    deaf.resolve(0)
    assert.equal(await rejection(whole), boom)
    assert.equal(heard, boom)
    assert.equal(source.closed, 1)
  })

  test('a failure while the loop is being left is one of the scope too', async () => {
    const late = puppet<number>()
    const whole = scope(async (s) => {
      for await (const result of s.stream([0, 1], (item, token) => (item ? late.work(token) : 0), { concurrency: 2 })) {
        assert.equal(result, 0)
        late.reject(boom)
        break
      }
    })
    assert.equal(await rejection(whole), boom)
  })

  test('a source that fails, or is none, ends the loop and the scope', async () => {
    async function* source() {
      yield 1
      throw boom
    }
    const seen: number[] = []
    const failing = scope(async (s) => {
      for await (const one of s.stream(source(), (item) => item, { concurrency: 1 })) seen.push(one)
    })
    assert.equal(await rejection(failing), boom)
    const none = await rejection(scope((s) => all(s.stream(5 as never, () => 1, { concurrency: 1 }))))
    assert.match(String(none), /^TypeError: source must be iterable, got 5$/)
  })

  test('a cancelled scope ends the loop with its error, also while no task runs', async () => {
    for (const isWaiting of [true, false]) {
      const root = new SimpleToken()
      const source = endless()
      let ended: unknown
      const whole = scope(root, async (s) => {
        const loop = async () => {
          for await (const _ of s.stream(
            source.items,
            (item, token) => (isWaiting ? (patient(token) as Promise<unknown>) : item),
            {
              concurrency: 2,
            },
          )) {
            await turn()
            root.cancel('enough')
          }
        }
        ended = await rejection(loop())
      })
      await turn()
      if (isWaiting) root.cancel('enough')
      assert.equal(await rejection(whole), root.error)
      await turn()
      assert.deepEqual([ended, source.closed], [root.error, 1])
    }
    assert.equal(
      await scope(async (s) =>
        rejection(all(s.stream([1], () => assert.fail('started'), { concurrency: 1, token: CANCELLED }))),
      ),
      CANCELLED.error,
    )
  })

  test('a cancellation of its own token ends the loop alone', async () => {
    const one = new SimpleToken()
    const result = await scope(async (s) => {
      const seen: number[] = []
      const loop = async () => {
        for await (const item of s.stream(endless().items, (n) => n, { concurrency: 2, token: one })) {
          seen.push(item)
          if (item === 5) one.cancel()
        }
      }
      assert.equal(await rejection(loop()), one.error)
      assert.equal(s.token.cancelled, false)
      return seen.length
    })
    assert.equal(result, 6)
  })

  test('a deadline that passes while the loop is busy ends it', async () => {
    const timeout = new TimeoutToken(20)
    const seen: number[] = []
    const late = scope(timeout, async (s) => {
      for await (const item of s.stream([1, 2, 3], (n) => n, { concurrency: 3 })) {
        seen.push(item)
        await turn()
        for (const end = performance.now() + 30; performance.now() < end;);
      }
    })
    assert.equal(await rejection(late), timeout.error)
    assert.ok(seen.length < 2, String(seen)) // on a busy machine it has passed before
  })

  test('an item that cancels itself ends the loop with its error, and the others are cancelled', async () => {
    const source = endless()
    const tokens: CancellationToken[] = []
    const error = await scope(async (s) => {
      const work = async (item: number, token: CancellationToken) => {
        tokens[item] = token
        if (item === 1) token.cancel('had enough')
        return patient(token)
      }
      return rejection(all(s.stream(source.items, work, { concurrency: 2 })))
    })
    assert.deepEqual([(error as Error).cause, tokens[0]?.kind, source.closed], ['had enough', 'dispose', 1])
  })

  test('the scope waits for what is under way, and a loop outside of the body gets all of it', async () => {
    const last = puppet<number>()
    let loop: Promise<number[]> | undefined
    const whole = scope((s) => {
      loop = all(s.stream([1, 2], (item, token) => (item === 2 ? last.work(token) : item), { concurrency: 2 }))
    })
    assert.equal(await stateOf(whole), 'pending')
    last.resolve(2)
    await whole
    assert.deepEqual(await loop, [1, 2])
  })

  test('results that were not taken when the scope has ended are still given; then it starts nothing more', async () => {
    let iterator: AsyncIterator<number> | undefined
    let results: AsyncIterable<number> | undefined
    await scope(async (s) => {
      results = s.stream([1, 2], (item) => item, { concurrency: 3 })
      iterator = results[Symbol.asyncIterator]()
      assert.deepEqual(await iterator.next(), { done: false, value: 1 })
    })
    assert.deepEqual(await iterator?.next(), { done: false, value: 2 })
    assert.deepEqual(await iterator?.next(), { done: true, value: undefined })
    assert.deepEqual(await iterator?.next(), { done: true, value: undefined })
    assert.ok((await rejection(all(results as AsyncIterable<number>))) instanceof ScopeClosedError)
  })

  test('calls of next() without waiting come one after the other, and return() ends them', async () => {
    await scope(async (s) => {
      const gate = deferred<number>()
      const iterator = iteratorOf(s.stream([1, 2, 3], (item) => (item === 3 ? gate.promise : item), { concurrency: 3 }))
      const three = [iterator.next(), iterator.next(), iterator.next()]
      const [one, two] = await Promise.all(three.slice(0, 2))
      assert.deepEqual([one?.value, two?.value], [1, 2])
      const left = iterator.return?.()
      gate.resolve(3)
      const ends = await Promise.all([left, three[2], iterator.return?.(), iterator.next()])
      for (const end of ends) assert.deepEqual(end, { done: true, value: undefined })
    })
    await scope(async (s) => {
      const unused = iteratorOf(s.stream([1], () => assert.fail('started'), { concurrency: 1 }))
      assert.deepEqual(await unused.return?.(), { done: true, value: undefined })
      assert.deepEqual(await unused.next(), { done: true, value: undefined })
    })
  })

  test('an iterator that is left half-way holds the scope, which a cancellation ends', async () => {
    const root = new SimpleToken()
    const source = endless()
    const whole = scope(root, async (s) => {
      await iteratorOf(s.stream(source.items, (item) => item, { concurrency: 2 })).next()
    })
    await turn()
    assert.equal(await stateOf(whole.catch(() => {})), 'pending')
    root.cancel()
    assert.equal(await rejection(whole), root.error)
    await turn()
    assert.equal(source.closed, 1)
  })

  test('a loop in a loop, and a second loop over the same results, work', async () => {
    const pairs = await scope(async (s) => {
      const seen: string[] = []
      const letters = s.stream(['a', 'b'], (text) => text, { concurrency: 1 })
      for await (const n of s.stream([1, 2], (item) => item, { concurrency: 1 })) {
        for await (const letter of letters) seen.push(`${letter}${n}`)
      }
      return seen
    })
    assert.deepEqual(pairs, ['a1', 'b1', 'a2', 'b2'])
  })

  test('its tasks have the names and places of a map', async () => {
    await scope(async (s) => {
      const iterator = iteratorOf(s.stream([1, 2], (_item, token) => patient(token), { concurrency: 2, name: 'load' }))
      void iterator.next()
      await turn()
      const names = s.unfinished().map(({ name }) => name)
      assert.deepEqual(names, ['load[0]', 'load[1]'])
      assert.match(String(s.unfinished()[0]?.startedAt), /stream\.test/)
      await iterator.return?.()
    })
  })

  test('needs a limit, its own or that of the scope', async () => {
    const no = await rejection(scope((s) => all(s.stream([1], () => 1))))
    assert.match(
      String(no),
      /^TypeError: concurrency must be a number or a Limit where the scope has none, got undefined$/,
    )
    assert.deepEqual(await scope((s) => all(s.stream([1], () => 1)), { concurrency: 1 }), [1])
    assert.deepEqual(await scope((s) => all(s.stream([1], () => 1)), { concurrency: new Limit(1) }), [1])
    assert.deepEqual(await scope((s) => all(s.stream([1], () => 1, { concurrency: Infinity }))), [1])
  })

  test('bad input is refused by name, at once', async () => {
    const bad: readonly [(s: Scope) => unknown, RegExp][] = [
      [(s) => s.stream([1], 5 as never), /^TypeError: task must be a function, got 5$/],
      [(s) => s.stream([1], () => 1, 5 as never), /^TypeError: options must be a plain object, got 5$/],
      [(s) => s.stream([1], () => 1, { concurrency: 0 }), /^RangeError: concurrency must be a whole number/],
      [
        (s) => s.stream([1], () => 1, { concurrency: '1' as never }),
        /^TypeError: concurrency must be a number or a Limit/,
      ],
      [(s) => s.stream([1], () => 1, { ordered: 1 as never }), /^TypeError: ordered must be a boolean, got 1$/],
      [(s) => s.stream([1], () => 1, { token: 1 as never }), /^TypeError: token must be a token/],
    ]
    for (const [run, message] of bad) assert.match(String(await rejection(scope(run))), message)
  })
})
