import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type CancellationToken, CANCELLED, scope, SimpleToken, TimeoutToken } from 'calloff'
import { manualClock } from 'calloff/testing'
import { deferred, rejection, stateOf, turn } from '../helpers.js'
import { patient, puppet } from './helpers.js'

const boom = new Error('boom')
const fail = async () => {
  throw boom
}

describe('concurrency', () => {
  test('is how many works run at once; the others follow in order', async () => {
    const puppets = Array.from({ length: 5 }, () => puppet<number>())
    const log: string[] = []
    const whole = scope(
      (s) =>
        Promise.all(
          puppets.map(({ work }, i) =>
            s.run((token) => {
              log.push(`start ${i}`)
              return work(token)
            }),
          ),
        ),
      { concurrency: 2 },
    )
    assert.deepEqual(log, ['start 0', 'start 1'])
    puppets[1]?.resolve(1)
    await turn()
    assert.deepEqual(log, ['start 0', 'start 1', 'start 2'])
    puppets.forEach(({ resolve }, i) => resolve(i))
    assert.deepEqual(await whole, [0, 1, 2, 3, 4])
    assert.deepEqual(log, ['start 0', 'start 1', 'start 2', 'start 3', 'start 4'])
  })

  test('waiting works are dropped at once when the scope is cancelled, and never started', async () => {
    const root = new SimpleToken()
    const deaf = puppet()
    const started: number[] = []
    const states: unknown[] = []
    const whole = scope(
      root,
      (s) => {
        void s.run(deaf.work)
        for (let i = 0; i < 3; i++) s.run(() => started.push(i)).catch((error: unknown) => states.push(error))
        assert.deepEqual(
          s.unfinished().map(({ state }) => state),
          ['running', 'waiting', 'waiting', 'waiting'],
        )
        root.onCancel(() => {
          assert.equal(s.unfinished().length, 4, 'parents hear first')
        })
        s.token.onCancel(() => assert.equal(s.unfinished().length, 1, 'only what runs is left'))
      },
      { concurrency: 1 },
    )
    await turn()
    root.cancel()
    await turn()
    assert.deepEqual(states, [root.error, root.error, root.error])
    assert.equal(await stateOf(whole.catch(() => 'over')), 'pending')
    deaf.resolve(1)
    assert.equal(await rejection(whole), root.error)
    assert.deepEqual(started, [])
  })

  test('a waiting task is not started after a deadline that no poll has noticed', async () => {
    const timeout = new TimeoutToken(5)
    let started = false
    const late = scope(
      timeout,
      (s) => {
        void s.run(() => {
          for (const end = performance.now() + 10; performance.now() < end;);
        })
        void s.run(() => (started = true))
      },
      { concurrency: 1 },
    )
    assert.equal(await rejection(late), timeout.error)
    assert.equal(started, false)
  })

  test('waiting works are dropped when a sibling fails', async () => {
    let started = false
    const failing = scope(
      (s) => {
        void s.run(fail)
        void s.run(() => (started = true))
      },
      { concurrency: 1 },
    )
    assert.equal(await rejection(failing), boom)
    assert.equal(started, false)
  })

  test('tasks that throw at once make room for the next, however many, without a deeper stack', async () => {
    let started = 0
    const first = puppet()
    const whole = scope(
      (s) => {
        void s.run(first.work)
        for (let i = 0; i < 20_000; i++) {
          void s.run((token) => {
            started++
            token.cancel('nothing to do')
            token.check()
          })
        }
      },
      { concurrency: 1 },
    )
    first.resolve(0)
    await whole
    assert.equal(started, 20_000)
  })

  test('what a waiting task starts comes after those that wait', async () => {
    const order = await scope(
      async (s) => {
        const seen: string[] = []
        void s.run(() => turn())
        void s.run(() => turn())
        void s.run(() => {
          seen.push('third')
          void s.run(() => seen.push('started by the third'))
        })
        void s.run(async () => seen.push('fourth'))
        return seen
      },
      { concurrency: 2 },
    )
    assert.deepEqual(order, ['third', 'fourth', 'started by the third'])
  })

  test('a long queue is worked off in order', async () => {
    const order: number[] = []
    const indexes = Array.from({ length: 5_000 }, (_, i) => i)
    await scope((s) => Promise.all(indexes.map((i) => s.run(async () => order.push(i)))), { concurrency: 3 })
    assert.deepEqual(order, indexes)
  })

  test('a work that a waiting one starts, and a nested scope, have no place taken from them', async () => {
    const answer = await scope(
      (s) =>
        s.run((token) =>
          // With `s.run` in place of the inner scope this would wait for ever.
          scope(token, async (inner) => (await inner.run(() => 20)) + (await inner.run(() => 22))),
        ),
      { concurrency: 1 },
    )
    assert.equal(answer, 42)
  })

  test('a task that waits for another of its scope blocks it, until the scope is cancelled', async () => {
    using clock = manualClock()
    const timeout = new TimeoutToken(50)
    const stuck = rejection(scope(timeout, (s) => s.run(() => s.run(() => 1)), { concurrency: 1 }))
    await clock.advance(50)
    assert.equal(await stuck, timeout.error)
  })
})

describe('map', () => {
  test('gives the results in the order of the items, whatever ends first', async () => {
    using clock = manualClock()
    const whole = scope((s) => s.map([30, 10, 20], (ms, token, index) => token.sleep(ms).then(() => `${index}: ${ms}`)))
    await clock.advance(30)
    assert.deepEqual(await whole, ['0: 30', '1: 10', '2: 20'])
    assert.deepEqual(await scope((s) => s.map([], () => 1)), [])
    assert.deepEqual(await scope((s) => s.map(new Set('abc'), (text) => text + text)), ['aa', 'bb', 'cc'])
  })

  for (const where of ['the scope', 'the map'] as const) {
    test(`pulls no more items than may run, by the limit of ${where}`, async () => {
      let pulled = 0
      let closed = 0
      async function* source() {
        try {
          for (; pulled < 10;) yield ++pulled
        } finally {
          closed++
        }
      }
      const puppets = Array.from({ length: 10 }, () => puppet<number>())
      const whole = scope(
        (s) =>
          s.map(
            source(),
            (item, token) => puppets[item - 1]?.work(token),
            where === 'the map' ? { concurrency: 3 } : {},
          ),
        where === 'the scope' ? { concurrency: 3 } : {},
      )
      await turn()
      assert.equal(pulled, 3)
      puppets[0]?.resolve(0)
      await turn()
      assert.equal(pulled, 4)
      puppets.forEach(({ resolve }, i) => resolve(i))
      assert.equal((await whole).length, 10)
      assert.equal(closed, 1)
    })
  }

  test('the smaller of the two limits counts', async () => {
    let running = 0
    let most = 0
    await scope(
      (s) =>
        s.map(
          Array.from({ length: 20 }),
          async () => {
            most = Math.max(most, ++running)
            await turn()
            running--
          },
          { concurrency: 5 },
        ),
      { concurrency: 2 },
    )
    assert.equal(most, 2)
  })

  test('a failed item cancels the others, closes the source, and is what the map rejects with', async () => {
    let closed = 0
    async function* source() {
      try {
        for (let i = 0; ; i++) yield i
      } finally {
        closed++
      }
    }
    let heard: unknown
    const seen: CancellationToken[] = []
    const whole = scope(async (s) => {
      await s
        .map(
          source(),
          async (item, token) => {
            seen.push(token)
            if (item === 2) throw boom
            await token.sleep(60_000)
          },
          { concurrency: 3 },
        )
        .catch((error: unknown) => (heard = error))
    })
    assert.equal(await rejection(whole), boom)
    assert.equal(heard, boom)
    assert.deepEqual([seen.length, closed], [3, 1])
    assert.ok(seen.every((token) => token.kind === 'sibling'))
  })

  test('a source that fails is a failure of the scope', async () => {
    async function* source() {
      yield 1
      throw boom
    }
    const whole = scope((s) => {
      void s.map(source(), (_item, token) => patient(token))
    })
    assert.equal(await rejection(whole), boom)
    assert.match(String(await rejection(scope((s) => s.map(5 as never, () => 1)))), /source must be iterable, got 5/)
  })

  test('a cancellation ends a pull that is waited for, closes the source, and keeps what waits from being started', async () => {
    const root = new SimpleToken()
    let closed = 0
    const source = {
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise<IteratorResult<number>>(() => {}),
        return: async () => {
          closed++
          return { done: true as const, value: undefined }
        },
      }),
    }
    const whole = scope(root, (s) => s.map(source, () => 1))
    await turn()
    root.cancel()
    assert.equal(await rejection(whole), root.error)
    assert.equal(closed, 1)

    const other = new SimpleToken()
    const deaf = puppet()
    const started: number[] = []
    const waiting = scope(
      other,
      async (s) => {
        void s.run(deaf.work)
        await s.map([1, 2], (item) => started.push(item))
      },
      { concurrency: 1 },
    )
    await turn()
    other.cancel()
    deaf.resolve(0)
    assert.equal(await rejection(waiting), other.error)
    assert.deepEqual(started, [])
  })

  test('the scope waits for it, whether a caller awaits it or not', async () => {
    const done: number[] = []
    await scope((s) => {
      void s.map([1, 2, 3], async (item) => {
        await turn()
        done.push(item)
      })
    })
    assert.deepEqual(done, [1, 2, 3])
  })

  test('an item that calls itself off ends the map, and closes the source', async () => {
    let closed = 0
    function* source() {
      try {
        for (let i = 0; ; i++) yield i
      } finally {
        closed++
      }
    }
    const over = await scope(async (s) => {
      const mapped = s.map(
        source(),
        async (item, token) => {
          if (item === 3) token.cancel('had enough')
          await turn()
          token.check()
        },
        { concurrency: 2 },
      )
      return (await rejection(mapped)) as Error
    })
    assert.deepEqual([over.cause, closed], ['had enough', 1])
  })

  test('bad input is refused by name', async () => {
    const bad: readonly [() => Promise<unknown>, RegExp][] = [
      [() => scope((s) => s.map([1], 5 as never)), /^TypeError: task must be a function, got 5$/],
      [() => scope((s) => s.map([1], () => 1, 5 as never)), /^TypeError: options must be a plain object, got 5$/],
      [() => scope((s) => s.map([1], () => 1, { concurrency: 0 })), /^RangeError: concurrency must be a whole number/],
      [() => scope((s) => s.map([1], () => 1, { name: 1 as never })), /^TypeError: name must be a string, got 1$/],
    ]
    for (const [run, message] of bad) assert.match(String(await rejection(run())), message)
  })
})

describe('allSettled', () => {
  test('collects results and errors; a failure among them is none of the scope', async () => {
    const outcomes = await scope((s) => s.allSettled([() => 1, fail, async () => 'x']))
    assert.deepEqual(outcomes, [
      { status: 'fulfilled', value: 1 },
      { status: 'rejected', reason: boom },
      { status: 'fulfilled', value: 'x' },
    ])
    assert.deepEqual(await scope((s) => s.allSettled([])), [])
  })

  test('what is cancelled is rejected with the error of its token', async () => {
    const root = new SimpleToken()
    let outcomes: readonly PromiseSettledResult<unknown>[] = []
    const whole = scope(
      root,
      async (s) => {
        outcomes = await s.allSettled([() => 1, patient, () => 2])
      },
      { concurrency: 1 },
    )
    await turn()
    root.cancel()
    assert.equal(await rejection(whole), root.error)
    const called = { status: 'rejected', reason: root.error }
    assert.deepEqual(outcomes, [{ status: 'fulfilled', value: 1 }, called, called])
  })

  test('refuses what is no task', async () => {
    assert.match(
      String(await rejection(scope((s) => s.allSettled([5 as never])))),
      /^TypeError: tasks must be a function, got 5$/,
    )
    assert.match(
      String(await rejection(scope((s) => s.allSettled((() => 1) as never)))),
      /^TypeError: tasks must be an array of functions, got /,
    )
  })
})

describe('any', () => {
  test('gives the first success, once the others, cancelled, have settled', async () => {
    const [quick, slow] = [puppet<string>(), puppet<string>()]
    const whole = scope((s) => s.any([fail, slow.work, quick.work]))
    await turn()
    quick.resolve('quick')
    assert.equal(await stateOf(whole), 'pending')
    assert.deepEqual([quick.token?.kind, slow.token?.kind], [undefined, 'race'], 'what the winner gives may be in use')
    slow.reject(new Error('dropped'))
    assert.equal(await whole, 'quick')
  })

  test('fails with all the failures, in the order of the tasks, when all have failed', async () => {
    const late = new Error('late')
    const lateFailure = async () => {
      await turn()
      throw late
    }
    const error = await rejection(scope((s) => s.any([lateFailure, fail])))
    assert.ok(error instanceof AggregateError)
    assert.deepEqual([error.errors, error.message], [[late, boom], 'all 2 tasks have failed'])
    const unheard = await rejection(
      scope((s) => {
        void s.any([fail])
      }),
    )
    assert.deepEqual((unheard as AggregateError).errors, [boom])
  })

  test('cancelled by the scope it rejects with the error of the token, also if some have failed', async () => {
    const root = new SimpleToken()
    const whole = scope(root, (s) => s.any([fail, patient]))
    await turn()
    root.cancel()
    assert.equal(await rejection(whole), root.error)
    assert.equal(await rejection(scope(CANCELLED, (s) => s.any([fail]))), CANCELLED.error)
  })

  test('losers that wait for their turn are not started', async () => {
    let started = false
    const won = await scope((s) => s.any([async () => 'first', () => (started = true)]), { concurrency: 1 })
    assert.deepEqual([won, started], ['first', false])
  })

  test('a sibling that fails cancels it', async () => {
    const seen: unknown[] = []
    const whole = scope((s) => {
      s.any([patient, patient]).catch((error: unknown) => seen.push(error))
      void s.run(fail)
    })
    assert.equal(await rejection(whole), boom)
    assert.equal((seen[0] as Error).cause, boom)
  })

  test('refuses nothing, and what is no task', async () => {
    for (const how of ['any', 'race'] as const) {
      assert.match(
        String(await rejection(scope((s) => s[how]([])))),
        /^RangeError: tasks must hold something to start, got an empty array$/,
      )
      assert.match(
        String(await rejection(scope((s) => s[how]([5 as never])))),
        /^TypeError: tasks must be a function, got 5$/,
      )
      assert.match(
        String(await rejection(scope((s) => s[how]([fail], { hedge: -1 })))),
        /^RangeError: hedge must not be negative or NaN, got -1$/,
      )
    }
  })
})

describe('race', () => {
  test('settles as the first to settle, once the others, cancelled, have settled', async () => {
    const [quick, slow] = [puppet<string>(), puppet<string>()]
    const whole = scope((s) => s.race([slow.work, quick.work]))
    quick.resolve('quick')
    assert.equal(await stateOf(whole), 'pending')
    assert.equal(slow.token?.kind, 'race')
    slow.resolve('slow')
    assert.equal(await whole, 'quick')
  })

  test('a failure that comes first is one of the scope, and cancels the siblings at once', async () => {
    const [slow, sibling] = [puppet(), puppet()]
    const whole = scope((s) => {
      void s.run(sibling.work)
      void s.race([slow.work, fail])
    })
    await turn()
    assert.deepEqual([slow.token?.kind, sibling.token?.kind], ['race', 'sibling'])
    slow.resolve(0)
    sibling.resolve(0)
    assert.equal(await rejection(whole), boom)
  })

  test('cancelled by the scope it rejects with the error of the token', async () => {
    const root = new SimpleToken()
    const whole = scope(root, (s) => s.race([patient, patient]))
    root.cancel()
    assert.equal(await rejection(whole), root.error)
  })
})

describe('hedging', () => {
  test('starts the next one when the last is late, and not before', async () => {
    using clock = manualClock()
    const started: string[] = []
    const mirror = (name: string, ms: number) => async (token: CancellationToken) => {
      started.push(name)
      await token.sleep(ms)
      return name
    }
    const whole = scope((s) => s.any([mirror('a', 1_000), mirror('b', 120), mirror('c', 10)], { hedge: 100 }))
    await clock.advance(99)
    assert.deepEqual(started, ['a'])
    await clock.advance(1)
    assert.deepEqual(started, ['a', 'b'])
    await clock.advance(100)
    assert.deepEqual(started, ['a', 'b', 'c'])
    await clock.advance(10)
    assert.equal(await whole, 'c')
    const quick = await scope((s) => s.any([async () => 'a', mirror('never', 1)], { hedge: 100 }))
    assert.deepEqual([quick, started.length], ['a', 3])
  })

  test('one that fails makes room at once, and all failures are told', async () => {
    using clock = manualClock()
    const thrown = () => {
      throw boom
    }
    assert.equal(await scope((s) => s.any([thrown, fail, async () => 'third'], { hedge: 100 })), 'third')
    const error = await rejection(scope((s) => s.any([thrown, thrown, fail], { hedge: 100 })))
    assert.deepEqual((error as AggregateError).errors, [boom, boom, boom])
    assert.equal(clock.now, 0)
  })

  test('a cancellation ends it, and starts nothing', async () => {
    using clock = manualClock()
    const root = new SimpleToken()
    let started = false
    const whole = rejection(scope(root, (s) => s.any([patient, () => (started = true)], { hedge: 100 })))
    await clock.advance(50)
    root.cancel()
    await clock.advance(100)
    assert.equal(await whole, root.error)
    assert.equal(started, false)
  })

  test('works for a race as well', async () => {
    using clock = manualClock()
    const { promise, resolve } = deferred<string>()
    const whole = scope((s) => s.race([() => promise, (token) => token.sleep(10).then(() => 'second')], { hedge: 5 }))
    await clock.advance(15)
    resolve('first')
    assert.equal(await whole, 'second')
  })
})
